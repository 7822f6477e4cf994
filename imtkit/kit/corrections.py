"""Put right what an entry says, or take it back, by a new entry.

Only what somebody told can be corrected: a note, a decision, what was said at the opening.
States, severities, fields, ticks and answers change by their own verbs, which know who may.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imtkit.errors import AuthorityError, InputError, NotFoundError, StateError
from imtkit.kit.desk import Desk, id_of
from imtkit.kit.incidents import field_value, need_text
from imtkit.model.entries import Draft, Entry, is_automation
from imtkit.model.incident import Incident

CORRECTABLE: Mapping[str, tuple[str, ...]] = {
    # type of entry -> what of it can be put right
    "note.added": ("text",),
    "decision.made": ("text", "reason"),
    "evidence.added": ("title",),
    "task.assigned": ("text", "assignee"),
    "incident.opened": ("title", "summary", "services", "tags", "category"),
}
WITHDRAWABLE = ("note.added", "decision.made", "evidence.added", "task.assigned", "measure.taken")


def correct(
    desk: Desk, incident_id: str, n: int, data: Mapping[str, object], *, reason: str
) -> Entry:
    """Replace what entry ``n`` says by a new entry of its type; the old one stays readable.

    StateError when such an entry is not corrected so, NotFoundError for a part it does not
    have, AuthorityError when a machine would correct what a person said.
    """
    need_text("A correction's reason", reason)

    def replace_it(incident: Incident) -> Sequence[Draft]:
        old = _standing(incident, n)
        parts = CORRECTABLE.get(old.type)
        if parts is None:
            raise StateError(
                f"Entry {n} of {incident.id} is '{old.type}'; that is not corrected, but changed.",
                hint="Use the verb that made it: set, assign, tick, reopen and so on.",
            )
        _check_author(desk, old)
        said = {**old.data, **_checked(parts, data, old)}
        said |= {"supersedes": n, "reason_for_correction": reason}
        if old.type == "incident.opened":
            said["opened_by"] = incident.opened_by
        return [desk.draft(old.type, said, at=old.occurred_at, visibility=old.visibility)]

    return desk.store.change(id_of(incident_id), replace_it)[0]


def withdraw(desk: Desk, incident_id: str, n: int, *, reason: str) -> Entry:
    """Take entry ``n`` back: it stays readable, and no longer counts."""
    need_text("A withdrawal's reason", reason)

    def take_back(incident: Incident) -> Sequence[Draft]:
        old = _standing(incident, n)
        if old.type not in WITHDRAWABLE:
            raise StateError(
                f"Entry {n} of {incident.id} is '{old.type}'; that is not withdrawn.",
                hint="What changed the incident is changed back by its own verb, or reopened.",
            )
        _check_author(desk, old)
        return [desk.draft("entry.withdrawn", {"supersedes": n, "reason": reason})]

    return desk.store.change(id_of(incident_id), take_back)[0]


def _standing(incident: Incident, n: int) -> Entry:
    if not 1 <= n <= len(incident.entries):
        raise NotFoundError(f"{incident.id} has no entry {n}; it has {len(incident.entries)}.")
    if n in incident.superseded:
        raise StateError(f"Entry {n} of {incident.id} was corrected already; correct the newer.")
    return incident.entries[n - 1]


def _check_author(desk: Desk, old: Entry) -> None:
    if is_automation(desk.who()) and old.actor != desk.who():
        raise AuthorityError(
            f"{desk.who()} may not take back what {old.actor} said.",
            hint="A person corrects it; a machine corrects only itself.",
        )


def _checked(parts: tuple[str, ...], data: Mapping[str, object], old: Entry) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in data.items():
        if name not in parts:
            raise NotFoundError.of("Part", name, parts, where=f" of '{old.type}'")
        if name in ("services", "tags", "category", "title"):
            kept = field_value(name, value)
            checked[name] = list(kept) if isinstance(kept, tuple) else kept
        else:
            checked[name] = str(value)
        if checked[name] == "":
            raise InputError(f"'{name}' of entry {old.n} cannot be empty.", hint="Withdraw it.")
    if not checked:
        raise InputError(f"Nothing of entry {old.n} is corrected.", hint=f"Give {parts[0]}=…")
    return checked
