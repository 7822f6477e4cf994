"""Whose turn it is among the runs that wait for a worker, and whether there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

from imtkit.contracts import Query
from imtkit.errors import StoreError
from imtkit.kit import incidents
from imtkit.kit.desk import Desk
from imtkit.model.entry_data import number_of, text_of
from imtkit.model.incident import QUEUED, Incident, Run, Summary
from imtkit.runs.queue import LAST

UNFINISHED = ("open", "acknowledged", "mitigated", "resolved")
"""The statuses of incidents whose runs may still be somebody's to do."""

_NEWEST = 50
_MOST = 1000


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


def in_hand(desk: Desk) -> list[Summary]:
    """The incidents whose runs matter now, newest first: a few new ones, and all (up to 1,000)
    that are not over, for a storm may have opened many since a run was asked for.
    """
    rows = {row.id: row for row in desk.store.incidents(Query(limit=_NEWEST))}
    unfinished = desk.store.incidents(Query(statuses=UNFINISHED, limit=_MOST))
    return list((rows | {row.id: row for row in unfinished}).values())


def turns_of(
    desk: Desk, runs: Iterable[Run], *, look: Callable[[str], Incident] | None = None
) -> Turns:
    """The turns of those of these runs that are queued: worst severity first, then the oldest.

    ``look`` tells incidents by their ids, where they are at hand.
    """
    waiting = [run for run in runs if run.status == QUEUED]
    if not waiting:
        return Turns()
    ranks: dict[str, int] = {}
    for incident in {run.incident for run in waiting}:
        for entry in (look(incident) if look else incidents.get(desk, incident)).entries:
            if entry.type == "run.requested":
                ranks.setdefault(text_of(entry, "run"), number_of(entry, "priority") or LAST)
    waiting.sort(key=lambda run: (ranks.get(run.id, LAST), run.started_at, run.id))
    return Turns(tuple(run.id for run in waiting), is_worker_up(desk))


def is_worker_up(desk: Desk) -> bool | None:
    """Whether any worker listens for what is new; None where that cannot be told now."""
    from imtkit.store.bell import open_bell

    with closing(open_bell(desk.settings.store_url, desk.settings.leases)) as bell:
        try:
            return bell.is_heard
        except StoreError:
            return None
