"""A denied change, or a gate nobody answered, leads to the cells that the runbook keeps for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import nbformat
import pytest
from notebook_files import code, write_notebook

from imtkit.contracts import SystemClock
from imtkit.errors import StepError
from imtkit.kit import Desk, gates, handover, incidents, open_desk, resume, runs
from imtkit.model.incident import Run
from imtkit.runs.execute import planned_steps
from imtkit.runs.runbook import read_runbook

JOIN = """
import imtkit as imt
inc = imt.join()
def promote():
    "Promote the replica."
    open("trace", "a").write("promote ")
def writes():
    "It takes writes."
"""
CHANGE = """
inc.change("Promote", why="it is down", do=promote, verify=writes, rollback="demote it")
"""
TELL = """
if inc.denied:
    open("trace", "a").write("tell ")
    print(*[(no.by, no.reason) for no in inc.denied])
"""
CALL = """
import os
open("trace", "a").write("call ")
if os.path.exists("no line"):
    raise OSError("nobody answers")
"""


@pytest.fixture
def desk(workspace: Path) -> Iterator[Desk]:
    """A desk with a log on disk, which a kernel can reach too."""
    with open_desk(workspace, actor="Ann Example") as opened:
        yield opened


def trace(name: str) -> str:
    """Code that says it ran."""
    return f"open('trace', 'a').write('{name} ')"


def parked(desk: Desk, workspace: Path, ask: str = CHANGE) -> Run:
    """A run that waits for its change to be approved."""
    cells = [
        code("join", JOIN, "setup"),
        code("look", trace("look")),
        code("ask", ask),
        code("tell", TELL, "denied"),
        code("act", trace("act")),
        code("call", CALL, "denied"),
        code("more", trace("more")),
    ]
    write_notebook(workspace / "runbooks" / "promote.ipynb", cells)
    run = runs.start(desk, "promote")
    assert run.status == "waiting"
    return run


def answer(desk: Desk, run: Run, said: str) -> None:
    """Answer the one thing that is asked, as Bo."""
    (asked,) = incidents.get(desk, run.incident).waiting_gates
    gates.answer(desk.acting_as("Bo"), run.incident, asked.id, said, reason="too risky")


def statuses(run: Run) -> dict[str, str]:
    return {step.id: step.status for step in run.steps}


def traced(workspace: Path) -> list[str]:
    return (workspace / "trace").read_text().split()


def test_without_a_denial_the_cells_for_one_are_not_run(desk: Desk, workspace: Path) -> None:
    """They hold nothing up, now or on resuming, and are no failure."""
    run = parked(desk, workspace)
    answer(desk, run, "approve")
    done = resume.resume(desk, run.id)
    assert done.status == "completed"
    assert len(planned_steps(read_runbook(workspace / done.output_path), is_denied=False)) == 5
    assert statuses(done) == {
        "join": "completed",
        "look": "completed",
        "ask": "completed",
        "tell": "not-run",
        "act": "completed",
        "call": "not-run",
        "more": "completed",
    }
    assert traced(workspace) == ["look", "promote", "act", "more"]
    nb = nbformat.read(workspace / done.output_path, 4)
    assert {c.id: c.metadata.imtkit.status for c in nb.cells} == statuses(done)


def test_a_denied_change_leads_to_the_cells_for_that(desk: Desk, workspace: Path) -> None:
    """These alone, in order; the run has failed, and says by whom, why, and what came of it."""
    run = parked(desk, workspace)
    answer(desk, run, "deny")
    denied = resume.resume(desk, run.id)
    assert statuses(denied) == {
        "join": "completed",
        "look": "completed",
        "ask": "failed",
        "tell": "completed",
        "act": "not-run",
        "call": "completed",
        "more": "not-run",
    }
    assert traced(workspace) == ["look", "tell", "call"]
    assert denied.status == "failed"
    assert denied.error == "Bo denied the change 'Promote': too risky; the 2 cells for that ran"
    assert "DeniedError: Bo denied" in next(s.error for s in denied.steps if s.id == "ask")
    nb = nbformat.read(workspace / denied.output_path, 4)
    assert {c.id: c.metadata.imtkit.status for c in nb.cells} == statuses(denied)
    assert nb.cells[3].outputs[0].text == "('Bo', 'too risky')\n"
    with pytest.raises(StepError, match="Bo denied the change"):
        runs.require_completed(denied)


def test_what_was_done_after_a_denial_is_done_once(desk: Desk, workspace: Path) -> None:
    """Resumed, the run meets the same denial and goes on where the way for it broke off."""
    run = parked(desk, workspace)
    answer(desk, run, "deny")
    (workspace / "no line").touch()
    broken = resume.resume(desk, run.id)
    assert broken.status == "failed"
    assert "Bo denied the change 'Promote': too risky; of the cells for that" in broken.error
    assert broken.error.endswith("ended as failed: OSError: nobody answers")
    (workspace / "no line").unlink()
    again = resume.resume(desk, run.id)
    assert again.error == "Bo denied the change 'Promote': too risky; the cell for that ran"
    assert statuses(again)["tell"] == "completed"
    assert traced(workspace) == ["look", "tell", "call", "call"]
    assert desk.store.verify() == []


def test_a_change_denied_is_asked_anew_under_another_name(desk: Desk, workspace: Path) -> None:
    """By whoever edits the cell; approved, the run goes on, and what was done stays done."""
    run = parked(desk, workspace)
    answer(desk, run, "deny")
    denied = resume.resume(desk, run.id)
    path = workspace / denied.output_path
    nb = nbformat.read(path, 4)
    nb.cells[2].source = CHANGE.replace("do=", "name='again', do=").strip()
    nbformat.write(nb, path)
    assert resume.resume(desk, run.id).status == "waiting"
    answer(desk, run, "approve")
    done = resume.resume(desk, run.id)
    assert (done.status, done.error) == ("completed", "")
    assert set(statuses(done).values()) == {"completed"}
    assert traced(workspace) == ["look", "tell", "call", "promote", "act", "more"]


class LaterClock(SystemClock):
    """An hour ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(hours=1)


def test_a_gate_that_expired_leads_there_too(desk: Desk, workspace: Path) -> None:
    """The parked run has failed by itself; resumed, it goes the way for a denial."""
    run = parked(desk, workspace, "inc.gate('Go?', within='2s')")
    late = Desk(desk.settings, desk.store, LaterClock(), "Ann Example")
    over = incidents.get(late, run.incident).run(run.id)
    assert over is not None
    assert (over.status, statuses(over)["ask"]) == ("failed", "failed")
    assert handover.may_go_on(desk, run.id)
    again = resume.resume(desk, run.id)
    assert not handover.may_go_on(desk, run.id)
    assert again.error.endswith("nobody answered; the 2 cells for that ran")
    assert traced(workspace) == ["look", "tell", "call"]


def test_after_a_no_the_runbook_goes_on(desk: Desk, workspace: Path) -> None:
    """A gate's 'no' is an answer, not a denial."""
    run = parked(desk, workspace, "inc.gate('Go?')")
    answer(desk, run, "no")
    done = resume.resume(desk, run.id)
    assert (done.status, statuses(done)["tell"]) == ("completed", "not-run")
    assert traced(workspace) == ["look", "act", "more"]
