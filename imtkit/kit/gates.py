"""Ask a question that holds work up, and answer it: once, by a person who may, in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain

from imtkit.contracts import Query
from imtkit.errors import AuthorityError, DeniedError, InputError, NotFoundError, StateError
from imtkit.kit import expiry
from imtkit.kit.desk import Desk, id_of
from imtkit.model.entries import Draft, is_automation, utc_text
from imtkit.model.gates import ANEW, APPROVE, Gate, gate_id
from imtkit.model.incident import Incident, Summary
from imtkit.model.lifecycle import GOING_ON
from imtkit.model.words import moment_text

_PAGE = 100
_MOST_RESOLVED = 300
"""How many resolved incidents are looked through, the newest: some workspaces close none."""
_ENDED_ON_PURPOSE = ("completed", "cancelled")


@dataclass(frozen=True, slots=True)
class Question:
    """What a gate asks. ``who``: people or roles that may answer; empty means any person.

    ``run`` and ``step`` say what it holds up; ``name`` stands for the question in the gate's id
    where the question's words change from one try to the next.
    """

    text: str
    answers: tuple[str, ...] = ("yes", "no")
    who: tuple[str, ...] = ()
    within: timedelta | None = None
    run: str = ""
    step: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        folded = [answer.strip().casefold() for answer in self.answers]
        if not folded or "" in folded or len(set(folded)) < len(folded):
            raise InputError(f"The answers {self.answers!r} are not different words.")
        check_asked(self.who, self.within)

    @property
    def id(self) -> str:
        return gate_id(self.run, self.text, name=self.name)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A gate that waits, and the incident it is on; or what somebody should look at all the same.

    ``run_status`` is set where the run that asked broke off: nobody waits for an answer before
    it is resumed. ``is_unsettled``: a change was begun, and the log does not tell its end.
    ``is_resolved``: so is the incident, and this keeps it from being closed.
    """

    incident: str
    title: str
    gate: Gate
    run_status: str = ""
    is_unsettled: bool = False
    is_resolved: bool = False


def open_(desk: Desk, incident_id: str, question: Question) -> Gate:
    """Ask; the same question of the same run again gives the gate that is there already.

    A gate whose time is over has expired by then. StateError when the same id was asked with
    other answers, other people or (unless it has a name) in other words.
    """
    asked = question.id

    def unless_asked(incident: Incident) -> Sequence[Draft]:
        known = incident.gate(asked)
        if known is None:
            return [desk.draft("gate.opened", _data(desk, asked, question))]
        _check_same(known, question)
        return expiry.expiry(desk, incident, known)

    desk.store.change(id_of(incident_id), unless_asked)
    return get(desk, incident_id, asked)


def get(desk: Desk, incident_id: str, gate: str) -> Gate:
    """A gate, or the approval of a change, as the log has it now; found as by ``gate_of``."""
    return gate_of(desk.store.incident(id_of(incident_id)), gate)


def state(desk: Desk, incident_id: str, gate: str) -> Gate:
    """A gate as it is now: where its time is over, that is written down first."""
    found = get(desk, incident_id, gate)
    if not found.is_due(desk.clock.now()):
        return found
    desk.store.change(id_of(incident_id), lambda incident: expiry.overdue(desk, incident))
    return get(desk, incident_id, found.id)


def answer(
    desk: Desk,
    incident_id: str,
    gate: str,
    answer_: str,
    *,
    reason: str = "",
    not_after: datetime | None = None,
) -> Gate:
    """Answer a gate, or approve or deny a change: once, whoever races whom.

    It is found as by ``gate_of``. The same answer by the same person again changes nothing.
    AuthorityError when this actor may not answer, DeniedError when its time is over, StateError
    when somebody answered before or the answer arrives after ``not_after``.
    """
    actor = desk.who()
    asked = get(desk, incident_id, gate).id  # once: a short name may mean another a moment later

    def decide(incident: Incident) -> Sequence[Draft]:
        now = desk.clock.now()
        found = gate_of(incident, asked)
        chosen = _chosen(found, answer_)
        refused = refusal(incident, found, actor)
        if refused is not None:
            raise refused
        if not found.is_waiting:
            return _settled(found, chosen, actor)
        if found.is_due(now):
            return expiry.overdue(desk, incident)
        if not_after is not None and now > not_after:
            raise StateError(
                "The answer came too late; nothing was recorded.", hint="Answer again."
            )
        return [_answer_draft(desk, incident, found, (chosen, reason.strip()))]

    desk.store.change(id_of(incident_id), decide)
    after = get(desk, incident_id, asked)
    if after.state == "expired":
        raise expired(after)
    return after


