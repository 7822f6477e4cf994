"""What nobody answered in time: whoever looks first writes it down."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from imtkit.errors import StoreError
from imtkit.kit.desk import Desk, id_of
from imtkit.model.entries import Draft, utc_text
from imtkit.model.gates import EXPIRY, Gate
from imtkit.model.incident import Incident, Run, Step
from imtkit.model.words import moment_text
from imtkit.runs import denial


def look(desk: Desk, incident_id: str) -> Incident:
    """An incident as it is now: a gate whose time is over has expired, a run parked there ended.

    Where that cannot be written, the incident is as the log has it.
    """
    id_ = id_of(incident_id)
    incident = desk.store.incident(id_)
    if not overdue(desk, incident):
        return incident
    with suppress(StoreError):  # looking works where writing does not
        desk.store.change(id_, lambda now: overdue(desk, now))
        return desk.store.incident(id_)
    return incident


def overdue(desk: Desk, incident: Incident) -> list[Draft]:
    """What is to be written of an incident because time has passed."""
    now = desk.clock.now()
    due = [gate for gate in incident.asked_gates if gate.is_due(now)]
    ended = [draft for gate in due for draft in expiry(desk, incident, gate)]
    for run in incident.runs:
        gate = _parked_at(incident, run)
        if gate is not None and (gate in due or gate.state == "expired"):
            ended += _end(desk.acting_as(EXPIRY), run, words(gate))
    return ended


def expiry(desk: Desk, incident: Incident, gate: Gate) -> Sequence[Draft]:
    """The entry that says that a gate has expired, when its time is over."""
    if not gate.is_due(desk.clock.now()):
        return []
    clerk = desk.acting_as(EXPIRY)
    if incident.change(gate.id) is None:
        key = f"{incident.id}/gate/{gate.id}/end"
        return [clerk.draft("gate.expired", {"gate": gate.id}, key=key)]
    data = {"change": gate.id, "expired": True, "reason": "nobody answered in time"}
    key = f"{incident.id}/change/{gate.id}/decision"
    return [clerk.draft("change.denied", data, key=key)]


def has_ended(incident: Incident, run: Run) -> bool:
    """Whether a run ended because nobody answered in time, and has not gone on since."""
    ends = (e for e in reversed(incident.entries) if e.type == "run.finished")
    last = next((entry for entry in ends if entry.data.get("run") == run.id), None)
    return run.status == "failed" and last is not None and last.actor == EXPIRY


def words(gate: Gate) -> str:
    """That nobody answered a gate in time."""
    return f"The gate '{gate.question}' expired {moment_text(gate.expires_at)}; nobody answered."


def _parked_at(incident: Incident, run: Run) -> Gate | None:
    """The gate that a parked run waits for; None when somebody has the run in hand."""
    if run.status != "waiting" or run.holder:
        return None
    steps = ("", *(step.id for step in run.steps if step.status == "waiting"))
    asked = [gate for gate in incident.asked_gates if gate.run == run.id and gate.step in steps]
    return max(asked, key=lambda gate: gate.opened_at, default=None)


def _end(clerk: Desk, run: Run, said: str) -> list[Draft]:
    """A run that was parked there waits no more: it has failed, and so has its step."""
    error = f"{denial.ERROR}{said}"
    steps = [
        clerk.draft("step.finished", {"run": run.id, **_failed(step, error)})
        for step in run.steps
        if step.status == "waiting"
    ]
    key = f"{run.incident}/{run.id}/expired/{run.attempt}"
    ended = {"run": run.id, "status": "failed", "error": said}
    return [*steps, clerk.draft("run.finished", ended, key=key)]


def _failed(step: Step, error: str) -> dict[str, Any]:
    told = {"step": step.id, "title": step.title, "status": "failed", "error": error}
    times = {"started_at": step.started_at, "finished_at": step.finished_at}
    place = {} if step.index is None else {"index": step.index}
    return {**told, **place, **{name: utc_text(at) for name, at in times.items() if at}}
