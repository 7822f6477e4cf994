"""Whose turn it is among the runs that wait for a worker, and whether there is one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from imtkit.kit import incidents
from imtkit.kit.desk import Desk
from imtkit.model.entry_data import number_of, text_of
from imtkit.model.incident import QUEUED, Run
from imtkit.runs.queue import LAST


@dataclass(frozen=True, slots=True)
class Turns:
    """The runs that wait for a worker, in the order in which they are taken.

    ``is_worker_up`` is None where it cannot be told.
    """

    runs: tuple[str, ...] = ()
    is_worker_up: bool | None = None

    def place(self, run: str) -> int:
        """A run's place, 1 for the next; 0 for one that does not wait."""
        return self.runs.index(run) + 1 if run in self.runs else 0

    def words(self, run: str) -> str:
        """A run's place in words: 'next of 3'; empty for one that does not wait."""
        place, of = self.place(run), len(self.runs)
        if not place or of == 1:
            return "waits for a worker" if place else ""
        return f"next of {of} in the queue" if place == 1 else f"{place} of {of} in the queue"

    @property
    def what_now(self) -> str:
        """What they wait for, and what to do about it; empty where none waits."""
        if not self.runs:
            return ""
        if self.is_worker_up:
            return "A worker takes the next one as soon as it has room."
        said = "No worker is up." if self.is_worker_up is False else "They wait for a worker."
        return f"{said} Start one with: imt worker"


def turns_of(desk: Desk, runs: Iterable[Run]) -> Turns:
    """The turns of those of these runs that are queued: worst severity first, then the oldest."""
    from imtkit.store.presence import is_any_alive

    waiting = [run for run in runs if run.status == QUEUED]
    if not waiting:
        return Turns()
    ranks: dict[str, int] = {}
    for incident in {run.incident for run in waiting}:
        for entry in incidents.get(desk, incident).entries:
            if entry.type == "run.requested":
                ranks.setdefault(text_of(entry, "run"), number_of(entry, "priority") or LAST)
    waiting.sort(key=lambda run: (ranks.get(run.id, LAST), run.started_at, run.id))
    is_up = is_any_alive(desk.settings.store_url, desk.settings.leases)
    return Turns(tuple(run.id for run in waiting), is_up)
