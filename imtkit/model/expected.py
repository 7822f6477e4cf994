"""How long a run and its steps may be expected to take: as long as they took before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

RUNS = 10
"""How many earlier runs are looked at."""


@dataclass(frozen=True, slots=True)
class Took:
    """How many seconds a run took that completed, and each of its steps by its id.

    A run that was interrupted (parked at a gate, resumed) took as long as its steps did: how
    long people let it wait says nothing of the next one.
    """

    run: str
    seconds: float
    steps: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Expected:
    """Seconds, of the whole run and of each step by its id; nothing where nothing is known."""

    run_seconds: float | None = None
    step_seconds: Mapping[str, float] = field(default_factory=dict)


def expected_from(earlier: Iterable[Took], *, but: str = "") -> Expected:
    """The medians of earlier runs, newest first, leaving out the one of the id ``but``."""
    known = [took for took in earlier if took.run != but][:RUNS]
    steps: dict[str, list[float]] = {}
    for took in known:
        for id_, seconds in took.steps.items():
            steps.setdefault(id_, []).append(seconds)
    whole = _median([took.seconds for took in known]) if known else None
    return Expected(whole, {id_: _median(seconds) for id_, seconds in steps.items()})


def _median(values: list[float]) -> float:
    """The standard library's takes longer to load than a run takes to ask for this."""
    ordered, middle = sorted(values), len(values) // 2
    if len(values) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
