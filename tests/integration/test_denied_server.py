"""A denial where a Jupyter server keeps the kernel: the run goes its way for it by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from labs import a_workspace, serving, until
from notebook_files import code, write_notebook
from terminal import imt_process

from imtkit.kit import Desk, gates, incidents, open_desk, resume
from imtkit.model.incident import Run

JOIN = "import imtkit as imt, os\ninc = imt.join()\nx = 42"
DEED = """
def promote():
    "Promote the replica."
inc.change("Promote", why="it is down", do=promote, verify=promote, rollback="demote it")
"""
TELL = "if inc.denied: print(x, os.getpid(), inc.denied[0].reason or 'nobody answered')"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with a server, and two runbooks that ask."""
    root = tmp_path_factory.mktemp("workspace")
    a_workspace(root)
    for name, ask in {"gate": "inc.gate('Go?', within='3s')", "change": DEED}.items():
        cells = [
            code("join", JOIN, "setup"),
            code("pid", "print(os.getpid())"),
            code("ask", ask),
            code("act", "print('acted')"),
            code("tell", TELL, "denied"),
        ]
        write_notebook(root / "runbooks" / f"{name}.ipynb", cells)
    with serving(root):
        yield root


@pytest.fixture
def desk(workspace: Path) -> Iterator[Desk]:
    """The test's own view of the log."""
    with open_desk(workspace, actor="Bo Berg") as opened:
        yield opened


def parked(desk: Desk, workspace: Path, name: str) -> Run:
    """A run as ``imt run`` leaves it with the server."""
    said = imt_process(
        "run", name, "--json", cwd=workspace, environment={"IMT_USER": "Ann Example"}
    )
    return resume.find(desk, said.json["id"])


def told(workspace: Path, run: Run) -> dict[str, str]:
    """What the cells of a run's notebook printed, by id."""
    cells = json.loads((workspace / run.output_path).read_text())["cells"]
    return {c["id"]: "".join("".join(o.get("text", "")) for o in c["outputs"]) for c in cells}


def over(desk: Desk, run: Run) -> Run:
    """The run, once it has gone on and ended."""

    def is_over() -> bool:
        now = resume.find(desk, run.id)
        return now.attempt == 2 and now.is_over

    until(is_over)
    return resume.find(desk, run.id)


def test_a_denied_change_goes_its_way_on_the_same_kernel(desk: Desk, workspace: Path) -> None:
    """Within a second of the denial; variables from before are there."""
    run = parked(desk, workspace, "change")
    assert run.status == "waiting"
    (asked,) = incidents.get(desk, run.incident).waiting_gates
    gates.answer(desk, run.incident, asked.id, "deny", reason="too risky")
    ended = over(desk, run)
    assert (ended.status, ended.error) == (
        "failed",
        "Bo Berg denied the change 'Promote': too risky; the cell for that ran",
    )
    said = told(workspace, ended)
    assert said["tell"] == f"42 {said['pid'].strip()} too risky\n"
    assert said["act"] == ""


def test_a_gate_that_nobody_answers_goes_there_too(desk: Desk, workspace: Path) -> None:
    """As soon as its time is over, with nobody there; the log tells each step of it."""
    run = parked(desk, workspace, "gate")
    ended = over(desk, run)
    assert ended.status == "failed"
    assert ended.error.endswith("nobody answered; the cell for that ran")
    said = told(workspace, ended)
    assert said["tell"] == f"42 {said['pid'].strip()} nobody answered\n"
    entries = incidents.get(desk, run.incident).entries
    actors = {e.type: e.actor for e in entries if e.type in ("gate.expired", "run.resumed")}
    assert actors == {"gate.expired": "automation/expiry", "run.resumed": "automation/server"}
    assert desk.store.verify() == []
