"""Gates and changes as the log tells them: ids, the first answer, and what follows what."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import START, entry

from imtkit.errors import InputError
from imtkit.model import gates
from imtkit.model.entries import utc_text
from imtkit.model.fold import fold
from imtkit.model.gate_drawing import gate_state_in
from imtkit.model.gates import Change, Gate, gate_id
from imtkit.model.incident import Incident
from imtkit.model.words import sentence

RUN = "20261121T120000Z-a1b2c3"
OPENED = (
    "gate.opened",
    {
        "gate": "g",
        "question": "Fail over?",
        "answers": ["yes", "no"],
        "who": ["incident commander"],
        "expires_at": utc_text(START + timedelta(minutes=30)),
        "run": RUN,
        "step": "c4",
    },
)
ASKED = (
    "change.asked",
    {"change": "c", "title": "Promote the replica", "why": "it is down", "rollback": "demote it"},
)


def folded(*rows: tuple[str, dict[str, Any]]) -> Incident:
    return fold("INC-1", [entry(n, *row) for n, row in enumerate(rows, start=1)])


def states(*types: str) -> str:
    rows = [(f"change.{one}", {"change": "c"}) for one in types]
    return folded(ASKED, *rows).changes[0].state


def test_an_open_gate_waits_until_it_is_due() -> None:
    """All that was asked is there; the end of its time counts as too late."""
    (gate,) = folded(OPENED).gates
    assert (gate.question, gate.answers, gate.who) == (
        "Fail over?",
        ("yes", "no"),
        ("incident commander",),
    )
    assert (gate.run, gate.step, gate.opened_by) == (RUN, "c4", "Ann")
    assert gate.is_waiting
    assert not gate.is_due(START + timedelta(minutes=29, seconds=59))
    assert gate.is_due(START + timedelta(minutes=30))


def test_the_first_answer_stands() -> None:
    """Whatever a log holds after it: another answer, an expiry, the question again."""
    yes = ("gate.answered", {"gate": "g", "answer": "yes", "reason": "lag is 0"})
    no = ("gate.answered", {"gate": "g", "answer": "no"})
    incident = folded(OPENED, yes, no, ("gate.expired", {"gate": "g"}), OPENED)
    (gate,) = incident.gates
    assert (gate.state, gate.answer, gate.reason, gate.by) == ("answered", "yes", "lag is 0", "Ann")
    assert gate.at == START + timedelta(minutes=2)
    assert incident.waiting_gates == ()


def test_an_expired_gate_takes_no_answer() -> None:
    """Expiry is an end as good as an answer."""
    late = ("gate.answered", {"gate": "g", "answer": "yes"})
    (gate,) = folded(OPENED, ("gate.expired", {"gate": "g"}), late).gates
    assert (gate.state, gate.answer) == ("expired", "")


def test_answers_to_gates_nobody_opened_change_nothing() -> None:
    """Neither does an answer that is no text."""
    assert folded(("gate.answered", {"gate": "x", "answer": "yes"})).gates == ()
    assert folded(OPENED, ("gate.answered", {"gate": "g", "answer": 7})).gates[0].is_waiting


def test_a_change_goes_its_way_step_by_step() -> None:
    """What does not follow from where it is changes nothing."""
    assert states() == "asked"
    assert states("approved", "begun", "executed", "verified") == "verified"
    assert states("approved", "begun", "failed") == "failed"
    assert states("denied", "approved", "begun") == "denied"
    assert states("executed") == "asked"
    assert states("approved", "begun", "executed", "verified", "failed") == "verified"


def test_a_change_whose_end_nobody_knows_is_settled_once() -> None:
    """By an outcome that a change can have; whoever did it corrects whoever looked."""

    def settled(outcome: str) -> tuple[str, dict[str, Any]]:
        return "change.settled", {"change": "c", "outcome": outcome, "reason": "I looked"}

    def after(*rows: tuple[str, dict[str, Any]]) -> Change:
        begun = [(f"change.{one}", {"change": "c"}) for one in ("approved", "begun")]
        return folded(ASKED, *begun, *rows).changes[0]

    done = after(settled("executed"))
    assert (done.state, done.settled_by, done.settled_because) == ("executed", "Ann", "I looked")
    assert done.executed_by == ""
    assert after(settled("executed"), ("change.verified", {"change": "c"})).state == "verified"
    failed = after(settled("failed"), settled("executed"))
    assert (failed.state, failed.error) == ("failed", "I looked")
    late = after(settled("failed"), ("change.executed", {"change": "c"}))
    assert (late.state, late.executed_by) == ("executed", "Ann")
    assert after(settled("perhaps")).state == "begun"
    assert folded(ASKED, settled("executed")).changes[0].state == "asked"


def test_what_a_run_was_denied_is_told() -> None:
    """Expired gates and denied changes of that run; not a 'no', nor what was asked anew since."""

    def asked(name: str, step: str, run: str = RUN) -> tuple[str, dict[str, Any]]:
        return "change.asked", {"change": name, "title": name, "run": run, "step": step}

    def denied(name: str) -> tuple[str, dict[str, Any]]:
        return "change.denied", {"change": name, "reason": "too risky"}

    expired: tuple[str, dict[str, Any]] = ("gate.expired", {"gate": "g"})
    rows = [OPENED, expired, asked("a", "s1"), denied("a"), asked("b", "s2", "other"), denied("b")]
    state = folded(*rows)
    assert [one.id for one in denied_in(state)] == ["g", "a"]
    again = folded(*rows, asked("a2", "s1"))
    assert [one.id for one in denied_in(again)] == ["g"]
    no = folded(OPENED, ("gate.answered", {"gate": "g", "answer": "no"}))
    assert denied_in(no) == ()


def denied_in(incident: Incident) -> tuple[Gate, ...]:
    return gates.denied(incident.gates, incident.changes, RUN)


def test_what_a_run_asked_that_is_over_holds_nothing_up() -> None:
    """Until it is resumed; what a person has in hand is not over."""
    begun = ("run.started", {"run": RUN, "runbook": "r"})
    ended = ("run.finished", {"run": RUN, "status": "cancelled"})
    over = folded(begun, OPENED, ended)
    assert over.waiting_gates == ()
    assert gate_state_in(over, over.gates[0]) == "not answered"
    assert len(folded(begun, OPENED, ended, ("run.taken", {"run": RUN})).waiting_gates) == 1
    assert len(folded(begun, OPENED, ended, ("run.resumed", {"run": RUN})).waiting_gates) == 1


def test_the_approval_of_a_change_is_a_gate() -> None:
    """It waits with the others, under the change's id, and may not be given by the asker."""
    incident = folded(ASKED)
    (gate,) = incident.waiting_gates
    assert (gate.id, gate.answers, gate.but_not) == ("c", ("approve", "deny"), "Ann")
    assert incident.gate("c") == gate
    denied = folded(ASKED, ("change.denied", {"change": "c", "expired": True}))
    assert denied.changes[0].gate.state == "expired"