def waiting(
    desk: Desk, *, look: Callable[[Desk, str], Incident] = expiry.look, most: int | None = None
) -> list[Waiting]:
    """What people are asked on open incidents: what is waited for first, the longest first.

    After that what needs a person because its run broke off: gates without an answer, and
    changes that were begun and whose end nobody knows. What a run asked that completed or was
    cancelled is left out: nobody waits for it. Last what keeps resolved incidents from being
    closed. ``look`` tells an incident by its id; ``most`` open incidents, the worst ones, are
    looked through where that is set.
    """
    worst = tuple(level.name for level in desk.settings.severities.levels)
    listed = chain(
        _listed(desk, Query(statuses=GOING_ON, worst_first=worst), most),
        _listed(desk, Query(statuses=("resolved",)), _MOST_RESOLVED),
    )
    found = [one for row in listed for one in _asked_on(desk, look(desk, row.id))]
    return sorted(found, key=_urgency)


def _urgency(one: Waiting) -> tuple[bool, bool, datetime]:
    return one.is_resolved, one.is_unsettled or bool(one.run_status), one.gate.opened_at


def _asked_on(desk: Desk, incident: Incident) -> Iterator[Waiting]:
    """What ``waiting`` tells of one incident, in the order in which it was asked."""
    now = desk.clock.now()
    for gate in incident.asked_gates:
        run, change = incident.run(gate.run), incident.change(gate.id)
        status = run.status if run is not None and run.is_over else ""
        needs_nobody = bool(status) if incident.is_over else status in _ENDED_ON_PURPOSE
        one = Waiting(incident.id, incident.title, gate, status, is_resolved=incident.is_over)
        if change is not None and change.state == "begun":
            if run is None or run.status != "running":
                yield replace(one, is_unsettled=True)
        elif gate.is_waiting and not gate.is_due(now) and not needs_nobody:
            yield one


def may_answer(incident: Incident, gate: Gate, actor: str) -> bool:
    """Whether this actor is a person who may answer: named, or holding a role that is named."""
    if not actor or is_automation(actor) or _same(actor, gate.but_not):
        return False
    roles = {**incident.roles, "owner": incident.owner}
    holders = [person for role, person in roles.items() if any(_same(role, w) for w in gate.who)]
    return not gate.who or any(_same(actor, person) for person in (*gate.who, *holders))


def refusal(incident: Incident, gate: Gate, actor: str) -> AuthorityError | None:
    """Why this actor may not answer; None for whoever may."""
    if may_answer(incident, gate, actor):
        return None
    if is_automation(actor):
        return AuthorityError(f"{actor} may not answer '{gate.question}': a person decides that.")
    if _same(actor, gate.but_not):
        return AuthorityError(
            f"{actor} asked for this change and may not approve it: {gate.question}",
            hint="Somebody else approves it.",
        )
    return AuthorityError(
        f"{actor} may not answer '{gate.question}'; {' or '.join(gate.who)} may.",
        hint=f"Roles are given with: imt incident assign {incident.id} ROLE PERSON",
    )


def expired(gate: Gate) -> DeniedError:
    """The error of a gate that nobody answered in time."""
    return DeniedError(expiry.words(gate), hint=ANEW)


def gate_of(incident: Incident, gate: str) -> Gate:
    """An incident's gate, or the approval of a change: by its id, or by how its id ends.

    'fail-over' is enough for '20261121t201600z-1a2b3c-fail-over'; one that waits comes before
    those that do not. InputError where several are meant, NotFoundError names the nearest.
    """
    return named(gate, incident.asked_gates, incident, first=incident.waiting_gates)


