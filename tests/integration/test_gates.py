"""Gates from the terminal, and in a run on a real kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from notebook_files import code, write_notebook
from terminal import Imt

from imtkit.kit import Desk, changes, gates, incidents, open_desk, resume, runs
from imtkit.kit.changes import Plan
from imtkit.kit.gates import Question
from imtkit.lab import reach
from imtkit.model.gates import MIME_TYPE
from imtkit.model.opening import Opening
from imtkit.runs import lease
from imtkit.runs.lease import Lease, this_process


@pytest.fixture
def log(workspace: Path) -> Iterator[Desk]:
    """The test's own view of the workspace's log."""
    with open_desk(workspace, actor="Bo Operator") as opened:
        yield opened


@pytest.fixture
def gate(log: Desk) -> tuple[str, str]:
    """An incident, and a gate on it that waits for Ann."""
    incident_id = incidents.open_(log, Opening("Checkout fails")).id
    asked = Question("Fail over?", who=("Ann Example",))
    return incident_id, gates.open_(log, incident_id, asked).id


def test_what_waits_is_listed(imt: Imt, gate: tuple[str, str]) -> None:
    """With what is asked of whom; as JSON too; nothing is said to be nothing."""
    listed = imt("gate", "list")
    assert listed.out == f"{' '.join(gate)}\n  Fail over? (yes or no), asked of Ann Example\n"
    (document,) = imt("gate", "list", "--json").json
    assert document["incident"] == gate[0]
    assert document["gate"]["answers"] == ["yes", "no"]
    imt("gate", "answer", *gate, "no")
    nothing = imt("gate", "list")
    assert (nothing.out, nothing.err) == ("", "Nothing waits for an answer.\n")


def test_what_keeps_an_incident_from_being_closed_is_listed(
    imt: Imt, log: Desk, gate: tuple[str, str]
) -> None:
    """Once it is resolved, the line says so."""
    incidents.acknowledge(log, gate[0])
    incidents.resolve(log, gate[0], fields={"resolution": "done"})
    said = "asked of Ann Example; the incident is resolved, and not closed before this\n"
    assert imt("gate", "list").out.endswith(said)


def test_a_gate_is_answered_once(imt: Imt, gate: tuple[str, str]) -> None:
    """The first answer is told to whoever comes later; the page of the gate tells all of it."""
    done = imt("gate", "answer", gate[0].lower(), gate[1], "yes", "--reason", "the lag is zero")
    assert done.code == 0
    assert done.out.startswith("Fail over? – yes, by Ann Example, ")
    late = imt("gate", "answer", *gate, "no")
    assert (late.code, late.out) == (5, "")
    assert "answered already: yes, by Ann Example" in late.err
    shown = imt("gate", "show", *gate)
    assert shown.out.startswith("Fail over? – answered: yes\n")
    assert "the lag is zero" in shown.out
    assert imt("gate", "show", *gate, "--json").json["answer"] == "yes"


def test_who_may_not_and_what_is_not_there(imt: Imt, gate: tuple[str, str]) -> None:
    """Each has its exit code, and nothing is recorded."""
    assert imt("gate", "answer", *gate, "yes", "--actor", "Cy").code == 6
    assert imt("gate", "answer", *gate, "yes", "--actor", "automation/x").code == 6
    assert imt("gate", "answer", *gate, "perhaps").code == 2
    assert imt("gate", "answer", gate[0], "fail-ovr", "yes").code == 3
    assert imt("gate", "show", gate[0], "fail-ovr").code == 3
    assert len(imt("gate", "list", "--json").json) == 1


def test_a_change_is_settled_from_the_terminal(imt: Imt, log: Desk, gate: tuple[str, str]) -> None:
    """The list says what to do; what is said of it stands on its page."""
    plan = Plan("Promote", "it is down", "promote()", "it writes", "demote it")
    change = changes.ask(log, gate[0], plan, Question("Promote", run="r1"))
    imt("gate", "answer", gate[0], change.id, "approve")
    log.store.append(gate[0], log.draft("change.begun", {"change": change.id}))
    assert "begun, and the log does not say how it ended" in imt("gate", "list").out
    assert imt("gate", "settle", gate[0], change.id, "executed").code == 2
    said = imt("gate", "settle", gate[0], "change-promote", "failed", "--reason", "still a replica")
    assert said.out == "Promote – settled as failed, by Ann Example\nRollback: demote it\n"
    assert "as failed, by Ann Example" in imt("gate", "show", gate[0], change.id).out
    assert imt("gate", "settle", gate[0], change.id, "executed", "--reason", "r").code == 5


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("cancelled", "Its run was cancelled; nothing goes on. To go on all the same: imt runs"),
        ("lost", "Its run is lost; nothing goes on. To go on all the same: imt runs resume r1"),
        ("completed", "Its run is completed; nothing goes on.\n"),
    ],
)
def test_an_answer_to_a_run_that_is_over_moves_nothing(
    imt: Imt, log: Desk, gate: tuple[str, str], status: str, said: str
) -> None:
    """It is recorded, and whoever answered is told so, and what may be done."""
    gates.open_(log, gate[0], Question("Scale up?", run="r1"))
    log.store.append(
        gate[0],
        log.draft("run.started", {"run": "r1", "runbook": "scale"}),
        log.draft("run.finished", {"run": "r1", "status": status}),
    )
    done = imt("gate", "answer", gate[0], "scale-up", "yes")
    assert done.code == 0
    assert done.err.startswith(said)


@pytest.mark.parametrize("status", ["running", "waiting"])
def test_an_answer_to_a_run_that_a_server_holds_needs_nothing_more(
    imt: Imt, log: Desk, gate: tuple[str, str], status: str
) -> None:
    """It goes on by itself, also where the server was quicker than whoever asks."""
    gates.open_(log, gate[0], Question("Scale up?", run="r1"))
    log.store.append(gate[0], log.draft("run.started", {"run": "r1", "runbook": "scale"}))
    if status == "waiting":
        log.store.append(gate[0], log.draft("run.parked", {"run": "r1", "status": status}))
    record = reach.announce(log.settings, "http://127.0.0.1:1/", "secret")
    lease.keep(runs.lease_folder(log), Lease("r1", gate[0], this_process()))
    answered = imt("gate", "answer", gate[0], "scale-up", "yes")
    reach.withdraw(record)
    assert answered.err == "Its run goes on by itself.\n"


def test_an_answer_to_a_requested_run_says_who_goes_on_with_it(
    imt: Imt, log: Desk, gate: tuple[str, str]
) -> None:
    """A worker does, in a while; who will not wait is told how."""
    gates.open_(log, gate[0], Question("Scale up?", run="r1"))
    for type_ in ("run.requested", "run.started", "run.parked"):
        log.store.append(gate[0], log.draft(type_, {"run": "r1", "runbook": "scale"}))
    answered = imt("gate", "answer", gate[0], "scale-up", "yes")
    assert answered.err == (
        "A worker goes on with its run within about a minute. "
        "To go on here and now: imt runs resume r1\n"
    )


def test_a_run_parks_at_its_gate_and_goes_on(imt: Imt, log: Desk, workspace: Path) -> None:
    """The gate names its run and step, and stands in the notebook; answered, the run goes on."""
    cells = [
        code("join", "import imtkit as imt\ninc = imt.join()", "setup"),
        code("ask", "answer = inc.gate('Fail over?', within='30m')"),
        code("act", "print('acted on', answer)"),
    ]
    write_notebook(workspace / "runbooks" / "gated.ipynb", cells)
    run = runs.start(log, "gated")
    assert run.status == "waiting"
    assert [step.status for step in run.steps] == ["completed", "waiting", "not-run"]
    (asked,) = incidents.get(log, run.incident).gates
    assert (asked.run, asked.step) == (run.id, "ask")
    assert asked.id == f"{run.id.lower()}-fail-over"
    (shown, error) = nbformat.read(workspace / run.output_path, 4).cells[1].outputs
    assert shown.data[MIME_TYPE] == {"incident": run.incident, "gate": asked.id}
    assert error.ename == "WaitingError"
    assert imt("gate", "show", run.incident, "fail-over", "--json").json["id"] == asked.id
    answered = imt("gate", "answer", run.incident, "fail-over", "no")
    assert answered.err == f"Go on with it: imt runs resume {run.id}\n"
    again = resume.resume(log, run.id)
    assert (again.id, again.status) == (run.id, "completed")
    assert len(incidents.get(log, run.incident).gates) == 1
    ask, act = nbformat.read(workspace / again.output_path, 4).cells[1:]
    assert "answered: no" in ask.outputs[0].data["text/plain"]
    assert act.outputs[0].text == "acted on no\n"
