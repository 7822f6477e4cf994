"""Gates and changes as people use them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from clocks import NOON, FixedClock

from imtkit.errors import (
    AuthorityError,
    DeniedError,
    InputError,
    NotFoundError,
    StateError,
    StepError,
    WaitingError,
)
from imtkit.kit import Desk, changes, corrections, gates, incidents, running
from imtkit.kit.changes import Plan
from imtkit.kit.gates import Question
from imtkit.model.gates import Change, gate_id
from imtkit.model.opening import Opening

RUN = "20261121T120000Z-a1b2c3"
GO = Question("Fail over?", within=timedelta(minutes=30), run=RUN, step="c4")
PLAN = Plan("Promote the replica", "the primary is down", "pg_promote()", "it writes", "demote it")


@pytest.fixture
def incident_id(desk: Desk) -> str:
    """An incident that has just been opened, with Cy in command."""
    id_ = incidents.open_(desk, Opening("Orders fail")).id
    incidents.assign(desk, id_, "incident commander", "Cy Commander")
    return id_


def types(desk: Desk, incident_id: str, prefix: str = "gate.") -> list[str]:
    entries = desk.store.entries(incident_id)
    return [entry.type for entry in entries if entry.type.startswith(prefix)]


def test_a_question_is_asked_once(desk: Desk, incident_id: str, clock: FixedClock) -> None:
    """The same cell again finds the same gate, its time runs from the first asking."""
    first = gates.open_(desk, incident_id, GO)
    clock.move(minutes=5)
    assert gates.open_(desk, incident_id.lower(), GO) == first
    assert first.expires_at == NOON + timedelta(minutes=30)
    assert types(desk, incident_id) == ["gate.opened"]


def test_an_answer_says_who_when_why_and_through_what(
    desk: Desk, incident_id: str, clock: FixedClock
) -> None:
    """In any case of letters; asked again, the gate gives the answer."""
    gate = gates.open_(desk, incident_id, GO)
    at = clock.move(minutes=1)
    gates.answer(desk.acting_as("Bo", "lab"), incident_id, gate.id, "YES", reason="lag is 0")
    after = gates.open_(desk, incident_id, GO)
    assert (after.answer, after.by, after.at, after.via, after.reason) == (
        "yes",
        "Bo",
        at,
        "lab",
        "lag is 0",
    )


def test_the_second_answer_is_told_of_the_first(desk: Desk, incident_id: str) -> None:
    """Only the same answer by the same person is no contradiction."""
    gate = gates.open_(desk, incident_id, GO)
    gates.answer(desk, incident_id, gate.id, "no")
    assert gates.answer(desk, incident_id, gate.id, "no").answer == "no"
    with pytest.raises(StateError, match="already: no, by Ann Example"):
        gates.answer(desk, incident_id, gate.id, "yes")
    with pytest.raises(StateError, match="already: no, by Ann Example"):
        gates.answer(desk.acting_as("Bo"), incident_id, gate.id, "no")
    assert types(desk, incident_id) == ["gate.opened", "gate.answered"]


def test_only_words_that_were_offered_are_answers(desk: Desk, incident_id: str) -> None:
    """The error names them; an unknown gate is told too."""
    gate = gates.open_(desk, incident_id, GO)
    with pytest.raises(InputError, match="'maybe' is no answer") as refused:
        gates.answer(desk, incident_id, gate.id, "maybe")
    assert "yes, no" in refused.value.hint
    with pytest.raises(NotFoundError, match="'nothing' not found on INC"):
        gates.answer(desk, incident_id, "nothing", "yes")


OTHER = "20261121T130000Z-d4e5f6"


@pytest.mark.parametrize("typed", ["fail-over", "FAIL-OVER", f"{RUN}-fail-over"])
def test_the_end_of_its_id_names_a_gate(desk: Desk, incident_id: str, typed: str) -> None:
    """In any case of letters: the run's part need not be typed; the whole id is logged."""
    gate = gates.open_(desk, incident_id, GO)
    assert gates.get(desk, incident_id, typed) == gate
    assert gates.answer(desk, incident_id, typed, "yes").id == gate.id
    assert gates.answer(desk, incident_id, typed, "yes").answer == "yes"
    assert incidents.get(desk, incident_id).entries[-1].data["gate"] == gate.id
    for part in ("ail-over", "fail", "-", " "):
        with pytest.raises(NotFoundError):
            gates.get(desk, incident_id, part)


