"""Log entries and the catalogue of their types.

An entry says one thing that happened, in the past tense. It is never edited: a correction is
a new entry whose data names the older one (``supersedes``, its position in the incident).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from imtkit.errors import InputError

Visibility = Literal["internal", "external"]
Data = Mapping[str, Any]

AUTOMATION = "automation/"
WORKSPACE = "workspace"
"""The chain of entries that belong to no incident (alerts on arrival, for one)."""


_CONTROL = re.compile(r"[\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class Draft:
    """What a caller wants to append; the store adds place, time of writing and hash.

    ``occurred_at`` is when it happened, if not now; aware. ``zone`` is the zone it was told
    in. ``key`` makes a retried append a no-op that returns the first entry.
    """

    type: str
    data: Data = field(default_factory=dict)
    actor: str = ""
    source: str = ""
    visibility: Visibility = "internal"
    occurred_at: datetime | None = None
    zone: str = "UTC"
    key: str | None = None

    def __post_init__(self) -> None:
        if self.occurred_at is not None and self.occurred_at.utcoffset() is None:
            raise InputError(f"occurred_at of '{self.type}' has no time zone.")
        for name in ("type", "actor", "source", "zone", "key"):
            value = getattr(self, name)
            if value is not None and _CONTROL.search(value):
                raise InputError(f"The {name} of an entry holds a control character: {value!r}")

    def unstored(self, incident: str, n: int, at: datetime) -> Entry:
        """The entry that this would become, written at this time; it has a place in no log.

        Its ``hash`` is no hash, but tells it from every other of the incident.
        """
        return Entry(
            seq=0,
            incident=incident,
            n=n,
            type=self.type,
            occurred_at=self.occurred_at or at,
            zone=self.zone,
            recorded_at=at,
            actor=self.actor,
            source=self.source,
            visibility=self.visibility,
            data=self.data,
            key=self.key,
            prev="",
            hash=f"{incident}/{n}",
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored line of the log. Times are aware UTC; ``n`` counts from 1 in its incident."""

    seq: int
    incident: str
    n: int
    type: str
    occurred_at: datetime
    zone: str
    recorded_at: datetime
    actor: str
    source: str
    visibility: Visibility
    data: Data
    key: str | None
    prev: str
    hash: str

    @property
    def supersedes(self) -> int | None:
        """The position of the entry this one corrects, if it corrects one."""
        value = self.data.get("supersedes")
        return value if isinstance(value, int) and not isinstance(value, bool) else None


@dataclass(frozen=True, slots=True)
class EntryType:
    """One kind of fact: its name, a line of prose, and whether lists show what it changes."""

    name: str
    prose: str
    changes_summary: bool = False


def is_automation(actor: str) -> bool:
    """Whether the actor is a machine; people have plain names."""
    return actor.startswith(AUTOMATION)


def superseded(entries: Iterable[Entry]) -> frozenset[int]:
    """The positions that later entries correct or withdraw."""
    return frozenset(
        entry.supersedes
        for entry in entries
        if entry.supersedes is not None and entry.supersedes < entry.n
    )


