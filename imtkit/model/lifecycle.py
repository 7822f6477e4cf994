"""The lifecycle of an incident: which state follows which, and what is owed before.

Detection and logging (open); categorisation, prioritisation and somebody in charge
(acknowledged); containment (mitigated); restoration, verified (resolved); closure (closed);
review (reviewed). Reopening leads back, and is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imtkit.errors import InputError, MissingFieldsError, NotFoundError, StateError
from imtkit.model.entries import Draft, utc_text
from imtkit.model.incident import Incident

MODES = ("live", "drill", "test", "retrospective")
CATEGORIES = ("major", "security", "complex", "low-impact")
STEP_STATUSES = (
    "completed",
    "failed",
    "timed-out",
    "kernel-died",
    "cancelled",
    "waiting",
    "not-run",
)

TRANSITIONS: Mapping[str, Mapping[str, str]] = {
    # verb -> {state it may start from: state it leads to}
    "acknowledge": {"open": "acknowledged"},
    "mitigate": {"open": "mitigated", "acknowledged": "mitigated"},
    "resolve": {"open": "resolved", "acknowledged": "resolved", "mitigated": "resolved"},
    "close": {"resolved": "closed"},
    "review": {"closed": "reviewed"},
    "reopen": {
        "mitigated": "acknowledged",
        "resolved": "acknowledged",
        "closed": "acknowledged",
        "reviewed": "acknowledged",
    },
}
"""Reopening an incident that nobody had acknowledged leads to 'open' instead."""

_ENTRY_TYPES: Mapping[str, str] = {
    "acknowledge": "incident.acknowledged",
    "mitigate": "incident.mitigated",
    "resolve": "incident.resolved",
    "close": "incident.closed",
    "review": "incident.reviewed",
    "reopen": "incident.reopened",
}
GOING_ON = ("open", "acknowledged", "mitigated")
OVER = ("resolved", "closed", "reviewed")
"""Service is restored: ``Incident.is_over``."""
STATUSES = (*GOING_ON, *OVER)


@dataclass(frozen=True, slots=True)
class Owed:
    """What must be there before a state is entered: fields by name, and finished checklists."""

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    checklists_before: str = "closed"

    def missing(self, incident: Incident, state: str) -> tuple[str, ...]:
        """Names of the fields still empty, then of the required checklists still open."""
        fields = tuple(
            name for name in self.fields.get(state, ()) if _is_empty(incident.value(name))
        )
        if state != self.checklists_before:
            return fields
        lists = tuple(
            f"checklist {one.name}"
            for one in incident.checklists
            if one.is_required and one.open_items
        )
        return fields + lists


def _is_empty(value: object) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or value in ([], (), {})


def move(incident: Incident, verb: str, owed: Owed, draft: Draft) -> Draft:
    """The entry that moves the incident on; the caller's draft lends actor, data and time.

    StateError when the state does not allow it, MissingFieldsError (its ``missing`` names
    them) when something is owed first.
    """
    if verb not in TRANSITIONS:
        raise NotFoundError.of("State change", verb, TRANSITIONS)
    if not incident.status:
        raise StateError(f"{incident.id} was never opened.")
    target = TRANSITIONS[verb].get(incident.status)
    if target is None:
        raise StateError(
            f"{incident.id} is {incident.status}; it cannot be {_ENTRY_TYPES[verb].split('.')[1]}.",
            hint=_next_steps(incident.status),
        )
    _check_time(incident, draft)
    missing = () if verb == "reopen" else owed.missing(incident, target)
    if missing:
        raise MissingFieldsError(
            f"{incident.id} cannot be {target} yet. Still owed: {', '.join(missing)}.",
            missing=missing,
            hint=_how_to_give(incident.id, missing),
        )
    return Draft(
        _ENTRY_TYPES[verb],
        draft.data,
        actor=draft.actor,
        source=draft.source,
        visibility=draft.visibility,
        occurred_at=draft.occurred_at,
        zone=draft.zone,
        key=draft.key,
    )


def _check_time(incident: Incident, draft: Draft) -> None:
    """InputError when a change of state is told to have happened before the one before it."""
    times = (
        incident.opened_at,
        incident.acknowledged_at,
        incident.mitigated_at,
        incident.resolved_at,
        incident.closed_at,
    )
    last = max((moment for moment in times if moment is not None), default=None)
    if last is not None and draft.occurred_at is not None and draft.occurred_at < last:
        raise InputError(
            f"{incident.id} became {incident.status} at {utc_text(last)}; "
            "what comes next cannot be earlier.",
            hint="Give a later time, or leave it out for now.",
        )


def _next_steps(status: str) -> str:
    verbs = [verb for verb, table in TRANSITIONS.items() if status in table]
    return f"From '{status}' one can: {', '.join(verbs)}." if verbs else ""


def _how_to_give(incident_id: str, missing: tuple[str, ...]) -> str:
    fields = [name for name in missing if not name.startswith("checklist ")]
    if not fields:
        return f"Tick it in the notebook, or: imt incident tick {incident_id} LIST ITEM"
    values = " ".join(f"{name}=…" for name in fields)
    return f"Give it: imt incident set {incident_id} {values}"
