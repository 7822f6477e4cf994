"""What an incident is: the parts that its entries are folded into (``model.fold``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from imtkit.model.checklist import Checklist
from imtkit.model.entries import Entry
from imtkit.model.gates import Change, Gate

Fields = Mapping[str, Any]
QUEUED = "queued"
"""The status of a run that was asked for and that no worker has taken yet."""
WITHOUT_RUNNER = "without runner"
"""The status of a run that a machine began without imtkit's runner: nobody says how it ends."""


@dataclass(frozen=True, slots=True)
class Step:
    """One code cell of a run. ``status`` is one of lifecycle.STEP_STATUSES, or 'running'."""

    id: str
    status: str
    title: str = ""
    index: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a runbook, or one sitting of a person at a notebook (``by_hand``).

    One that was asked for waits for a worker as 'queued'; until it starts, ``started_at`` is when
    it was requested. ``rule`` is the rule that asked for it, if one did. ``holder`` is the person
    who took it over from the machine and has not given it back. ``runner`` is the process that
    carries this attempt out: host, pid, started. ``actor`` is who asked for it, or began it;
    ``resumed_by`` and ``resumed_at`` tell who, or what, went on with it last.
    """

    id: str
    runbook: str
    status: str
    actor: str
    started_at: datetime
    incident: str = ""
    title: str = ""
    by_hand: bool = False
    parameters: Fields = field(default_factory=dict)
    output_path: str = ""
    runbook_sha256: str = ""
    finished_at: datetime | None = None
    error: str = ""
    attempt: int = 1
    holder: str = ""
    runner: Fields = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    rule: str = ""
    requested_at: datetime | None = None
    resumed_by: str = ""
    resumed_at: datetime | None = None

    @property
    def has_runner(self) -> bool:
        """Whether imtkit's runner carries it out, and says how it ends."""
        return not self.by_hand and self.status != WITHOUT_RUNNER

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not; a queued or parked run and work by hand have not."""
        is_in_hand = not self.has_runner or bool(self.holder)
        return not is_in_hand and self.status not in (QUEUED, "running", "waiting")

    @property
    def stopped_at(self) -> Step | None:
        """The step that it is at, or where it ended early."""
        return next((s for s in self.steps if s.status not in ("completed", "not-run")), None)

    @property
    def elapsed(self) -> timedelta | None:
        """How long it took; None while it runs."""
        return self.finished_at - self.started_at if self.finished_at else None


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, by whom, why, and what else was considered."""

    n: int
    text: str
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """A kept file: ``path`` is relative to the incident's folder, ``sha256`` is of its bytes."""

    n: int
    title: str
    path: str
    sha256: str
    media_type: str
    size: int
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Task:
    """Something a named person was asked to do."""

    id: str
    text: str
    assignee: str
    asked_by: str
    asked_at: datetime
    due_at: datetime | None = None
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """A message to the outside. ``state``: requested, published, failed or withheld."""

    id: str
    page: str
    status: str
    body: str
    state: str
    actor: str
    at: datetime
    title: str = ""
    remote_id: str = ""
    url: str = ""
    error: str = ""
    impact: str = "minor"
    is_notifying: bool = False
    components: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a monitoring system, by its fingerprint. ``status``: firing or resolved."""

    fingerprint: str
    name: str
    status: str
    source: str
    started_at: datetime
    ended_at: datetime | None = None
    labels: Fields = field(default_factory=dict)
    annotations: Fields = field(default_factory=dict)
    count: int = 1


@dataclass(frozen=True, slots=True)
class Incident:
    """What the log says of one incident. All times are aware UTC."""

    id: str
    title: str = ""
    severity: str = ""
    status: str = ""
    mode: str = "live"
    category: str = ""
    summary: str = ""
    services: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    owner: str = ""
    opened_by: str = ""
    opened_at: datetime | None = None
    acknowledged_at: datetime | None = None
    mitigated_at: datetime | None = None
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    reviewed_at: datetime | None = None
    reopened: int = 0
    roles: Mapping[str, str] = field(default_factory=dict)
    fields: Fields = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    tasks: tuple[Task, ...] = ()
    checklists: tuple[Checklist, ...] = ()
    gates: tuple[Gate, ...] = ()
    changes: tuple[Change, ...] = ()
    runs: tuple[Run, ...] = ()
    updates: tuple[Update, ...] = ()
    alerts: tuple[Alert, ...] = ()
    entries: tuple[Entry, ...] = ()
    superseded: frozenset[int] = frozenset()

    @property
    def is_over(self) -> bool:
        """Whether service is restored."""
        return self.status in ("resolved", "closed", "reviewed")

    @property
    def head(self) -> str:
        """The hash of the newest entry; empty when there is none."""
        return self.entries[-1].hash if self.entries else ""

    def checklist(self, name: str) -> Checklist | None:
        """The checklist of this name, if one was shown."""
        return next((one for one in self.checklists if one.name == name), None)

    @property
    def asked_gates(self) -> tuple[Gate, ...]:
        """Every gate, and the approval of every change."""
        return (*self.gates, *(change.gate for change in self.changes))

    @property
    def waiting_gates(self) -> tuple[Gate, ...]:
        """What holds work up and has no answer yet: gates, and changes to be approved.

        What a run asked holds nothing up once the run is over; resumed, it asks again.
        """
        over = {run.id for run in self.runs if run.is_over}
        return tuple(one for one in self.asked_gates if one.is_waiting and one.run not in over)

    def gate(self, gate_id: str) -> Gate | None:
        """The gate of this id, or the approval of the change of this id, if there is one."""
        return next((one for one in self.asked_gates if one.id == gate_id), None)

    def change(self, change_id: str) -> Change | None:
        """The change of this id, if it was asked for."""
        return next((one for one in self.changes if one.id == change_id), None)

    def run(self, run_id: str) -> Run | None:
        """The run of this id, if it is known."""
        return next((one for one in self.runs if one.id == run_id), None)

    def value(self, name: str) -> object:
        """A field by the name people use: an attribute such as 'severity', or a set field."""
        if name in FIELD_NAMES:
            return getattr(self, name)
        return self.fields.get(name)


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of a list of incidents: what lists, search and metrics need."""

    id: str
    title: str
    severity: str
    status: str
    mode: str
    category: str
    owner: str
    services: tuple[str, ...]
    tags: tuple[str, ...]
    opened_at: datetime | None
    acknowledged_at: datetime | None
    mitigated_at: datetime | None
    resolved_at: datetime | None
    closed_at: datetime | None
    reopened: int


FIELD_NAMES = ("title", "severity", "category", "summary", "services", "tags", "owner")
"""The fields that ``field.set`` writes to attributes; others go to ``Incident.fields``."""
