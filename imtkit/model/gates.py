"""Gates and changes: questions that hold work up, and what the log says of them.

A gate is a question that one person answers once. A change is a deed that somebody else than
its asker must approve first; its approval is a gate too, with the answers 'approve' and 'deny'.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from imtkit.errors import InputError
from imtkit.model.checklist import slug
from imtkit.model.entries import Entry, utc_from_text

MIME_TYPE = "application/vnd.imtkit.gate+json"
"""What a notebook keeps of a shown gate: {"incident", "gate"}, a place in the log."""

APPROVE, DENY = "approve", "deny"
EXPIRY = "automation/expiry"
"""Who writes down that nobody answered in time."""
ANEW = "Run the runbook anew, or ask under another name: edit the cell, then resume."
"""What to do after a denial; whoever only resumes meets it again."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A question that holds work up. ``state``: waiting, answered or expired.

    ``who``: the people, or holders of roles, who may answer; empty means any person. ``but_not``
    may not answer in any case.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    state: str
    opened_by: str
    opened_at: datetime
    who: tuple[str, ...] = ()
    but_not: str = ""
    expires_at: datetime | None = None
    run: str = ""
    step: str = ""
    answer: str = ""
    reason: str = ""
    by: str = ""
    at: datetime | None = None
    via: str = ""

    @property
    def is_waiting(self) -> bool:
        return self.state == "waiting"

    def is_due(self, now: datetime) -> bool:
        """Whether it waits longer than it may."""
        return self.is_waiting and self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True)
class Change:
    """A deed that needs approval.

    ``state``: asked, approved, denied, begun, executed, verified or failed. ``gate`` is its
    approval. ``begun`` and nothing after it means: nobody knows whether it was done, until
    somebody has looked and settled it.
    """

    id: str
    title: str
    state: str
    gate: Gate
    why: str = ""
    do: str = ""
    verify: str = ""
    rollback: str = ""
    error: str = ""
    executed_by: str = ""
    executed_at: datetime | None = None
    ended_at: datetime | None = None
    settled_as: str = ""
    settled_by: str = ""
    settled_because: str = ""
    settled_at: datetime | None = None

    @property
    def plan(self) -> tuple[tuple[str, str], ...]:
        """What whoever approves should read, by name; what was not said is left out."""
        parts = (
            ("Why", self.why),
            ("What is done", self.do),
            ("How it is verified", self.verify),
            ("Rollback", self.rollback),
        )
        return tuple((name, text) for name, text in parts if text)


def gate_id(run: str, question: str, *, name: str = "") -> str:
    """The id of a gate: the same when the same cell of the same run asks again.

    It is made of the run's id and of the given name, else of the question; at most 64 letters,
    digits, '.', '_' and '-'. InputError when both are empty.
    """
    told = (name or question).strip()
    if not told:
        raise InputError("A gate has no question.")
    text = slug(told, most=28)
    if slug(told, most=len(told)) != text or not told.isascii():
        text = f"{text}-{_digest(told)}"
    return f"{_short(run)}-{text}" if run else text


def _short(run: str) -> str:
    plain = slug(run, most=len(run))
    return plain if len(plain) <= 27 else f"{plain[:20].rstrip('-')}-{_digest(run)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:6]


def gates_after(gates: tuple[Gate, ...], entry: Entry) -> tuple[Gate, ...]:
    """The gates after one more entry; the first answer stands, whatever comes later."""
    id_ = _text(entry.data, "gate")
    old = next((one for one in gates if one.id == id_), None)
    if entry.type == "gate.opened":
        made = _opened(entry, id_, _text(entry.data, "question"), _texts(entry.data, "answers"))
        return gates if old or not id_ else (*gates, made)
    if old is None or not old.is_waiting:
        return gates
    answer = _text(entry.data, "answer")
    is_answer = entry.type == "gate.answered"
    if is_answer and not answer:
        return gates
    ended = _ended(old, entry, answer if is_answer else "")
    return tuple(ended if one.id == id_ else one for one in gates)


_FOLLOWS: Mapping[str, tuple[str, ...]] = {
    # entry type -> the states of a change that it may follow
    "change.approved": ("asked",),
    "change.denied": ("asked",),
    "change.begun": ("approved",),
    "change.executed": ("approved", "begun"),
    "change.verified": ("executed",),
    "change.failed": ("approved", "begun", "executed"),
    "change.settled": ("begun",),
}
OUTCOMES = ("executed", "failed")
"""How a change can have ended whose end the log does not know."""