def test_of_several_gates_the_one_that_waits_is_meant(desk: Desk, incident_id: str) -> None:
    """Of several that wait none is guessed; a gate of just this id comes before all others."""
    first = gates.open_(desk, incident_id, GO).id
    second = gates.open_(desk, incident_id, Question("Fail over?", run=OTHER)).id
    with pytest.raises(InputError, match="any of 2 on INC") as refused:
        gates.answer(desk, incident_id, "fail-over", "yes")
    assert refused.value.hint == f"One of: '{first}', '{second}'"
    assert types(desk, incident_id) == ["gate.opened", "gate.opened"]
    gates.answer(desk, incident_id, first, "no")
    assert gates.answer(desk, incident_id, "fail-over", "yes").id == second
    with pytest.raises(InputError, match="any of 2"):
        gates.get(desk, incident_id, "fail-over")
    gates.open_(desk, incident_id, Question("Fail over?"))
    assert gates.get(desk, incident_id, "fail-over").id == "fail-over"


def test_a_gate_of_a_run_that_is_over_is_not_preferred(
    desk: Desk, incident_id: str, clock: FixedClock
) -> None:
    """The run that was cancelled waits for nothing; the one after it does."""
    parked(desk, incident_id, clock)
    desk.store.append(incident_id, desk.draft("run.finished", {"run": RUN, "status": "cancelled"}))
    second = gates.open_(desk, incident_id, Question("Fail over?", run=OTHER)).id
    assert gates.get(desk, incident_id, "fail-over").id == second


def test_whoever_is_named_or_holds_the_role_may_answer(desk: Desk, incident_id: str) -> None:
    """Others may not, nor whoever held the role before."""
    asked = Question("Fail over?", who=("incident commander", "Di Deputy"))
    gate = gates.open_(desk, incident_id, asked)
    with pytest.raises(AuthorityError, match="incident commander or Di Deputy may"):
        gates.answer(desk, incident_id, gate.id, "yes")
    state = incidents.get(desk, incident_id)
    assert gates.may_answer(state, gate, "di  deputy")
    assert gates.may_answer(state, gate, "Cy Commander")
    incidents.assign(desk, incident_id, "incident commander", "Ed Else")
    with pytest.raises(AuthorityError):
        gates.answer(desk.acting_as("Cy Commander"), incident_id, gate.id, "yes")
    assert gates.answer(desk.acting_as("Ed Else"), incident_id, gate.id, "yes").by == "Ed Else"


def test_automation_answers_nothing(desk: Desk, incident_id: str) -> None:
    """Not even when it is named."""
    gate = gates.open_(desk, incident_id, Question("Go?", who=("automation/alerts",)))
    with pytest.raises(AuthorityError, match="a person decides"):
        gates.answer(desk.acting_as("automation/alerts"), incident_id, gate.id, "yes")
    assert types(desk, incident_id) == ["gate.opened"]


@pytest.mark.parametrize("how", ["answer", "state", "open"])
def test_expired_is_denied(desk: Desk, incident_id: str, clock: FixedClock, how: str) -> None:
    """Whoever comes first after the time writes it down, once; then nothing is an answer."""
    gate = gates.open_(desk, incident_id, GO)
    clock.move(minutes=30)
    assert gates.waiting(desk) == []
    if how == "state":
        assert gates.state(desk, incident_id, gate.id).state == "expired"
    if how == "open":
        assert gates.open_(desk, incident_id, GO).state == "expired"
    for _ in range(2):
        with pytest.raises(DeniedError, match="expired 2026-11-21 12:30:00 UTC"):
            gates.answer(desk, incident_id, gate.id, "yes")
    assert types(desk, incident_id) == ["gate.opened", "gate.expired"]
    last = incidents.get(desk, incident_id).entries[-1]
    assert last.actor == "automation/expiry"


def parked(desk: Desk, incident_id: str, clock: FixedClock) -> None:
    """A run as it parks at a gate that takes answers for half an hour."""
    steps = [{"step": "c4", "title": "Fail over"}]
    begun = {"run": RUN, "runbook": "failover", "steps": steps}
    desk.store.append(
        incident_id,
        desk.draft("run.started", begun, key=f"run/{RUN}"),
        desk.draft("step.started", {"run": RUN, "step": "c4", "index": 0}),
    )
    gates.open_(desk, incident_id, GO)
    clock.move(minutes=1)
    waits = {"run": RUN, "step": "c4", "index": 0, "status": "waiting"}
    desk.store.append(
        incident_id,
        desk.draft("step.finished", waits),
        desk.draft("run.parked", {"run": RUN, "status": "waiting"}),
    )


