"""Put checklists before people, and record their ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from imtkit.errors import NotFoundError, StateError
from imtkit.kit.desk import Desk, id_of
from imtkit.model.checklist import Checklist
from imtkit.model.entries import Draft
from imtkit.model.incident import Incident


def show(desk: Desk, incident_id: str, checklist: Checklist) -> Checklist:
    """Put a checklist before people; the same definition again logs nothing new.

    Items that keep their id keep their tick when the list has changed.
    """

    def unless_shown(incident: Incident) -> Sequence[Draft]:
        known = incident.checklist(checklist.name)
        # What was required once stays so: showing it again is no way out.
        required = checklist.is_required or (known is not None and known.is_required)
        definition = replace(checklist, is_required=required).as_data()
        if known is not None and known.as_data() == definition:
            return []
        return [desk.draft("checklist.shown", definition)]

    desk.store.change(id_of(incident_id), unless_shown)
    return get(desk, incident_id, checklist.name)


def get(desk: Desk, incident_id: str, name: str) -> Checklist:
    """A checklist as the log has it now."""
    return _of(desk.store.incident(id_of(incident_id)), name)


def tick(
    desk: Desk,
    incident_id: str,
    name: str,
    item: str,
    *,
    nonce: str = "",
    not_after: datetime | None = None,
) -> Checklist:
    """Tick an item (by id or text). Ticking what is ticked logs nothing.

    ``nonce`` makes a retried click one click. A click that arrives after ``not_after`` is
    refused (StateError): its sender was told already that it was not recorded.
    """
    return _mark(desk, incident_id, name, item, (True, nonce, not_after))


def untick(
    desk: Desk,
    incident_id: str,
    name: str,
    item: str,
    *,
    nonce: str = "",
    not_after: datetime | None = None,
) -> Checklist:
    """Take a tick back; the tick and its taking back both stay in the log."""
    return _mark(desk, incident_id, name, item, (False, nonce, not_after))


def _mark(
    desk: Desk,
    incident_id: str,
    name: str,
    item: str,
    how: tuple[bool, str, datetime | None],
) -> Checklist:
    is_ticked, nonce, not_after = how
    type_ = "checklist.ticked" if is_ticked else "checklist.unticked"

    def decide(incident: Incident) -> Sequence[Draft]:
        if not_after is not None and desk.clock.now() > not_after:
            raise StateError("The click came too late; nothing was recorded.", hint="Click again.")
        if incident.status in ("closed", "reviewed"):
            raise StateError(
                f"{incident.id} is {incident.status}; its checklists stand as they are.",
                hint=f"If it is not over: imt incident reopen {incident.id} --reason …",
            )
        found = _of(incident, name).item(item)
        if found.is_ticked == is_ticked:
            return []
        data = {"list": name, "item": found.id, "text": found.text}
        key = f"{incident.id}/{type_}/{nonce}" if nonce else None
        return [desk.draft(type_, data, key=key)]

    desk.store.change(id_of(incident_id), decide)
    return get(desk, incident_id, name)


def _of(incident: Incident, name: str) -> Checklist:
    found = incident.checklist(name)
    if found is None:
        known = (one.name for one in incident.checklists)
        raise NotFoundError.of("Checklist", name, known, where=f" on {incident.id}")
    return found