def test_gates_and_changes_are_told_in_words() -> None:
    """By their question and their title, with who may answer, until when, and the way back."""
    begun = ("change.begun", {"change": "c"})
    settled = ("change.settled", {"change": "c", "outcome": "executed", "reason": "it writes"})
    failed = ("change.failed", {"change": "c", "error": "still down"})
    answered = ("gate.answered", {"gate": "g", "answer": "yes", "reason": "lag is 0"})
    approved = ("change.approved", {"change": "c"})
    incident = folded(OPENED, answered, ASKED, approved, begun, settled, failed)
    told = [sentence(one, incident) for one in incident.entries]
    assert told == [
        "Gate: Fail over? (yes or no) – asked of incident commander"
        " – until 2026-11-21 12:30:00 UTC",
        "Gate answered: Fail over? – yes – because lag is 0",
        "Approval asked: Promote the replica – because it is down",
        "Change approved: Promote the replica",
        "Change begun: Promote the replica",
        "Change settled as executed: Promote the replica – because it writes",
        "Change failed: Promote the replica: still down – rollback: demote it",
    ]


def test_a_gate_keeps_its_id_in_its_run() -> None:
    """Readable, made of the run and the question, or of the name it was given."""
    assert gate_id(RUN, "Fail over?") == "20261121t120000z-a1b2c3-fail-over"
    assert gate_id(RUN, "Lag is 3 s. Go?", name="lag") == "20261121t120000z-a1b2c3-lag"
    assert gate_id("", "Fail over?") == "fail-over"
    with pytest.raises(InputError, match="no question"):
        gate_id(RUN, "  ")


@given(st.text(max_size=80), st.text(min_size=1, max_size=200).filter(str.strip))
def test_an_id_can_stand_in_an_address(run: str, question: str) -> None:
    """Whatever was asked, in whatever script: 64 plain characters at most."""
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", gate_id(run, question))


def test_long_questions_that_begin_alike_are_two_gates() -> None:
    """What an id leaves out is told by a digest; so are letters it cannot hold."""
    long = "Promote the replica in Frankfurt to primary "
    assert gate_id(RUN, f"{long}now?") != gate_id(RUN, f"{long}tomorrow?")
    assert gate_id(RUN, "切换?") != gate_id(RUN, "回滚?")