@pytest.mark.parametrize("how", ["gates", "runs", "incident", "reap", "answer"])
def test_nothing_waits_after_its_time(
    desk: Desk, incident_id: str, clock: FixedClock, how: str
) -> None:
    """Whoever looks first writes it down: the gate, its step and its run say what is so, once."""
    parked(desk, incident_id, clock)
    clock.move(minutes=30)
    looks: dict[str, Callable[[], object]] = {
        "gates": lambda: gates.waiting(desk),
        "runs": lambda: running.list_(desk),
        "incident": lambda: incidents.get(desk, incident_id),
        "reap": lambda: running.reap(desk, is_thorough=True),
        "answer": lambda: gates.answer(desk, incident_id, gate_id(RUN, "Fail over?"), "yes"),
    }
    for _ in range(2):
        with suppress(DeniedError):
            looks[how]()
    state = desk.store.incident(incident_id)
    (run,) = state.runs
    assert (run.status, run.steps[0].status) == ("failed", "failed")
    assert "expired 2026-11-21 12:30:00 UTC; nobody answered" in run.error
    assert state.gates[0].state == "expired"
    kinds = [entry.type for entry in state.entries]
    assert (kinds.count("gate.expired"), kinds.count("run.finished")) == (1, 1)


def test_a_run_that_a_person_has_in_hand_does_not_end_with_its_gate(
    desk: Desk, incident_id: str, clock: FixedClock
) -> None:
    """They are at work on its kernel; only the gate has expired."""
    parked(desk, incident_id, clock)
    desk.store.append(incident_id, desk.draft("run.taken", {"run": RUN}))
    clock.move(minutes=30)
    state = incidents.get(desk, incident_id)
    assert (state.runs[0].status, state.gates[0].state) == ("waiting", "expired")


def test_what_a_run_asked_that_is_over_is_not_waited_for(
    desk: Desk, incident_id: str, clock: FixedClock
) -> None:
    """Of a run that broke off it is listed last, with what to do; of a cancelled one not at all."""
    parked(desk, incident_id, clock)
    other = incidents.open_(desk, Opening("Disk full")).id
    gates.open_(desk, other, Question("Clean up?"))
    lost = desk.draft("run.finished", {"run": RUN, "status": "lost"})
    desk.store.append(incident_id, lost)
    assert [(one.incident, one.run_status) for one in gates.waiting(desk)] == [
        (other, ""),
        (incident_id, "lost"),
    ]
    desk.store.append(incident_id, desk.draft("run.resumed", {"run": RUN}))
    assert [one.run_status for one in gates.waiting(desk)] == ["", ""]
    cancelled = desk.draft("run.finished", {"run": RUN, "status": "cancelled"})
    desk.store.append(incident_id, cancelled)
    assert [one.incident for one in gates.waiting(desk)] == [other]


def test_a_late_click_is_refused(desk: Desk, incident_id: str, clock: FixedClock) -> None:
    """Its sender was told already that it was not recorded."""
    gate = gates.open_(desk, incident_id, GO)
    clock.move(seconds=7)
    with pytest.raises(StateError, match="too late"):
        gates.answer(desk, incident_id, gate.id, "yes", not_after=NOON + timedelta(seconds=6))
    assert gates.get(desk, incident_id, gate.id).is_waiting


def test_another_question_under_the_same_id_is_refused(desk: Desk, incident_id: str) -> None:
    """Nobody's answer is taken for one to another question; a name lets the words change."""
    gates.open_(desk, incident_id, Question("Fail over?", run=RUN))
    for other in (
        Question("Fail over!", run=RUN),
        Question("Fail over?", ("yes", "later"), run=RUN),
        Question("Fail over?", who=("Bo",), run=RUN),
    ):
        with pytest.raises(StateError, match="was asked otherwise"):
            gates.open_(desk, incident_id, other)
    named = gates.open_(desk, incident_id, Question("Lag 3 s. Go?", run=RUN, name="lag"))
    again = gates.open_(desk, incident_id, Question("Lag 4 s. Go?", run=RUN, name="lag"))
    assert again == named


