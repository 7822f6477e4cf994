"""``fold``: entries -> Incident. Pure and total.

Any sequence of entries gives an incident. Types it does not know, and data that is not what
the catalogue says, stay in the timeline and change nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from imtkit.errors import InputError
from imtkit.model import checklist as checklists
from imtkit.model.checklist import Checklist
from imtkit.model.entries import Entry, is_automation, superseded, utc_from_text
from imtkit.model.gates import changes_after, gates_after
from imtkit.model.incident import (
    WITHOUT_RUNNER,
    Alert,
    Decision,
    Evidence,
    Incident,
    Run,
    Step,
    Summary,
    Task,
    Update,
)

_LARGEST = 1.7976931348623157e308  # a larger whole number is no float
Apply = Callable[[Incident, Entry], Incident]


def fold(incident_id: str, entries: Iterable[Entry]) -> Incident:
    """The incident that these entries, in order, describe."""
    known = tuple(entries)
    dropped = superseded(known)
    incident = Incident(incident_id, entries=known, superseded=dropped)
    for entry in _standing(known, dropped) if dropped else known:
        apply = _APPLY.get(entry.type)
        if apply is not None:
            incident = apply(incident, entry)
    return incident


def _standing(known: tuple[Entry, ...], dropped: frozenset[int]) -> list[Entry]:
    """What still counts; a correction stands where the entry stood that it corrects.

    So a corrected opening does not open again, and a corrected value does not win over one
    that was set later.
    """
    places: dict[int, int] = {}
    for entry in known:
        old = entry.supersedes
        places[entry.n] = places.get(old, entry.n) if old in dropped else entry.n
    standing = (entry for entry in known if entry.n not in dropped)
    return sorted(standing, key=lambda entry: places[entry.n])


def summarise(incident: Incident) -> Summary:
    """The row that lists show for an incident."""
    return Summary(**{f.name: getattr(incident, f.name) for f in fields(Summary)})


def _text(entry: Entry, name: str, default: str = "") -> str:
    value = entry.data.get(name, default)
    return value if isinstance(value, str) else default


def _texts(entry: Entry, name: str) -> tuple[str, ...]:
    value = entry.data.get(name, ())
    return tuple(str(one) for one in value) if isinstance(value, (list, tuple)) else ()


def _table(entry: Entry, name: str) -> Mapping[str, Any]:
    value = entry.data.get(name)
    return value if isinstance(value, Mapping) else {}


def _time(entry: Entry, name: str) -> datetime | None:
    try:
        return utc_from_text(_text(entry, name))
    except (ValueError, InputError):
        return None


def _number(entry: Entry, name: str) -> int | None:
    value = entry.data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _measures(entry: Entry) -> dict[str, float]:
    return {
        str(name): float(value)
        for name, value in _table(entry, "measures").items()
        if isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) <= _LARGEST
    }


def _measured(incident: Incident, entry: Entry) -> Incident:
    return replace(incident, measures={**incident.measures, **_measures(entry)})


def _opened(incident: Incident, entry: Entry) -> Incident:
    return replace(
        incident,
        status="open",
        title=_text(entry, "title"),
        severity=_text(entry, "severity"),
        mode=_text(entry, "mode", "live"),
        category=_text(entry, "category"),
        summary=_text(entry, "summary"),
        services=_texts(entry, "services"),
        tags=_texts(entry, "tags"),
        owner=_text(entry, "owner"),
        measures={**incident.measures, **_measures(entry)},
        # A correction of the opening keeps who opened it.
        opened_by=_text(entry, "opened_by", entry.actor),
        opened_at=entry.occurred_at,
    )


def _acknowledged(incident: Incident, entry: Entry) -> Incident:
    at = incident.acknowledged_at or entry.occurred_at
    owner = incident.owner or ("" if is_automation(entry.actor) else entry.actor)
    return replace(incident, status="acknowledged", acknowledged_at=at, owner=owner)


def _mitigated(incident: Incident, entry: Entry) -> Incident:
    return replace(incident, status="mitigated", mitigated_at=entry.occurred_at)


def _resolved(incident: Incident, entry: Entry) -> Incident:
    return replace(incident, status="resolved", resolved_at=entry.occurred_at)


def _closed(incident: Incident, entry: Entry) -> Incident:
    return replace(incident, status="closed", closed_at=entry.occurred_at)


def _reviewed(incident: Incident, entry: Entry) -> Incident:
    return replace(incident, status="reviewed", reviewed_at=entry.occurred_at)


def _reopened(incident: Incident, entry: Entry) -> Incident:
    return replace(
        incident,
        status="acknowledged" if incident.acknowledged_at else "open",
        reopened=incident.reopened + 1,
        mitigated_at=None,
        resolved_at=None,
        closed_at=None,
        reviewed_at=None,
    )


def _severity(incident: Incident, entry: Entry) -> Incident:
    return replace(incident, severity=_text(entry, "to", incident.severity))


def _field(incident: Incident, entry: Entry) -> Incident:
    name, value = _text(entry, "name"), entry.data.get("value")
    texts = _texts(entry, "value")
    match name:
        case "services":
            return replace(incident, services=texts)
        case "tags":
            return replace(incident, tags=texts)
        case "title" | "severity" | "category" | "summary" | "owner":
            attribute: Mapping[str, Any] = {name: str(value)}
            return replace(incident, **attribute)
        case "":
            return incident
    return replace(incident, fields={**incident.fields, name: value})


def _role(incident: Incident, entry: Entry) -> Incident:
    role, person = _text(entry, "role"), _text(entry, "person")
    if role == "owner":
        return replace(incident, owner=person)
    return replace(incident, roles={**incident.roles, role: person}) if role else incident


def _role_released(incident: Incident, entry: Entry) -> Incident:
    role = _text(entry, "role")
    left = {name: person for name, person in incident.roles.items() if name != role}
    return replace(incident, roles=left)


def _decision(incident: Incident, entry: Entry) -> Incident:
    made = Decision(
        entry.n, _text(entry, "text"), _text(entry, "reason"), entry.actor, entry.occurred_at
    )
    return replace(incident, decisions=(*incident.decisions, made))


def _evidence(incident: Incident, entry: Entry) -> Incident:
    kept = Evidence(
        entry.n,
        _text(entry, "title"),
        _text(entry, "path"),
        _text(entry, "sha256"),
        _text(entry, "media_type"),
        _number(entry, "size") or 0,
        entry.actor,
        entry.occurred_at,
    )
    return replace(incident, evidence=(*incident.evidence, kept))


def _task(incident: Incident, entry: Entry) -> Incident:
    asked = Task(
        _text(entry, "task") or str(entry.n),
        _text(entry, "text"),
        _text(entry, "assignee"),
        entry.actor,
        entry.occurred_at,
        _time(entry, "due_at"),
    )
    return replace(incident, tasks=(*incident.tasks, asked))


def _task_done(incident: Incident, entry: Entry) -> Incident:
    done = _text(entry, "task")
    tasks = tuple(
        replace(task, done_at=entry.occurred_at) if task.id == done else task
        for task in incident.tasks
    )
    return replace(incident, tasks=tasks)


def _put_checklist(incident: Incident, made: Checklist) -> Incident:
    if incident.checklist(made.name) is None:
        return replace(incident, checklists=(*incident.checklists, made))
    lists = tuple(made if one.name == made.name else one for one in incident.checklists)
    return replace(incident, checklists=lists)


def _checklist_shown(incident: Incident, entry: Entry) -> Incident:
    if not _text(entry, "list") or not isinstance(entry.data.get("items", ()), (list, tuple)):
        return incident
    old = incident.checklist(_text(entry, "list"))
    return _put_checklist(incident, checklists.shown(old, entry.data))


def _ticked(incident: Incident, entry: Entry) -> Incident:
    found = incident.checklist(_text(entry, "list"))
    if found is None:
        return incident
    by = entry.actor if entry.type == "checklist.ticked" else ""
    made = checklists.marked(found, _text(entry, "item"), by, entry.occurred_at, entry.source)
    return _put_checklist(incident, made)


def _gate(incident: Incident, entry: Entry) -> Incident:
    return replace(incident, gates=gates_after(incident.gates, entry))


def _change(incident: Incident, entry: Entry) -> Incident:
    return replace(incident, changes=changes_after(incident.changes, entry))


def _put_run(incident: Incident, made: Run) -> Incident:
    if incident.run(made.id) is None:
        return replace(incident, runs=(*incident.runs, made))
    return replace(incident, runs=tuple(made if r.id == made.id else r for r in incident.runs))


def _run_started(incident: Incident, entry: Entry) -> Incident:
    begun = Run(
        id=_text(entry, "run"),
        runbook=_text(entry, "runbook"),
        status=_first_status(entry),
        actor=entry.actor,
        started_at=entry.occurred_at,
        incident=incident.id,
        title=_text(entry, "title"),
        by_hand=entry.data.get("by_hand") is True,
        parameters=_table(entry, "parameters"),
        output_path=_text(entry, "output"),
        runbook_sha256=_text(entry, "runbook_sha256"),
        runner=_table(entry, "runner"),
        steps=_planned(entry),
    )
    return _put_run(incident, begun)


def _first_status(entry: Entry) -> str:
    """Nobody says when they leave a notebook: a sitting neither runs nor completes."""
    if entry.data.get("by_hand") is True:
        return "by hand"
    return WITHOUT_RUNNER if entry.data.get("without_runner") is True else "running"


def _planned(entry: Entry) -> tuple[Step, ...]:
    """The steps a run means to take: until one begins, the truth is that it did not run."""
    planned = entry.data.get("steps")
    return tuple(
        Step(str(step.get("step", "")), "not-run", str(step.get("title", "")))
        for step in (planned if isinstance(planned, (list, tuple)) else ())
        if isinstance(step, Mapping)
    )


def _run_finished(incident: Incident, entry: Entry) -> Incident:
    run = incident.run(_text(entry, "run"))
    if run is None:
        return incident
    ended = replace(
        run,
        status=_text(entry, "status"),
        finished_at=entry.occurred_at,
        error=_text(entry, "error"),
        # What failed may still be in somebody's hands; what was cancelled or completed is over.
        holder="" if _text(entry, "status") in ("cancelled", "completed") else run.holder,
    )
    return _put_run(incident, ended)


def _run_parked(incident: Incident, entry: Entry) -> Incident:
    run = incident.run(_text(entry, "run"))
    if run is None:
        return incident
    return _put_run(incident, replace(run, status="waiting", error=_text(entry, "error")))


def _run_resumed(incident: Incident, entry: Entry) -> Incident:
    run = incident.run(_text(entry, "run"))
    if run is None:
        return incident
    given = {**run.parameters, **_table(entry, "parameters")}
    again = replace(
        run,
        status="running",
        attempt=run.attempt + 1,
        parameters=given,
        runner=_table(entry, "runner"),
        finished_at=None,
        error="",
    )
    return _put_run(incident, again)


def _run_held(incident: Incident, entry: Entry) -> Incident:
    run = incident.run(_text(entry, "run"))
    if run is None:
        return incident
    holder = entry.actor if entry.type == "run.taken" else ""
    return _put_run(incident, replace(run, holder=holder))


def _step(incident: Incident, entry: Entry) -> Incident:
    run = incident.run(_text(entry, "run"))
    if run is None:
        return incident
    is_start = entry.type == "step.started"
    id_ = _text(entry, "step")
    old = next((s for s in run.steps if s.id == id_), None)
    ended_at = None if is_start else entry.occurred_at
    begun_at = entry.occurred_at if is_start else _time(entry, "started_at")
    step = Step(
        id=id_,
        status="running" if is_start else _text(entry, "status"),
        title=_text(entry, "title", old.title if old else ""),
        index=_number(entry, "index") if "index" in entry.data else (old.index if old else None),
        started_at=begun_at or (old.started_at if old else None),
        finished_at=_time(entry, "finished_at") or ended_at,
        error=_text(entry, "error"),
        actor=entry.actor,
    )
    steps = tuple(step if s.id == id_ else s for s in run.steps) if old else (*run.steps, step)
    return _put_run(incident, replace(run, steps=steps))


def _update(incident: Incident, entry: Entry) -> Incident:
    state = entry.type.removeprefix("update.")
    id_ = _text(entry, "update")
    old = next((u for u in incident.updates if u.id == id_), None)
    if old is None:
        made = Update(
            id=id_,
            page=_text(entry, "page"),
            status=_text(entry, "status"),
            body=_text(entry, "body"),
            state=state,
            actor=entry.actor,
            at=entry.occurred_at,
            title=_text(entry, "title"),
            remote_id=_text(entry, "remote_id"),
            url=_text(entry, "url"),
            error=_text(entry, "error"),
            impact=_text(entry, "impact", "minor"),
            is_notifying=entry.data.get("notify") is True,
            components=_table(entry, "components"),
        )
        return replace(incident, updates=(*incident.updates, made))
    made = replace(
        old,
        state=state,
        remote_id=_text(entry, "remote_id", old.remote_id),
        url=_text(entry, "url", old.url),
        error=_text(entry, "error"),
    )
    updates = tuple(made if u.id == id_ else u for u in incident.updates)
    return replace(incident, updates=updates)


def _alert(incident: Incident, entry: Entry) -> Incident:
    fingerprint = _text(entry, "fingerprint")
    old = next((a for a in incident.alerts if a.fingerprint == fingerprint), None)
    if entry.type == "alert.resolved":
        if old is None:
            return incident
        ended = _time(entry, "ended_at") or entry.occurred_at
        made = replace(old, status="resolved", ended_at=ended)
    else:
        made = Alert(
            fingerprint=fingerprint,
            name=_text(entry, "name"),
            status="firing",
            source=_text(entry, "source") or entry.source,
            started_at=_time(entry, "started_at") or entry.occurred_at,
            labels=_table(entry, "labels"),
            annotations=_table(entry, "annotations"),
            count=old.count + 1 if old else 1,
        )
    if old is None:
        return replace(incident, alerts=(*incident.alerts, made))
    alerts = tuple(made if a.fingerprint == fingerprint else a for a in incident.alerts)
    return replace(incident, alerts=alerts)


_APPLY: Mapping[str, Apply] = {
    "incident.opened": _opened,
    "incident.acknowledged": _acknowledged,
    "incident.mitigated": _mitigated,
    "incident.resolved": _resolved,
    "incident.closed": _closed,
    "incident.reviewed": _reviewed,
    "incident.reopened": _reopened,
    "measure.taken": _measured,
    "severity.changed": _severity,
    "field.set": _field,
    "role.assigned": _role,
    "role.released": _role_released,
    "decision.made": _decision,
    "evidence.added": _evidence,
    "task.assigned": _task,
    "task.done": _task_done,
    "checklist.shown": _checklist_shown,
    "checklist.ticked": _ticked,
    "checklist.unticked": _ticked,
    "gate.opened": _gate,
    "gate.answered": _gate,
    "gate.expired": _gate,
    "change.asked": _change,
    "change.approved": _change,
    "change.denied": _change,
    "change.begun": _change,
    "change.executed": _change,
    "change.verified": _change,
    "change.failed": _change,
    "change.settled": _change,
    "run.started": _run_started,
    "run.parked": _run_parked,
    "run.resumed": _run_resumed,
    "run.taken": _run_held,
    "run.given": _run_held,
    "run.finished": _run_finished,
    "step.started": _step,
    "step.finished": _step,
    "update.requested": _update,
    "update.published": _update,
    "update.failed": _update,
    "update.withheld": _update,
    "alert.received": _alert,
    "alert.resolved": _alert,
}
