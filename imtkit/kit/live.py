"""Checklists and gates that somebody clicks in: what is shown, and what a click says.

JupyterLab's extension (over HTTP) and the widget (over a kernel's comm) speak the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from imtkit.errors import InputError
from imtkit.kit import checklists, gates
from imtkit.kit.desk import Desk, id_of
from imtkit.model.checklist import Checklist
from imtkit.model.entries import utc_from_text, utc_text
from imtkit.model.gate_drawing import gate_facts, gate_state_in, gate_title
from imtkit.model.gates import Gate


def live_list(desk: Desk, incident_id: str, checklist: Checklist) -> dict[str, Any]:
    """A checklist as JSON, who would be ticking (empty: nobody is known), and the time here.

    Whoever clicks reckons the click's deadline from ``now``, for clocks differ.
    """
    return {
        "incident": incident_id,
        "list": checklist.name,
        "title": checklist.title,
        "required": checklist.is_required,
        "person": desk.actor,
        "now": utc_text(desk.clock.now()),
        "items": [
            {
                "id": item.id,
                "text": item.text,
                "by": item.by,
                "at": utc_text(item.at) if item.at else None,
                "via": item.via,
            }
            for item in checklist.items
        ],
    }


def click(desk: Desk, incident_id: str, name: str, said: Mapping[str, Any]) -> Checklist:
    """Record a click: {"item", "checked", "nonce", "not_after"}; the list as it is then.

    InputError when the words are wrong; StateError when it comes after ``not_after``.
    """
    item, checked = said.get("item"), said.get("checked")
    nonce, not_after = said.get("nonce", ""), said.get("not_after")
    if not isinstance(item, str) or not isinstance(checked, bool) or not isinstance(nonce, str):
        raise InputError("A click says which item (text) and whether it is checked (true, false).")
    if len(nonce) > 100:
        raise InputError("A click's nonce has at most 100 characters.")
    mark = checklists.tick if checked else checklists.untick
    return mark(desk, incident_id, name, item, nonce=nonce, not_after=_deadline(not_after))


def live_gate(desk: Desk, incident_id: str, gate_id: str) -> dict[str, Any]:
    """A gate, or a change to be approved, as JSON; who would answer, and the time here.

    ``refusal`` says why that person may not answer; it is empty for whoever may, and where
    nobody is known. ``facts`` are pairs of texts.
    """
    gate = gates.state(desk, incident_id, gate_id)
    incident = desk.store.incident(id_of(incident_id))
    change, run = incident.change(gate.id), incident.run(gate.run)
    refused = gates.refusal(incident, gate, desk.actor) if desk.actor else None
    return {
        "incident": incident.id,
        "gate": gate.id,
        "title": gate_title(gate, change),
        "state": gate.state,
        "said": gate_state_in(incident, gate),
        "answers": list(gate.answers),
        "answer": gate.answer,
        "by": gate.by,
        "at": utc_text(gate.at) if gate.at else None,
        "facts": [list(fact) for fact in gate_facts(gate, change)],
        "by_hand": bool(run and run.by_hand),
        "person": desk.actor,
        "refusal": f"{refused} {refused.hint}".strip() if refused else "",
        "now": utc_text(desk.clock.now()),
    }


def give_answer(desk: Desk, incident_id: str, gate_id: str, said: Mapping[str, Any]) -> Gate:
    """Record an answer: {"answer", "reason", "not_after"}; the gate as it is then.

    InputError when the words are wrong; errors otherwise as of ``gates.answer``.
    """
    answer, reason = said.get("answer"), said.get("reason", "")
    if not isinstance(answer, str) or not isinstance(reason, str):
        raise InputError("An answer is a text, and so is its reason.")
    if len(reason) > 2000:
        raise InputError("A reason has at most 2000 characters.")
    deadline = _deadline(said.get("not_after"))
    return gates.answer(desk, incident_id, gate_id, answer, reason=reason, not_after=deadline)


def _deadline(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        return utc_from_text(str(value))
    except ValueError as error:
        raise InputError(f"'{value}' is not a time.", hint="Write 2026-11-21T20:16:00Z.") from error
