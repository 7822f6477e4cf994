"""Ask for a change, and carry it out once somebody else has approved it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imtkit.errors import (
    AuthorityError,
    DeniedError,
    InputError,
    StateError,
    StepError,
    WaitingError,
)
from imtkit.kit import gates
from imtkit.kit.desk import Desk, id_of
from imtkit.kit.gates import Question
from imtkit.model.entries import Draft, is_automation
from imtkit.model.gates import ANEW, OUTCOMES, Change, gate_id
from imtkit.model.incident import Incident
from imtkit.model.words import moment_text, one_line


@dataclass(frozen=True, slots=True)
class Plan:
    """What whoever approves reads: what is done and why, how it is verified, how undone."""

    title: str
    why: str
    do: str
    verify: str
    rollback: str

    def __post_init__(self) -> None:
        for name in ("title", "why", "do", "verify", "rollback"):
            if not getattr(self, name).strip():
                raise InputError(
                    f"A change needs its {name}.", hint="Whoever approves it must know."
                )


def ask(desk: Desk, incident_id: str, plan: Plan, question: Question) -> Change:
    """Ask for approval; the same change of the same run again gives the one that is there.

    ``question`` says who may approve, within what time, for which run and step; its words and
    answers are the change's own. StateError when the same id was asked with another plan.
    """
    asked = gate_id(question.run, f"change {question.name or plan.title}")

    def unless_asked(incident: Incident) -> Sequence[Draft]:
        known = incident.change(asked)
        if known is None:
            words = {name: getattr(plan, name).strip() for name in Plan.__slots__}
            data = {"change": asked, **words, **gates.circumstances(desk, question)}
            return [desk.draft("change.asked", data)]
        _check_same(known, plan, question)
        return []

    desk.store.change(id_of(incident_id), unless_asked)
    gates.state(desk, incident_id, asked)
    return get(desk, incident_id, asked)


def get(desk: Desk, incident_id: str, change: str) -> Change:
    """A change as the log has it now; found as by ``gates.gate_of``."""
    return _of(desk.store.incident(id_of(incident_id)), change)


def carry_out(
    desk: Desk,
    incident_id: str,
    change: str,
    do: Callable[[], object],
    verify: Callable[[], object],
) -> Change:
    """Do an approved change and verify it, each recorded; what was done is not done again.

    ``verify`` fails by returning False or by raising. What ``do`` and ``verify`` raise is
    recorded and raised on. WaitingError before it is approved, DeniedError when it was not,
    StepError when it failed, StateError when nobody knows whether an earlier try did it.
    """
    change = gates.state(desk, incident_id, change).id
    found = _begin(desk, incident_id, change)
    if found.state == "begun":
        _attempt(desk, incident_id, found, do)
        found = _record(desk, incident_id, change, "executed")
    if found.state == "executed":
        if _attempt(desk, incident_id, found, verify) is False:
            found = _record(desk, incident_id, change, "failed", error="not verified")
            raise failed(found)
        found = _record(desk, incident_id, change, "verified")
    return found


def settle(desk: Desk, incident_id: str, change: str, outcome: str, *, reason: str) -> Change:
    """Say how a change ended that was begun and whose end the log does not know.

    ``outcome`` is 'executed' (it was done, and is still to be verified) or 'failed'; ``reason``
    says how that is known. Said once, by a person who has looked: AuthorityError for a machine,
    StateError when the change is in another state or its run still goes on.
    """
    who = desk.who()
    if is_automation(who):
        raise AuthorityError(f"{who} may not settle a change: a person looks what it did.")
    if outcome not in OUTCOMES:
        raise InputError(f"'{outcome}' is no outcome.", hint=f"One of: {', '.join(OUTCOMES)}.")
    if not reason.strip():
        raise InputError("Settling a change needs a reason.", hint="Say how you know it.")

    asked = get(desk, incident_id, change).id  # once: a short name may mean another a moment later

    def unless_known(incident: Incident) -> Sequence[Draft]:
        found = _of(incident, asked)
        _check_unsettled(incident, found)
        told = {"change": found.id, "outcome": outcome, "reason": reason.strip()}
        return [desk.draft("change.settled", told)]

    desk.store.change(id_of(incident_id), unless_known)
    return get(desk, incident_id, asked)


def _check_unsettled(incident: Incident, change: Change) -> None:
    run = incident.run(change.gate.run)
    if change.settled_by and change.state != "begun":
        raise StateError(
            f"The change '{change.title}' was settled as {change.settled_as}, by "
            f"{change.settled_by}, {moment_text(change.settled_at)}."
        )
    if change.state != "begun":
        raise StateError(f"The change '{change.title}' is {change.state}; that is known.")
    if run is not None and run.status == "running":
        raise StateError(
            f"Run {run.id} is running, and may be at this change now.",
            hint="Wait until it is over. If its runner died, first: imt runs reap",
        )


def failed(change: Change) -> StepError:
    """The error of a change that failed; its hint is the rollback."""
    return StepError(
        f"The change '{change.title}' failed: {change.error}", hint=f"Rollback: {change.rollback}"
    )


def _begin(desk: Desk, incident_id: str, change: str) -> Change:
    """Take the change in hand: only one try may, however many there are."""

    def claim(incident: Incident) -> Sequence[Draft]:
        found = _of(incident, change)
        _check_may_begin(incident.id, found)
        begun = desk.draft("change.begun", {"change": change})
        return [begun] if found.state == "approved" else []

    desk.store.change(id_of(incident_id), claim)
    return get(desk, incident_id, change)


def _check_may_begin(incident_id: str, change: Change) -> None:
    """WaitingError, DeniedError, StepError or StateError when the change is not to go on."""
    gate = change.gate
    match change.state:
        case "asked":
            raise WaitingError(f"The change '{change.title}' waits for approval.")
        case "denied" if gate.state == "expired":
            raise gates.expired(gate)
        case "denied":
            reason = f": {gate.reason}" if gate.reason else ""
            raise DeniedError(f"{gate.by} denied the change '{change.title}'{reason}", hint=ANEW)
        case "failed":
            raise failed(change)
        case "begun":
            raise StateError(
                f"The change '{change.title}' was begun, and the log does not say how it ended.",
                hint="See what it did, and say so: "
                f"imt gate settle {incident_id} {change.id} executed|failed --reason '…'",
            )


def _attempt(desk: Desk, incident_id: str, change: Change, deed: Callable[[], object]) -> object:
    try:
        return deed()
    except BaseException as error:
        said = one_line(f"{type(error).__name__}: {error}", most=300)
        _record(desk, incident_id, change.id, "failed", error=said)
        raise


def _record(desk: Desk, incident_id: str, change: str, state: str, *, error: str = "") -> Change:
    data = {"change": change, **({"error": error} if error else {})}
    draft = desk.draft(f"change.{state}", data)
    desk.store.append(id_of(incident_id), draft)
    return get(desk, incident_id, change)


def _check_same(known: Change, plan: Plan, question: Question) -> None:
    told = tuple(getattr(known, name) for name in Plan.__slots__)
    wanted = tuple(getattr(plan, name).strip() for name in Plan.__slots__)
    if told != wanted or known.gate.who != tuple(one.strip() for one in question.who):
        raise StateError(
            f"The change '{known.id}' was asked otherwise, {moment_text(known.gate.opened_at)}.",
            hint="What was approved is what is done. Ask for this one with another name='…'.",
        )


def _of(incident: Incident, change: str) -> Change:
    """The change of this name; one whose end nobody knows comes before the others."""
    among = {one.id: one for one in incident.changes}
    unsettled = [one.gate for one in incident.changes if one.state == "begun"]
    asked = [one.gate for one in incident.changes]
    return among[gates.named(change, asked, incident, first=unsettled, kind="Change").id]