def named(
    name: str,
    among: Sequence[Gate],
    incident: Incident,
    *,
    first: Sequence[Gate] = (),
    kind: str = "Gate",
) -> Gate:
    """The one of these gates that a name means, as in ``gate_of``; ``first`` are preferred."""
    typed = name.strip().casefold()
    whole = [one for one in among if one.id == name] or [
        one for one in among if one.id.casefold() == typed
    ]
    ending = [one for one in among if typed and one.id.casefold().endswith(f"-{typed}")]
    found = whole or [one for one in ending if one in first] or ending
    if len(found) == 1:
        return found[0]
    if found:
        choice = ", ".join(f"'{one.id}'" for one in found)
        raise InputError(
            f"'{name}' may mean any of {len(found)} on {incident.id}.", hint=f"One of: {choice}"
        )
    where, known = f" on {incident.id}", [one.id for one in among]
    raise NotFoundError.of(kind, name, known, where=where, see="" if known else "imt gate list")


def check_asked(who: Sequence[str], within: timedelta | None) -> None:
    """InputError when nobody could be meant, or no time is given."""
    if isinstance(who, str) or not all(one.strip() for one in who):
        raise InputError(f"who={who!r} is no list of people or roles.", hint="Write who=('Ann',).")
    if within is not None and within <= timedelta(0):
        raise InputError("A gate that gives no time can never be answered.", hint="within='30m'")


def _data(desk: Desk, asked: str, question: Question) -> dict[str, object]:
    data: dict[str, object] = {
        "gate": asked,
        "question": question.text.strip(),
        "answers": [one.strip() for one in question.answers],
    }
    return data | circumstances(desk, question)


def circumstances(desk: Desk, question: Question) -> dict[str, object]:
    """Who may answer, until when, and what is held up, as an entry's data."""
    until = desk.clock.now() + question.within if question.within is not None else None
    told = {
        "who": [one.strip() for one in question.who],
        "expires_at": utc_text(until) if until else "",
        "run": question.run,
        "step": question.step,
    }
    return {name: value for name, value in told.items() if value}


def _check_same(known: Gate, question: Question) -> None:
    is_same = (
        known.answers == tuple(one.strip() for one in question.answers)
        and known.who == tuple(one.strip() for one in question.who)
        and (question.name or known.question == question.text.strip())
    )
    if not is_same:
        raise StateError(
            f"The gate '{known.id}' was asked otherwise: {known.question} "
            f"({' or '.join(known.answers)}).",
            hint="Give this one a name of its own: name='…'.",
        )


def _chosen(gate: Gate, answer_: str) -> str:
    for offered in gate.answers:
        if _same(offered, answer_):
            return offered
    raise InputError(
        f"'{answer_}' is no answer to '{gate.question}'.",
        hint=f"Answer with one of: {', '.join(gate.answers)}.",
    )


def _settled(gate: Gate, chosen: str, actor: str) -> list[Draft]:
    if gate.state == "expired":
        return []
    if gate.answer == chosen and _same(gate.by, actor):
        return []
    raise StateError(
        f"'{gate.question}' was answered already: {gate.answer}, by {gate.by}, "
        f"{moment_text(gate.at)}."
    )


def _answer_draft(desk: Desk, incident: Incident, gate: Gate, said: tuple[str, str]) -> Draft:
    chosen, reason = said
    more = {"reason": reason} if reason else {}
    if incident.change(gate.id) is None:
        data = {"gate": gate.id, "answer": chosen, **more}
        return desk.draft("gate.answered", data, key=f"{incident.id}/gate/{gate.id}/end")
    type_ = "change.approved" if chosen == APPROVE else "change.denied"
    return desk.draft(
        type_, {"change": gate.id, **more}, key=f"{incident.id}/change/{gate.id}/decision"
    )


def _listed(desk: Desk, query: Query, most: int | None) -> Iterator[Summary]:
    """The rows of a query, a page at a time; the first so many where ``most`` is set."""
    left = most
    while left is None or left > 0:
        limit = _PAGE if left is None else min(_PAGE, left)
        rows = desk.store.incidents(replace(query, limit=limit))
        yield from rows
        if len(rows) < limit:
            return
        query = replace(query, before=rows[-1].id)
        left = None if left is None else left - limit


def _same(one: str, other: str) -> bool:
    return bool(one.strip()) and _plain(one) == _plain(other)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