@pytest.mark.parametrize(
    "wrong",
    [
        {"answers": ()},
        {"answers": ("yes", "YES")},
        {"answers": ("yes", " ")},
        {"who": "Bo"},
        {"who": ("",)},
        {"within": timedelta(0)},
    ],
)
def test_a_question_that_cannot_be_answered_is_not_asked(wrong: dict[str, object]) -> None:
    """Answers are different words, people have names, and there is some time."""
    with pytest.raises(InputError):
        Question("Go?", **wrong)  # type: ignore[arg-type]


def resolved(desk: Desk, *questions: Question) -> str:
    """An incident that was resolved while these waited."""
    id_ = incidents.open_(desk, Opening("Over")).id
    for question in questions:
        gates.open_(desk, id_, question)
    incidents.acknowledge(desk, id_)
    incidents.resolve(desk, id_, fields={"resolution": "done"})
    return id_


def test_what_waits_is_listed_over_all_unfinished_incidents(
    desk: Desk, incident_id: str, clock: FixedClock
) -> None:
    """Gates and changes, the longest waiting first; last those of incidents that are resolved."""
    over = resolved(desk, GO)
    clock.move(seconds=1)
    gates.open_(desk, incident_id, GO)
    clock.move(seconds=1)
    other = incidents.open_(desk, Opening("Disk full")).id
    changes.ask(desk, other, PLAN, Question(PLAN.title))
    found = gates.waiting(desk)
    assert [(one.incident, one.gate.question, one.is_resolved) for one in found] == [
        (incident_id, "Fail over?", False),
        (other, "Approve the change: Promote the replica", False),
        (over, "Fail over?", True),
    ]


def test_what_keeps_a_resolved_incident_from_being_closed_is_listed(desk: Desk) -> None:
    """No more and no less: not what a run asked that broke off, nor what was closed anyway."""
    over = resolved(desk, Question("Tell the customers?"))
    broke_off = resolved(desk, Question("Fail over?", run="r1"))
    run = {"run": "r1", "runbook": "db"}
    desk.store.append(broke_off, desk.draft("run.started", run))
    desk.store.append(broke_off, desk.draft("run.finished", {"run": "r1", "status": "lost"}))
    assert [one.incident for one in gates.waiting(desk)] == [over]
    with pytest.raises(StateError, match="Tell the customers"):
        incidents.close(desk, over)
    incidents.close(desk, broke_off, fields={"cause": "found"})
    incidents.close(desk, over, fields={"cause": "found"}, anyway=True)
    assert gates.waiting(desk) == []


def test_more_incidents_than_a_page_of_the_log_are_looked_through(
    desk: Desk, clock: FixedClock
) -> None:
    """All that are open, or the worst of them where somebody says how many."""
    for n in range(103):
        id_ = incidents.open_(desk, Opening(f"Disk {n} full", "sev1" if n == 2 else "sev4")).id
        if n in (0, 2):
            gates.open_(desk, id_, Question(f"Clean {n}?"))
            clock.move(seconds=1)
    assert [one.gate.question for one in gates.waiting(desk)] == ["Clean 0?", "Clean 2?"]
    assert [one.gate.question for one in gates.waiting(desk, most=1)] == ["Clean 2?"]


def test_what_was_answered_is_not_corrected(desk: Desk, incident_id: str) -> None:
    """Neither by a correction nor by withdrawing it: the answer was acted on."""
    gate = gates.open_(desk, incident_id, GO)
    gates.answer(desk, incident_id, gate.id, "yes")
    n = len(incidents.get(desk, incident_id).entries)
    with pytest.raises(StateError, match=r"is not (corrected|withdrawn)"):
        corrections.correct(desk, incident_id, n, {"answer": "no"}, reason="oops")
    with pytest.raises(StateError, match=r"is not (corrected|withdrawn)"):
        corrections.withdraw(desk, incident_id, n, reason="oops")


# Changes


class Deeds:
    """What a change does and how it is verified, counted."""

    def __init__(self, *, fails: str = "", verdict: bool | None = None) -> None:
        self.done: list[str] = []
        self.fails = fails
        self.verdict = verdict

    def do(self) -> None:
        self._act("do")

    def verify(self) -> bool | None:
        self._act("verify")
        return self.verdict

    def _act(self, what: str) -> None:
        self.done.append(what)
        if self.fails == what:
            raise OSError("no route to host")


def asked(desk: Desk, incident_id: str, **more: object) -> Change:
    question = Question(PLAN.title, run=RUN, **more)  # type: ignore[arg-type]
    return changes.ask(desk, incident_id, PLAN, question)