def utc_text(moment: datetime) -> str:
    """``2026-11-21T20:16:46.123456Z``: fixed width, so that text order is time order."""
    return _in_utc(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def utc_from_text(text: str) -> datetime:
    """The aware UTC time of ``utc_text``'s form or of any RFC 3339 text with an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise InputError(f"'{text}' has no time zone.", hint="Write 2026-11-21T20:16:00Z.")
    return _in_utc(moment)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise InputError(f"{moment.isoformat()} is outside the years 1 to 9999 in UTC.") from error


_PLAIN = (
    ("note.added", "Somebody wrote something down."),
    ("decision.made", "A decision, with who decided and why."),
    ("evidence.added", "A figure, table or file was kept, named by its SHA-256."),
    ("task.assigned", "A person was asked to do something, perhaps by a time."),
    ("task.done", "What was asked for is done."),
    ("checklist.shown", "A checklist was put before people: its name and items."),
    ("checklist.ticked", "An item was done: which, by whom, through which face."),
    ("checklist.unticked", "A tick was taken back."),
    ("gate.opened", "A question holds work up: what is asked, who may answer, until when."),
    ("gate.answered", "A gate was answered, once: what, by whom, why."),
    ("gate.expired", "Nobody answered a gate in time; it takes no answer any more."),
    ("change.asked", "Approval is asked for a change: what, why, how it is verified and undone."),
    ("change.approved", "Somebody other than its asker approved a change."),
    ("change.denied", "A change was not approved: refused, or not answered in time."),
    ("change.begun", "An approved change is being carried out; it is begun only once."),
    ("change.executed", "A change was carried out; it is not verified yet."),
    ("change.verified", "A change did what it should."),
    ("change.failed", "A change failed or was not verified: how, and how to undo it."),
    ("change.settled", "A person says how a change ended whose end the log does not know: why."),
    ("rule.counted", "A rule took one of the runs that it may begin in this hour: which."),
    ("run.requested", "A rule or a person asked for a run; it waits for a worker to take it."),
    ("run.started", "A runbook began to run: which, with which parameters, writing where."),
    ("run.parked", "A run stopped at a step that waits for a person; it can be resumed."),
    ("run.resumed", "A run goes on where it stopped: by whom, and what was changed meanwhile."),
    ("run.taken", "A person took a run over: from here on they work on its kernel by hand."),
    ("run.given", "A person gave a run back: the machine goes on with it."),
    ("run.cancel-requested", "Somebody asked that a run end, wherever it runs."),
    ("run.finished", "A run ended: its status and, if it failed, why."),
    ("step.started", "A step of a run began."),
    ("step.finished", "A step of a run ended: its status and its times."),
    ("update.requested", "A status update was asked for; it is not delivered yet."),
    ("update.published", "A status page took the update: its id and its answer."),
    ("update.failed", "A status page did not take the update: why, and whether to retry."),
    ("update.withheld", "An update stayed here, because drills and tests reach no real page."),
    ("delivery.received", "What a sender posted was kept whole, before the sender was answered."),
    ("delivery.refused", "A kept delivery could not be read as alerts: why."),
    ("delivery.retried", "A refused delivery was turned into alerts after all: which incidents."),
    ("deliveries.handled", "Every delivery up to this place was turned into alerts."),
    ("alert.received", "An alert arrived, with its payload as data."),
    ("alert.silenced", "An alert arrived and was held back: by which silence, until when."),
    ("alert.resolved", "The sender says that the alert is over."),
    ("resolution.proposed", "Every alert is over; a person may resolve the incident."),
    ("runbook.proposed", "A runbook's metadata says it answers the alert."),
    ("measure.taken", "Something was measured: its name and number, as severities count it."),
    ("severity.proposed", "Measurements or an alert ask for a severity: which, and why."),
    ("record.built", "The archive was built; its head and hashes anchor the log."),
    ("notebook.sent", "A notebook is where outputs are sent to: which, as of which attempt."),
    ("entry.withdrawn", "An earlier entry was taken back; it no longer counts."),
)
_SUMMARISED = (
    ("incident.opened", "An incident was logged: what, how bad, which services."),
    ("incident.acknowledged", "Somebody has taken the incident in hand."),
    ("incident.mitigated", "The damage is contained; the cause may stand."),
    ("incident.resolved", "Service is restored and that was verified."),
    ("incident.closed", "All that was owed is done."),
    ("incident.reviewed", "The post-incident review was held."),
    ("incident.reopened", "It was not over: why, and by whom."),
    ("severity.changed", "The severity is another: from, to, and why."),
    ("field.set", "A field of the incident has a new value."),
    ("role.assigned", "A person holds a role."),
    ("role.released", "A person no longer holds a role."),
)

CATALOGUE: Mapping[str, EntryType] = {
    **{name: EntryType(name, prose) for name, prose in _PLAIN},
    **{name: EntryType(name, prose, changes_summary=True) for name, prose in _SUMMARISED},
}