def changes_after(changes: tuple[Change, ...], entry: Entry) -> tuple[Change, ...]:
    """The changes after one more entry; what does not follow from where one is changes nothing."""
    id_ = _text(entry.data, "change")
    old = next((one for one in changes if one.id == id_), None)
    if entry.type == "change.asked":
        return changes if old or not id_ else (*changes, _asked(entry, id_))
    if old is None or old.state not in _states_before(entry, old):
        return changes
    made = _moved(old, entry)
    return tuple(made if one.id == id_ else one for one in changes)


def _states_before(entry: Entry, change: Change) -> tuple[str, ...]:
    states = _FOLLOWS.get(entry.type, ())
    if entry.type == "change.settled" and _text(entry.data, "outcome") not in OUTCOMES:
        return ()
    # Whoever did it knows better than whoever looked, though they come late to say so.
    return (*states, "failed") if entry.type == "change.executed" and change.settled_by else states


def denied(gates: tuple[Gate, ...], changes: tuple[Change, ...], run: str) -> tuple[Gate, ...]:
    """What a run asked for and was not given: expired gates, and changes denied or expired.

    Of each step that counts which it asked last: who asks anew, under another name, is no
    longer denied. An answer of 'no' is an answer.
    """
    refused = {gate.id for gate in gates if gate.state == "expired"}
    refused |= {change.id for change in changes if change.state == "denied"}
    asked = (*gates, *(change.gate for change in changes))
    inside = sorted((one for one in asked if one.run == run), key=lambda one: one.opened_at)
    last = {gate.step: gate for gate in inside}
    return tuple(gate for gate in last.values() if gate.id in refused)


def _asked(entry: Entry, id_: str) -> Change:
    said, title = entry.data, _text(entry.data, "title")
    gate = _opened(entry, id_, f"Approve the change: {title}", (APPROVE, DENY))
    return Change(
        id_,
        title,
        "asked",
        replace(gate, but_not=entry.actor),
        why=_text(said, "why"),
        do=_text(said, "do"),
        verify=_text(said, "verify"),
        rollback=_text(said, "rollback"),
    )


def _moved(change: Change, entry: Entry) -> Change:
    state = entry.type.removeprefix("change.")
    moved = replace(change, state=state)
    match state:
        case "approved":
            return replace(moved, gate=_ended(change.gate, entry, APPROVE))
        case "denied":
            answer = "" if entry.data.get("expired") is True else DENY
            return replace(moved, gate=_ended(change.gate, entry, answer))
        case "executed":
            return replace(moved, executed_by=entry.actor, executed_at=entry.occurred_at)
        case "verified" | "failed":
            error = _text(entry.data, "error")
            return replace(moved, ended_at=entry.occurred_at, error=error)
        case "settled":
            return _settled(change, entry)
    return moved


def _settled(change: Change, entry: Entry) -> Change:
    outcome, because = _text(entry.data, "outcome"), _text(entry.data, "reason")
    settled = replace(
        change,
        state=outcome,
        settled_as=outcome,
        settled_by=entry.actor,
        settled_because=because,
        settled_at=entry.occurred_at,
    )
    if outcome != "failed":
        return settled
    return replace(settled, ended_at=entry.occurred_at, error=because)


def _opened(entry: Entry, id_: str, question: str, answers: tuple[str, ...]) -> Gate:
    return Gate(
        id_,
        question,
        answers,
        "waiting",
        entry.actor,
        entry.occurred_at,
        who=_texts(entry.data, "who"),
        expires_at=_time(entry.data, "expires_at"),
        run=_text(entry.data, "run"),
        step=_text(entry.data, "step"),
    )


def _ended(gate: Gate, entry: Entry, answer: str) -> Gate:
    return replace(
        gate,
        state="answered" if answer else "expired",
        answer=answer,
        reason=_text(entry.data, "reason"),
        by=entry.actor if answer else "",
        at=entry.occurred_at,
        via=entry.source if answer else "",
    )


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name, "")
    return value if isinstance(value, str) else ""


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = data.get(name, ())
    return tuple(str(one) for one in value) if isinstance(value, (list, tuple)) else ()


def _time(data: Mapping[str, Any], name: str) -> datetime | None:
    try:
        return utc_from_text(_text(data, name))
    except (ValueError, InputError):
        return None