def approved(desk: Desk, incident_id: str) -> Change:
    change = asked(desk, incident_id)
    gates.answer(desk.acting_as("Bo"), incident_id, change.id, "approve", reason="go")
    return changes.get(desk, incident_id, change.id)


def test_a_change_is_asked_approved_done_and_verified(desk: Desk, incident_id: str) -> None:
    """Each step once in the log, however often the cell runs."""
    change, deeds = approved(desk, incident_id), Deeds()
    for _ in range(2):
        assert asked(desk, incident_id).id == change.id
        done = changes.carry_out(desk, incident_id, change.id, deeds.do, deeds.verify)
    assert done.state == "verified"
    assert deeds.done == ["do", "verify"]
    assert types(desk, incident_id, "change.") == [
        "change.asked",
        "change.approved",
        "change.begun",
        "change.executed",
        "change.verified",
    ]


def test_somebody_else_than_the_asker_approves(desk: Desk, incident_id: str) -> None:
    """The asker may not, however the name is written, even when named among those who may."""
    change = asked(desk, incident_id, who=("Ann Example", "incident commander"))
    for name in ("Ann Example", "ann  EXAMPLE"):
        with pytest.raises(AuthorityError, match="asked for this change"):
            gates.answer(desk.acting_as(name), incident_id, change.id, "approve")
    with pytest.raises(AuthorityError, match="may not answer"):
        gates.answer(desk.acting_as("Bo"), incident_id, change.id, "approve")
    gate = gates.answer(desk.acting_as("Cy Commander"), incident_id, change.id, "approve")
    assert (gate.answer, gate.by) == ("approve", "Cy Commander")


def test_nothing_is_done_without_approval(desk: Desk, incident_id: str, clock: FixedClock) -> None:
    """It waits; denied, it is told by whom and why; not answered in time, it is denied."""
    change, deeds = asked(desk, incident_id), Deeds()
    with pytest.raises(WaitingError, match="waits for approval"):
        changes.carry_out(desk, incident_id, change.id, deeds.do, deeds.verify)
    gates.answer(desk.acting_as("Bo"), incident_id, change.id, "deny", reason="not in peak")
    with pytest.raises(DeniedError, match=r"Bo denied .* not in peak"):
        changes.carry_out(desk, incident_id, change.id, deeds.do, deeds.verify)
    late = asked(desk, incident_id, name="again", within=timedelta(minutes=1))
    clock.move(minutes=2)
    with pytest.raises(DeniedError, match="expired"):
        gates.answer(desk.acting_as("Bo"), incident_id, late.id, "approve")
    with pytest.raises(DeniedError, match="expired") as refused:
        changes.carry_out(desk, incident_id, late.id, deeds.do, deeds.verify)
    assert refused.value.hint.startswith("Run the runbook anew, or ask under another name")
    assert deeds.done == []


@pytest.mark.parametrize(
    ("deeds", "error", "told"),
    [
        (Deeds(fails="do"), OSError, "OSError: no route to host"),
        (Deeds(fails="verify"), OSError, "OSError: no route to host"),
        (Deeds(verdict=False), StepError, "not verified"),
    ],
)
def test_a_failure_tells_the_rollback(
    desk: Desk, incident_id: str, deeds: Deeds, error: type[Exception], told: str
) -> None:
    """In the log, and to whoever tries again; the deed is not repeated."""
    change = approved(desk, incident_id)
    with pytest.raises(error):
        changes.carry_out(desk, incident_id, change.id, deeds.do, deeds.verify)
    before = list(deeds.done)
    with pytest.raises(StepError, match=told) as failure:
        changes.carry_out(desk, incident_id, change.id, deeds.do, deeds.verify)
    assert failure.value.hint == "Rollback: demote it"
    assert deeds.done == before
    assert changes.get(desk, incident_id, change.id).error == told


def test_a_deed_whose_end_nobody_knows_is_not_repeated(desk: Desk, incident_id: str) -> None:
    """A kernel died in the middle: people look, and ask anew."""
    change, deeds = approved(desk, incident_id), Deeds()
    desk.store.append(incident_id, desk.draft("change.begun", {"change": change.id}))
    with pytest.raises(StateError, match="does not say how it ended"):
        changes.carry_out(desk, incident_id, change.id, deeds.do, deeds.verify)
    assert deeds.done == []


