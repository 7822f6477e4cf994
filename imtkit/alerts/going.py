"""Which runs that rules asked for still go on, read as the log grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from imtkit.contracts import Store
from imtkit.model.entries import Entry
from imtkit.model.incident import Incident


def going_in(incident: Incident) -> Counter[str]:
    """How many runs each rule has going in an incident; one that waits for a worker or a person
    has not ended.
    """
    return Counter(run.rule for run in incident.runs if run.rule and not run.is_over)


@dataclass(slots=True)
class Going:
    """The same for many alerts in turn: each time only what was written since is read.

    Where a run goes on by hand after its end this counts too few; ``going_in`` decides.
    """

    _known: dict[str, _Tally] = field(default_factory=dict)

    def of(self, store: Store, incident: str) -> Counter[str]:
        """How many runs each rule has going in the incident."""
        tally = self._known.setdefault(incident, _Tally())
        tally.read(store.entries(incident, after=tally.n))
        return Counter(tally.rules[run] for run in tally.going)


@dataclass(slots=True)
class _Tally:
    """How far an incident was read, the rules of its runs, and those runs that go on."""

    n: int = 0
    rules: dict[str, str] = field(default_factory=dict)
    going: set[str] = field(default_factory=set)

    def read(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.n = entry.n
            run = _text(entry.data, "run")
            if entry.type == "run.requested" and (rule := _text(entry.data, "rule")):
                self.rules.setdefault(run, rule)
                self.going.add(run)
            elif entry.type == "run.finished":
                self.going.discard(run)
            elif entry.type == "run.resumed" and run in self.rules:
                self.going.add(run)


def _text(data: Mapping[str, object], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""
