"""What a run is told before it begins, and what it tells of each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from imtkit.runs.kernels import KernelFor
    from imtkit.runs.stop import Stop


ATTEMPT = "attempt"
"""Where, in a notebook's metadata of papermill, it stands which attempt at its run wrote it."""


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A step that begins (``status`` 'running') or has ended.

    ``whole_output`` says where the whole of an output is that was too big for the notebook:
    file (beside the notebook), sha256, size and dropped (bytes). Whoever watches is also told
    how long the step, and the whole run, may be expected to take: as long as they took before.
    """

    id: str
    index: int
    title: str
    status: str
    started_at: datetime
    finished_at: datetime | None = None
    error: str = ""
    whole_output: Mapping[str, Any] = field(default_factory=dict)
    expected_seconds: float | None = None
    expected_run_seconds: float | None = None


class Journal(Protocol):
    """Is told of every step before and after it runs.

    A step's end and the next one's beginning come together: they are one moment, and one write.
    """

    def __call__(self, *events: StepEvent) -> None:
        """Keep step events, all or none; what this raises ends the run."""
        ...


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under what conditions a notebook runs; the defaults are plain papermill's.

    ``kept`` are cells, by id, that completed in an earlier attempt and are not run again.
    ``step_seconds`` and ``run_seconds`` are the most that a step and the whole run may take; a
    cell's own ``timeout_seconds`` wins. ``memory_mb`` is the most memory that the kernel may hold;
    the notebook's own wins. ``stop`` is how this process ends the run early;
    ``wish`` is asked before each step, and every second in a thread, whether somebody elsewhere
    wishes that it end: as what, and in words who (see ``Stop.ask``).
    ``attempt`` is written into the notebook, so that of two copies the newer one is known.
    ``kernel_up`` is told the kernel's process (0 when it is about to start) and the folder of
    its sockets, if that is its own. ``kernel`` gives the run its kernel; else it starts its own.
    """

    output: Path | None = None
    cwd: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    journal: Journal | None = None
    kept: frozenset[str] = frozenset()
    paths: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 0
    step_seconds: float | None = None
    run_seconds: float | None = None
    memory_mb: float | None = None
    stop: Stop | None = None
    wish: Callable[[], tuple[str, str] | None] | None = None
    kernel_up: Callable[[int, Path | None], None] | None = None
    kernel: KernelFor | None = None


def limit_from(value: object) -> float | None:
    """A limit, of seconds or MB, as metadata gives it; None where none can be meant."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return float(value) if 0 < value < float("inf") else None
