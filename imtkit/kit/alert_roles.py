"""Who gets which role in the incident of an alert. What somebody has is never taken from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from imtkit.alerts.pipeline import Case, Duty
from imtkit.kit.desk import Desk
from imtkit.model.entries import Draft
from imtkit.model.incident import Incident


def to_give(case: Case, held: Collection[str]) -> Case:
    """The case with those of its duties alone whose roles are not held for sure, in lower case.

    Of a storm's alerts the first gives the roles: the others need not fold the incident.
    """
    left = tuple(duty for duty in case.duties if duty.role.casefold() not in held)
    return replace(case, duties=left)


def given(desk: Desk, case: Case, incident: Incident) -> list[Draft]:
    """The entries that give the case's duties, but for roles that somebody has."""
    return [
        desk.draft(
            "role.assigned",
            {"role": duty.role, "person": duty.person, "reason": duty.reason},
            key=f"{case.episode}/role/{duty.role}",
        )
        for duty in case.duties
        if not holder(duty.role, incident)
    ]


def holder(role: str, incident: Incident) -> str:
    """Who has a role of an incident, whatever the case it is written in; empty: nobody."""
    held = {"owner": incident.owner, **incident.roles}
    return next((who for name, who in held.items() if name.casefold() == role.casefold()), "")


def owner_among(duties: Sequence[Duty]) -> str:
    """Who is to own the incident that is opened; empty where no rule names an owner."""
    return next((one.person for one in duties if one.role == "owner"), "")