def begun(desk: Desk, incident_id: str) -> Change:
    """A change whose runner died while it was carried out."""
    change = approved(desk, incident_id)
    desk.store.append(incident_id, desk.draft("change.begun", {"change": change.id}))
    return change


@pytest.mark.parametrize("outcome", ["executed", "failed"])
def test_a_person_settles_what_nobody_knows_the_end_of(
    desk: Desk, incident_id: str, outcome: str
) -> None:
    """It is listed until then; after that it is verified, or its rollback told; once."""
    change, deeds = begun(desk, incident_id), Deeds()
    assert [one.is_unsettled for one in gates.waiting(desk)] == [True]
    bo = desk.acting_as("Bo")
    settled = changes.settle(bo, incident_id, change.id, outcome, reason="I looked at it")
    assert (settled.state, settled.settled_by) == (outcome, "Bo")
    assert gates.waiting(desk) == []
    with pytest.raises(StateError, match=f"settled as {outcome}, by Bo"):
        changes.settle(desk, incident_id, change.id, "failed", reason="no")
    if outcome == "executed":
        done = changes.carry_out(desk, incident_id, change.id, deeds.do, deeds.verify)
        assert (done.state, deeds.done) == ("verified", ["verify"])
    else:
        with pytest.raises(StepError, match="I looked at it") as failure:
            changes.carry_out(desk, incident_id, change.id, deeds.do, deeds.verify)
        assert failure.value.hint == "Rollback: demote it"


def test_the_end_of_its_id_names_a_change(desk: Desk, incident_id: str) -> None:
    """The one whose end nobody knows, where there are several; the whole id is logged."""
    asked(desk, incident_id, name="promote")
    change = begun(desk, incident_id)
    other = Question(PLAN.title, run=OTHER)
    changes.ask(desk, incident_id, PLAN, other)
    short = "change-promote-the-replica"
    assert change.id.endswith(f"-{short}")
    settled = changes.settle(desk, incident_id, short, "executed", reason="I looked")
    assert settled.id == change.id
    assert incidents.get(desk, incident_id).entries[-1].data["change"] == change.id
    with pytest.raises(InputError, match="any of 2"):
        changes.get(desk, incident_id, short)


def test_a_change_that_is_not_there_tells_which_are(desk: Desk, incident_id: str) -> None:
    """The nearest, else those there are; where there is none, what lists all that is asked."""
    with pytest.raises(NotFoundError, match="Change 'promot' not found on INC") as missing:
        changes.settle(desk, incident_id, "promot", "failed", reason="r")
    assert "imt gate list" in missing.value.hint
    known = asked(desk, incident_id).id
    with pytest.raises(NotFoundError) as missing:
        changes.settle(desk, incident_id, "zzz", "failed", reason="r")
    assert missing.value.hint == f"Known: '{known}'"


def test_only_what_is_unknown_is_settled_and_only_by_people(desk: Desk, incident_id: str) -> None:
    """Not by a machine, not without a reason, not what is known, not while its run goes on."""
    change = begun(desk, incident_id)
    machine = desk.acting_as("automation/x")
    with pytest.raises(AuthorityError, match="a person looks"):
        changes.settle(machine, incident_id, change.id, "executed", reason="r")
    with pytest.raises(InputError, match="needs a reason"):
        changes.settle(desk, incident_id, change.id, "executed", reason=" ")
    with pytest.raises(InputError, match="no outcome"):
        changes.settle(desk, incident_id, change.id, "verified", reason="r")
    desk.store.append(incident_id, desk.draft("run.started", {"run": RUN, "runbook": "x"}))
    with pytest.raises(StateError, match="is running"):
        changes.settle(desk, incident_id, change.id, "executed", reason="r")
    known = asked(desk, incident_id, name="other")
    with pytest.raises(StateError, match="is asked; that is known"):
        changes.settle(desk, incident_id, known.id, "executed", reason="r")


def test_another_plan_needs_another_approval(desk: Desk, incident_id: str) -> None:
    """What was approved is what is done."""
    approved(desk, incident_id)
    other = Plan(PLAN.title, PLAN.why, "rm -r data", PLAN.verify, PLAN.rollback)
    with pytest.raises(StateError, match="asked otherwise"):
        changes.ask(desk, incident_id, other, Question(PLAN.title, run=RUN))
    with pytest.raises(InputError, match="needs its rollback"):
        Plan("t", "w", "d", "v", " ")
