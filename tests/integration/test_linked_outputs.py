"""``outputs/`` as a link to a folder elsewhere, as a shared volume is mounted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from labs import serving
from notebook_files import code, write_notebook
from terminal import imt_process

from imtkit.kit import Desk, handover, incidents, open_desk, records, resume, runs
from imtkit.kit.gates import answer
from imtkit.lab.runs import run_of_notebook

ANN = {"IMT_USER": "Ann Example"}
ASKS = [
    code("join", "import imtkit as imt, os\ninc = imt.join()", "setup"),
    code("gate", "pid = os.getpid()\nanswer = inc.gate('Go on?')"),
    code("after", "print(pid == os.getpid(), answer)"),
]


@pytest.fixture
def linked(workspace: Path, tmp_path: Path) -> Path:
    """A workspace whose outputs are elsewhere, with a runbook that asks."""
    (workspace / "outputs").rename(tmp_path / "volume")
    (workspace / "outputs").symlink_to(tmp_path / "volume", target_is_directory=True)
    write_notebook(workspace / "runbooks" / "asks.ipynb", ASKS)
    return workspace


@pytest.fixture
def desk(linked: Path) -> Iterator[Desk]:
    """The test's own view of the log."""
    with open_desk(linked, actor="Bo Berg") as opened:
        yield opened


def test_a_run_parks_goes_on_and_is_recorded(linked: Path, desk: Desk) -> None:
    """On the kernel that it stopped with; its notebook is found by either path, and recorded."""
    with serving(linked) as lab:
        said = imt_process("run", "asks", "--json", cwd=linked, environment=ANN)
        run = resume.find(desk, said.json["id"])
        assert run.status == "waiting", said.err
        assert run.output_path.startswith("outputs/INC-")
        path = linked / run.output_path
        assert run_of_notebook(desk, path).id == run_of_notebook(desk, path.resolve()).id == run.id
        sessions = lab.get("../../api/sessions").json()
        assert [one["path"] for one in sessions] == [run.output_path]
        assert handover.take(desk, run.id).holder == "Bo Berg"
        (gate,) = incidents.get(desk, run.incident).waiting_gates
        answer(desk, run.incident, gate.id, "yes")
        done = imt_process("runs", "give", run.id, "--json", cwd=linked, environment=ANN)
        assert done.json["status"] == "completed", done.err
    last = nbformat.read(path, as_version=4).cells[-1]
    assert "True yes" in json.dumps(last.outputs)
    record = records.build(desk, run.incident)
    assert record.problems == ()
    assert list((linked / "outputs" / run.incident / "record").glob("*-asks.html"))


def test_a_run_without_a_server_completes(linked: Path, desk: Desk) -> None:
    """Its notebook and its incident's folder are on the volume."""
    write_notebook(linked / "runbooks" / "plain.ipynb", [code("one", "print(1)")])
    run = runs.start(desk, "plain")
    assert run.status == "completed"
    assert (linked.parent / "volume" / run.incident).is_dir()
