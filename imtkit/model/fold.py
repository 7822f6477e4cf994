"""``fold``: entries -> Incident. Pure and total.

Any sequence of entries gives an incident. Types it does not know, and data that is not what
the catalogue says, stay in the timeline and change nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from imtkit.model import checklist as checklists
from imtkit.model.checklist import Checklist
from imtkit.model.entries import Draft, Entry, is_automation, superseded
from imtkit.model.entry_data import number_of, table_of, text_of, texts_of, time_of
from imtkit.model.gates import changes_after, gates_after
from imtkit.model.incident import (
    Alert,
    Decision,
    Evidence,
    Incident,
    Summary,
    Task,
    Update,
)
from imtkit.model.run_fold import RUN_ENTRIES

_LARGEST = 1.7976931348623157e308  # a larger whole number is no float
Apply = Callable[[Incident, Entry], Incident]


def fold(incident_id: str, entries: Iterable[Entry]) -> Incident:
    """The incident that these entries, in order, describe."""
    known = tuple(entries)
    dropped = superseded(known)
    incident = Incident(incident_id, entries=known, superseded=dropped)
    alerts: dict[str, Alert] = {}  # beside it: a storm has thousands, which none else looks at
    for entry in _standing(known, dropped) if dropped else known:
        apply = _APPLY.get(entry.type)
        if entry.type in _OF_ALERTS:
            _tell_alert(alerts, entry)
        elif apply is not None:
            incident = apply(incident, entry)
    return replace(incident, alerts=tuple(alerts.values()))


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


def foreseen(incident: Incident, drafts: Iterable[Draft], at: datetime) -> Incident:
    """The incident as it will be once these are written, at this time; none corrects another."""
    for draft in drafts:
        entry = draft.unstored(incident.id, len(incident.entries) + 1, at)
        apply = _APPLY.get(entry.type)
        incident = replace(incident, entries=(*incident.entries, entry))
        incident = apply(incident, entry) if apply else incident
    return incident


def summarise(incident: Incident) -> Summary:
    """The row that lists show for an incident."""
    return Summary(**{f.name: getattr(incident, f.name) for f in fields(Summary)})


def _measures(entry: Entry) -> dict[str, float]:
    return {
        str(name): float(value)
        for name, value in table_of(entry, "measures").items()
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
        title=text_of(entry, "title"),
        severity=text_of(entry, "severity"),
        mode=text_of(entry, "mode", "live"),
        category=text_of(entry, "category"),
        summary=text_of(entry, "summary"),
        services=texts_of(entry, "services"),
        tags=texts_of(entry, "tags"),
        owner=text_of(entry, "owner"),
        measures={**incident.measures, **_measures(entry)},
        # A correction of the opening keeps who opened it.
        opened_by=text_of(entry, "opened_by", entry.actor),
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
    return replace(incident, severity=text_of(entry, "to", incident.severity))


def _field(incident: Incident, entry: Entry) -> Incident:
    name, value = text_of(entry, "name"), entry.data.get("value")
    texts = texts_of(entry, "value")
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
    role, person = text_of(entry, "role"), text_of(entry, "person")
    if role == "owner":
        return replace(incident, owner=person)
    return replace(incident, roles={**incident.roles, role: person}) if role else incident


def _role_released(incident: Incident, entry: Entry) -> Incident:
    role = text_of(entry, "role")
    left = {name: person for name, person in incident.roles.items() if name != role}
    return replace(incident, roles=left)


def _decision(incident: Incident, entry: Entry) -> Incident:
    made = Decision(
        entry.n, text_of(entry, "text"), text_of(entry, "reason"), entry.actor, entry.occurred_at
    )
    return replace(incident, decisions=(*incident.decisions, made))


def _evidence(incident: Incident, entry: Entry) -> Incident:
    kept = Evidence(
        entry.n,
        text_of(entry, "title"),
        text_of(entry, "path"),
        text_of(entry, "sha256"),
        text_of(entry, "media_type"),
        number_of(entry, "size") or 0,
        entry.actor,
        entry.occurred_at,
    )
    return replace(incident, evidence=(*incident.evidence, kept))


def _task(incident: Incident, entry: Entry) -> Incident:
    asked = Task(
        text_of(entry, "task") or str(entry.n),
        text_of(entry, "text"),
        text_of(entry, "assignee"),
        entry.actor,
        entry.occurred_at,
        time_of(entry, "due_at"),
    )
    return replace(incident, tasks=(*incident.tasks, asked))


def _task_done(incident: Incident, entry: Entry) -> Incident:
    done = text_of(entry, "task")
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
    if not text_of(entry, "list") or not isinstance(entry.data.get("items", ()), (list, tuple)):
        return incident
    old = incident.checklist(text_of(entry, "list"))
    return _put_checklist(incident, checklists.shown(old, entry.data))


def _ticked(incident: Incident, entry: Entry) -> Incident:
    found = incident.checklist(text_of(entry, "list"))
    if found is None:
        return incident
    by = entry.actor if entry.type == "checklist.ticked" else ""
    made = checklists.marked(found, text_of(entry, "item"), by, entry.occurred_at, entry.source)
    return _put_checklist(incident, made)


def _gate(incident: Incident, entry: Entry) -> Incident:
    return replace(incident, gates=gates_after(incident.gates, entry))


def _change(incident: Incident, entry: Entry) -> Incident:
    return replace(incident, changes=changes_after(incident.changes, entry))


def _update(incident: Incident, entry: Entry) -> Incident:
    state = entry.type.removeprefix("update.")
    id_ = text_of(entry, "update")
    old = next((u for u in incident.updates if u.id == id_), None)
    if old is None:
        made = Update(
            id=id_,
            page=text_of(entry, "page"),
            status=text_of(entry, "status"),
            body=text_of(entry, "body"),
            state=state,
            actor=entry.actor,
            at=entry.occurred_at,
            title=text_of(entry, "title"),
            remote_id=text_of(entry, "remote_id"),
            url=text_of(entry, "url"),
            error=text_of(entry, "error"),
            impact=text_of(entry, "impact", "minor"),
            is_notifying=entry.data.get("notify") is True,
            components=table_of(entry, "components"),
        )
        return replace(incident, updates=(*incident.updates, made))
    made = replace(
        old,
        state=state,
        remote_id=text_of(entry, "remote_id", old.remote_id),
        url=text_of(entry, "url", old.url),
        error=text_of(entry, "error"),
    )
    updates = tuple(made if u.id == id_ else u for u in incident.updates)
    return replace(incident, updates=updates)


def _tell_alert(alerts: dict[str, Alert], entry: Entry) -> None:
    """What an entry says of an alert, put among those that are known by their fingerprints."""
    fingerprint = text_of(entry, "fingerprint")
    old = alerts.get(fingerprint)
    if entry.type == "alert.received":
        alerts[fingerprint] = Alert(
            fingerprint=fingerprint,
            name=text_of(entry, "name"),
            status="firing",
            source=text_of(entry, "source") or entry.source,
            started_at=time_of(entry, "started_at") or entry.occurred_at,
            labels=table_of(entry, "labels"),
            annotations=table_of(entry, "annotations"),
            count=old.count + 1 if old else 1,
        )
    elif old is not None:
        ended = time_of(entry, "ended_at") or entry.occurred_at
        alerts[fingerprint] = replace(old, status="resolved", ended_at=ended)


def _alert(incident: Incident, entry: Entry) -> Incident:
    alerts = {alert.fingerprint: alert for alert in incident.alerts}
    _tell_alert(alerts, entry)
    return replace(incident, alerts=tuple(alerts.values()))


_OF_ALERTS = ("alert.received", "alert.resolved")
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
    **RUN_ENTRIES,
    "update.requested": _update,
    "update.published": _update,
    "update.failed": _update,
    "update.withheld": _update,
    "alert.received": _alert,
    "alert.resolved": _alert,
}
