"""Gates and changes as a notebook meets them."""

from __future__ import annotations

import pytest
from clocks import FixedClock

from imtkit.errors import DeniedError, InputError, StepError, WaitingError
from imtkit.kit import Desk, changes, gates, incidents
from imtkit.kit.changes import Plan
from imtkit.kit.gates import Question
from imtkit.model.gates import MIME_TYPE
from imtkit.model.opening import Opening
from imtkit.widgets.gate import LiveGate
from imtkit.widgets.joined import JoinedIncident


@pytest.fixture
def inc(desk: Desk) -> JoinedIncident:
    """A new incident as a notebook holds it."""
    return JoinedIncident(desk, incidents.open_(desk, Opening("Checkout answers 502")).id)


def promote() -> None:
    """Promote the replica.

    What stands further down is not told.
    """


def writes() -> bool:
    return True


def test_a_gate_waits_and_then_gives_its_answer(desk: Desk, inc: JoinedIncident) -> None:
    """The same cell run again goes on with what was answered."""
    for _ in range(2):
        with pytest.raises(WaitingError, match="'Fail over\\?' waits for an answer") as waits:
            inc.gate("Fail over?", who="incident commander", within="30m")
    assert waits.value.hint == f"imt gate answer {inc.id} fail-over ANSWER"
    inc.assign("incident commander", "Ann Example")
    gates.answer(desk, inc.id, "fail-over", "no", reason="it recovers")
    assert inc.gate("Fail over?", who="incident commander", within="30m") == "no"


def test_the_incident_says_what_waits(desk: Desk, inc: JoinedIncident) -> None:
    """Its head names the questions without an answer, and only those."""
    with pytest.raises(WaitingError):
        inc.gate("Fail over?")
    assert "Waiting for an answer  Fail over?" in repr(inc)
    gates.answer(desk, inc.id, "fail-over", "no")
    assert "Waiting for an answer" not in repr(inc)


def test_an_expired_gate_is_denied(inc: JoinedIncident, clock: FixedClock) -> None:
    """Silence is no consent, and is not waited for any longer."""
    with pytest.raises(WaitingError):
        inc.gate("Go?", within="5m")
    clock.move(minutes=5)
    with pytest.raises(DeniedError, match="expired"):
        inc.gate("Go?", within="5m")


def test_a_change_waits_is_done_and_says_so(desk: Desk, inc: JoinedIncident) -> None:
    """Its plan is what the functions say of themselves."""

    def change() -> object:
        return inc.change(
            "Promote the replica",
            why="the primary is down",
            do=promote,
            verify=writes,
            rollback="demote it",
        )

    with pytest.raises(WaitingError, match="waits for approval"):
        change()
    (asked,) = inc.state.changes
    assert dict(asked.plan) == {
        "Why": "the primary is down",
        "What is done": "Promote the replica.",
        "How it is verified": "writes",
        "Rollback": "demote it",
    }
    gates.answer(desk.acting_as("Bo"), inc.id, asked.id, "approve")
    assert repr(change()).startswith("Change verified, 2026-11-21 12:00:00 UTC: Promote")


def test_a_change_that_fails_tells_the_way_back(desk: Desk, inc: JoinedIncident) -> None:
    """As the error's next step."""

    def change() -> object:
        return inc.change("c", why="w", do=promote, verify=lies, rollback="undo")

    with pytest.raises(WaitingError):
        change()
    gates.answer(desk.acting_as("Bo"), inc.id, "change-c", "approve")
    with pytest.raises(StepError, match="'c' failed: not verified") as failure:
        change()
    assert failure.value.hint == "Rollback: undo"


def lies() -> bool:
    return False


def test_what_was_denied_is_at_hand(desk: Desk, inc: JoinedIncident, clock: FixedClock) -> None:
    """So that a cell for that acts only then; nothing is denied while something is waited for."""
    with pytest.raises(WaitingError):
        inc.gate("Go?", within="5m")
    assert not inc.denied
    clock.move(minutes=5)
    assert [one.question for one in inc.denied] == ["Go?"]


def test_a_change_that_broke_off_is_settled_in_a_notebook(desk: Desk, inc: JoinedIncident) -> None:
    """With what happened and how that is known."""
    plan = Plan("Promote", "it is down", "promote()", "it writes", "demote it")
    change = changes.ask(desk, inc.id, plan, Question("Promote"))
    gates.answer(desk.acting_as("Bo"), inc.id, change.id, "approve")
    desk.store.append(inc.id, desk.draft("change.begun", {"change": change.id}))
    said = inc.settle(change.id, "executed", "it takes writes")
    assert said.value.state == "executed"
    assert repr(said) == "Change settled as executed: Promote"


def test_a_change_says_what_it_does(inc: JoinedIncident) -> None:
    """Nobody approves a lambda."""
    with pytest.raises(InputError, match="does not say what it does"):
        inc.change("c", why="w", do=lambda: None, verify=writes, rollback="undo")


def test_a_gate_is_shown_in_three_forms(desk: Desk, inc: JoinedIncident) -> None:
    """A place in the log for JupyterLab, HTML and text for the rest; nothing in them is markup."""
    with pytest.raises(WaitingError):
        inc.gate("Drop <b>everything</b>?", who=("Ann Example", "<i>"), name="drop")
    live = LiveGate(desk, inc.id, "drop")
    shown = live._repr_mimebundle_()
    assert shown[MIME_TYPE] == {"incident": inc.id, "gate": "drop"}
    page, text = str(shown["text/html"]), str(shown["text/plain"])
    assert "<b>" not in page
    assert "<i>" not in page
    assert f"imt gate answer {inc.id} drop ANSWER" in page
    assert text.splitlines()[0] == "Drop <b>everything</b>? – waiting"
    gates.answer(desk, inc.id, "drop", "yes", reason="told to")
    text = repr(live)
    assert text.splitlines()[0] == "Drop <b>everything</b>? – answered: yes"
    assert "yes, by Ann Example, 2026-11-21 12:00:00 UTC, cli" in text
    assert "told to" in text
    assert "imt gate answer" not in text
