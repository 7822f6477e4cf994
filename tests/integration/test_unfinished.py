"""Who says that it is over hears what still goes on: alerts, runs, gates, changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from terminal import Called

from imtkit.errors import StateError
from imtkit.kit import Desk, changes, gates, incidents, open_desk
from imtkit.kit.changes import Plan
from imtkit.kit.gates import Question
from imtkit.model.opening import Opening
from imtkit.widgets.joined import JoinedIncident

ENDS = {"resolution": "restarted"}
CAUSE = {"cause": "a full disk"}


@pytest.fixture
def log(workspace: Path) -> Iterator[Desk]:
    """The test's own view of the workspace's log."""
    with open_desk(workspace, actor="Ann Example") as opened:
        yield opened


def opened(desk: Desk) -> str:
    """An incident of which nothing goes on."""
    return incidents.open_(desk, Opening("Orders fail")).id


def fire(desk: Desk, incident_id: str, *names: str) -> None:
    """Alerts that fire."""
    for name in names:
        told = {"fingerprint": name, "alert": name, "name": name, "status": "firing"}
        desk.store.append(incident_id, desk.draft("alert.received", told))


def run_in(desk: Desk, incident_id: str, run: str, *types: str) -> None:
    """What the log says of a run."""
    for type_ in types:
        desk.store.append(incident_id, desk.draft(type_, {"run": run, "runbook": "book"}))


def test_nothing_is_said_when_nothing_goes_on(desk: Desk) -> None:
    """Neither of runs that ended, nor of work by hand, nor of gates with an answer."""
    id_ = opened(desk)
    run_in(desk, id_, "r1", "run.started")
    ended = desk.draft("run.finished", {"run": "r1", "status": "failed"})
    by_hand = desk.draft("run.started", {"run": "r2", "runbook": "book", "by_hand": True})
    desk.store.append(id_, ended, by_hand)
    gate = gates.open_(desk, id_, Question("Fail over?"))
    gates.answer(desk, id_, gate.id, "yes")
    gates.open_(desk, id_, Question("Of a run that is over?", run="r1"))
    resolved = incidents.resolve(desk, id_, fields=ENDS)
    assert incidents.still_going(resolved) == ()
    assert incidents.close(desk, id_, fields=CAUSE).status == "closed"


def test_each_that_goes_on_is_told_by_its_name(desk: Desk) -> None:
    """Alerts together, each run with what it asks, gates without a run, changes half done."""
    id_ = opened(desk)
    fire(desk, id_, "ShopDown", "DiskFull")
    run_in(desk, id_, "r-queued", "run.requested")
    run_in(desk, id_, "r-runs", "run.started")
    run_in(desk, id_, "r-waits", "run.started", "run.parked")
    gates.open_(desk, id_, Question("Restart?", run="r-waits"))
    alone = gates.open_(desk, id_, Question("Fail over?"))
    plan = Plan("Promote", why="it is down", do="promote", verify="look", rollback="demote")
    change = changes.ask(desk, id_, plan, Question("Promote"))
    gates.answer(desk.acting_as("Bo Berg"), id_, change.id, "approve")
    desk.store.append(id_, desk.draft("change.begun", {"change": change.id}))
    assert incidents.still_going(incidents.get(desk, id_)) == (
        "2 alerts still fire: DiskFull, ShopDown.",
        "Run r-queued of 'book' waits for a worker.",
        "Run r-runs of 'book' runs.",
        "Run r-waits of 'book' waits for a person: Restart?",
        f"Nobody has answered 'Fail over?' ({alone.id}).",
        f"A change was begun, and the log does not say how it ended: Promote ({change.id}).",
    )


def test_closing_is_refused_while_work_goes_on_unless_it_is_meant(desk: Desk) -> None:
    """It is told what; meant all the same, the log keeps what was unfinished."""
    id_ = opened(desk)
    run_in(desk, id_, "r1", "run.started")
    incidents.resolve(desk, id_, fields=ENDS)
    with pytest.raises(StateError, match=r"Run r1 of 'book' runs\.") as refused:
        incidents.move(desk, id_, "close", fields=CAUSE)
    assert f"imt incident close {id_} --anyway" in refused.value.hint
    assert incidents.get(desk, id_).status == "resolved"
    closed = incidents.close(desk, id_, fields=CAUSE, anyway=True)
    assert closed.status == "closed"
    last = next(entry for entry in closed.entries if entry.type == "incident.closed")
    assert last.data["unfinished"] == ["Run r1 of 'book' runs."]


def test_an_alert_that_fires_does_not_hold_up_the_end(desk: Desk) -> None:
    """Not every sender says that its alert is over."""
    id_ = opened(desk)
    fire(desk, id_, "ShopDown")
    incidents.resolve(desk, id_, fields=ENDS)
    assert incidents.close(desk, id_, fields=CAUSE).status == "closed"


def test_a_run_may_close_its_own_incident(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not what is unfinished; others are."""
    id_ = opened(desk)
    run_in(desk, id_, "r1", "run.started")
    monkeypatch.setenv("IMT_RUN", "r1")
    incidents.resolve(desk, id_, fields=ENDS)
    assert incidents.close(desk, id_, fields=CAUSE).status == "closed"


def test_the_terminal_warns_and_refuses(imt: Callable[..., Called], log: Desk) -> None:
    """On stderr and in the JSON document; --anyway closes, and says it once more."""
    id_ = opened(log)
    fire(log, id_, "ShopDown")
    run_in(log, id_, "r1", "run.started", "run.parked")
    going = ["1 alert still fires: ShopDown.", "Run r1 of 'book' waits for a person."]
    resolved = imt("incident", "resolve", id_, "--resolution", "restarted", "--json")
    assert resolved.json["still_going"] == going
    assert resolved.err.splitlines() == [f"Still: {one}" for one in going]
    refused = imt("incident", "close", id_, "--cause", "a full disk")
    assert (refused.code, refused.out) == (5, "")
    assert "Run r1 of 'book' waits for a person." in refused.err
    closed = imt("incident", "close", id_, "--cause", "a full disk", "--anyway")
    assert (closed.code, closed.out) == (0, f"{id_} is closed.\n")
    assert f"Still: {going[1]}" in closed.err


def test_a_notebook_is_told_too(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it can be seen, and the verb gives back what it always does."""
    id_ = opened(desk)
    fire(desk, id_, "ShopDown")
    run_in(desk, id_, "r1", "run.started")
    joined = JoinedIncident(desk, id_)
    assert joined.resolve(**ENDS) is joined
    assert capsys.readouterr().err == (
        "Still: 1 alert still fires: ShopDown.\nStill: Run r1 of 'book' runs.\n"
    )
    with pytest.raises(StateError, match="r1"):
        joined.close(**CAUSE)
    assert joined.close(anyway=True, **CAUSE).state.status == "closed"
