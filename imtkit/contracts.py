"""The seams: what the joints of imtkit ask of their adapters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from imtkit.model.entries import Draft, Entry
from imtkit.model.expected import Took
from imtkit.model.incident import Incident, Run, Summary

Decide = Callable[[Incident], Sequence[Draft]]
"""Looks at the incident as it is, inside the write, and says what to append. May refuse."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The time now, aware UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The time now, aware UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Head:
    """The end of one chain: how many entries it has and the newest one's hash."""

    incident: str
    count: int
    hash: str


@dataclass(frozen=True, slots=True)
class Query:
    """Which incidents to list; an empty field means any. ``text`` is looked for in titles.

    ``alert`` is a fingerprint that an alert in them names. They come newest first; with
    ``worst_first``, the names of all severities from the worst on, by that order before it, and
    those of a severity that it does not name last. ``before`` is the last id of the page before,
    in the same order.
    """

    ids: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    service: str = ""
    alert: str = ""
    text: str = ""
    worst_first: tuple[str, ...] = ()
    limit: int = 100
    before: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """The first entry that is not what was stored, and what is wrong with it."""

    seq: int
    incident: str
    n: int
    problem: str


class Store(Protocol):
    """The append-only log. Every append is atomic, ordered and on disk when it returns."""

    def append(self, incident: str, *drafts: Draft) -> list[Entry]:
        """Store drafts as the incident's next entries; a known ``key`` returns its first."""
        ...

    def append_each(self, drafts: Mapping[str, Sequence[Draft]]) -> dict[str, list[Entry]]:
        """The same for several incidents, by id, in one write: all is on disk, or nothing."""
        ...

    def change(self, incident: str, decide: Decide) -> list[Entry]:
        """Fold the incident and append what ``decide`` says, with no writer in between."""
        ...

    def open_incident(self, draft: Draft) -> Entry:
        """Store an ``incident.opened`` under the year's next free id (INC-2026-0042)."""
        ...

    def open_with(self, draft: Draft, decide: Decide) -> list[Entry]:
        """The same, with what ``decide`` says of the incident then, in one write: the opening, and
        the entries of that.
        """
        ...

    def entries(
        self,
        incident: str | None = None,
        *,
        after: int = 0,
        limit: int | None = None,
        types: Collection[str] = (),
    ) -> Iterator[Entry]:
        """Entries of one incident with ``n > after``; of all, in order, with ``seq > after``.

        Of these ``types`` only, where any are named.
        """
        ...

    def find(self, *keys: str) -> Entry | None:
        """The entry stored under the first of these idempotency keys that is there."""
        ...

    def found(self, keys: Collection[str]) -> dict[str, Entry]:
        """The entries stored under these idempotency keys, by key."""
        ...

    def newest(self, incident: str) -> Entry | None:
        """The last entry of a chain; None when it has none."""
        ...

    def incident(self, incident: str) -> Incident:
        """The folded incident; NotFoundError names the nearest id."""
        ...

    def incidents(self, query: Query = ...) -> list[Summary]:
        """Incidents, in the query's order."""
        ...

    def runs(self, statuses: Collection[str]) -> list[Run]:
        """The runs of all incidents of these statuses, without their steps; for counting."""
        ...

    def completed_runs(self, runbook: str, *, limit: int = 10) -> list[Took]:
        """How long a runbook's newest runs took that completed, newest first."""
        ...

    def heads(self) -> list[Head]:
        """The end of every chain."""
        ...

    def verify(self, anchors: Sequence[Head] = ()) -> list[Fault]:
        """What is wrong with the log, first fault first; empty when every entry stands."""
        ...

    def missing_rules(self) -> list[str]:
        """The database's rules against changing entries that somebody took away."""
        ...

    def stale_lists(self) -> list[str]:
        """Ids of incidents that lists show otherwise than the log, or not; ``rebuild`` mends."""
        ...

    def rebuild(self) -> int:
        """Compute the lists' table anew from the log; the number of incidents."""
        ...

    def migrate(self) -> list[str]:
        """Bring the database's tables to this version; the steps that were taken."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


UPDATE_STATUSES = ("investigating", "identified", "monitoring", "resolved")
COMPONENT_STATES = (
    "operational",
    "under_maintenance",
    "degraded_performance",
    "partial_outage",
    "major_outage",
)
"""From best to worst."""


@dataclass(frozen=True, slots=True)
class Message:
    """A status update as a page takes it.

    ``marker`` is ours, stable over retries, at most 64 characters, and lets a service be
    searched for what an earlier try made. ``status`` is one of UPDATE_STATUSES, a component's
    state one of COMPONENT_STATES. ``impact`` is none, minor, major or critical.
    """

    marker: str
    incident: str
    title: str
    status: str
    body: str
    at: datetime
    impact: str = "minor"
    components: Mapping[str, str] = field(default_factory=dict)
    notify: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a page answered: its own id for the incident, the public address, its words."""

    remote_id: str
    url: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class PageIncident:
    """One incident as a page shows it now."""

    remote_id: str
    title: str
    status: str
    updated_at: datetime | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class PageState:
    """What a page shows: an overall word, components by name, incidents not yet resolved."""

    status: str
    components: Mapping[str, str] = field(default_factory=dict)
    incidents: tuple[PageIncident, ...] = ()


class StatusPage(Protocol):
    """A status page, ours or a service's."""

    name: str

    def find(self, incident: str) -> str | None:
        """The page's id of an incident we made there earlier (by our marker), if any."""
        ...

    def publish(self, message: Message, *, remote_id: str | None = None) -> Receipt:
        """Make the incident on the page, or add to it when ``remote_id`` is known.

        Never twice: after an unclear failure it looks for what was made before it makes again.
        ServiceDownError when it may be tried again, ServiceError when not.
        """
        ...

    def show(self) -> PageState:
        """What the page shows now."""
        ...
