"""What a run may be expected to take is shown where it is known, by every face of a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from notebook_files import code, write_notebook
from terminal import imt_on_terminal, imt_process

ANN = {"IMT_USER": "Ann Example"}


@pytest.fixture
def place(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose runbook ran once."""
    monkeypatch.setenv("IMT_USER", "Ann Example")
    cells = [
        code("nap", "import time\ntime.sleep(0.4)"),
        code("gate", "import os\nassert os.path.exists('ready'), 'not ready'", "setup"),
    ]
    write_notebook(workspace / "runbooks" / "nap.ipynb", cells)
    (workspace / "ready").touch()
    first = imt_process("run", "nap", "--here", "--json", cwd=workspace)
    assert first.code == 0, first.err
    assert "usually" not in first.err
    assert "expected_seconds" not in first.out
    return workspace


def test_it_is_shown_on_a_terminal_elsewhere_and_in_json(place: Path) -> None:
    """The run's and each step's, in each of them."""
    seconds = r"\(usually (\d+ ms|\d\.\d s)\)"
    code_, shown = imt_on_terminal(["run", "nap", "--here"], cwd=place, answers={})
    assert code_ == 0
    assert len(set(re.findall(seconds, shown))) >= 2
    said = imt_process("run", "nap", "--here", "--json", cwd=place)
    assert re.search(r"Running nap: 2 steps, usually (\d+ ms|\d\.\d s)\.", said.err)
    assert re.search(r"completed, \S+ \S+ " + seconds, said.err)
    document = said.json
    assert document["expected_seconds"] > 0.4
    assert document["steps"][0]["expected_seconds"] == pytest.approx(0.4, abs=0.35)
    listed = imt_process("runs", "list", "--json", cwd=place).json
    assert [run["expected_seconds"] > 0.4 for run in listed] == [True] * 3
    shown = imt_process("runs", "show", document["id"], "--follow", cwd=place)
    assert "usually" in shown.err
    assert "usually" not in shown.out


def test_a_resumed_run_knows_what_its_runbook_took(place: Path) -> None:
    """Though it runs the run's own notebook, whose name is another."""
    (place / "ready").unlink()
    failed = imt_process("run", "nap", "--here", "--json", cwd=place)
    assert failed.code != 0
    (place / "ready").touch()
    again = imt_process("runs", "resume", failed.json["id"], "--json", cwd=place)
    assert again.code == 0, again.err
    assert "usually" in again.err
    assert again.json["expected_seconds"] > 0.4
