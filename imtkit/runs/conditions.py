"""What a run is told before it begins, and what it tells of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A step that begins (``status`` 'running') or has ended."""

    id: str
    index: int
    title: str
    status: str
    started_at: datetime
    finished_at: datetime | None = None
    error: str = ""


class Journal(Protocol):
    """Is told of every step before and after it runs."""

    def __call__(self, event: StepEvent) -> None:
        """Keep one step event; what this raises ends the run."""
        ...


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under what conditions a notebook runs; the defaults are plain papermill's.

    ``kept`` are cells, by id, that completed in an earlier attempt and are not run again.
    """

    output: Path | None = None
    cwd: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    journal: Journal | None = None
    kept: frozenset[str] = frozenset()
    paths: Mapping[str, str] = field(default_factory=dict)
