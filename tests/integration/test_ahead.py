"""Kernels that start before their run does: what they know, and that none is left behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from notebook_files import code, write_notebook
from terminal import imt_on_terminal

from imtkit.errors import KernelError, ParameterError
from imtkit.kit import Desk, open_desk, running, runs
from imtkit.kit.ahead import kernel_ahead
from imtkit.runs.runbook import read_runbook

SAYS_WHERE = [
    code("params", "x = 1", "parameters"),
    code("say", "import os\nprint(os.environ['IMT_INCIDENT'], os.environ['IMT_RUN'], os.getcwd())"),
]

BEGINS_AND_DIES = """
import os, signal, sys
from pathlib import Path
from imtkit.config import load_settings
from imtkit.kit.ahead import kernel_ahead
from imtkit.runs.runbook import read_runbook
book = read_runbook(Path(sys.argv[1]))
with kernel_ahead(load_settings(book.path.parents[1]), book) as taken:
    kernel = taken.__self__
    Path(sys.argv[2]).write_text(f"{kernel.pid} {kernel.sockets}")
    os.kill(kernel.pid, signal.SIGSTOP)  # it cannot notice by itself that we are gone
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def desk(workspace: Path):
    """A desk with a log on disk, which a kernel can reach too."""
    with open_desk(workspace, actor="Ann Example") as opened:
        yield opened


@pytest.fixture
def book(workspace: Path) -> Path:
    """A runbook that says where it runs."""
    return write_notebook(workspace / "runbooks" / "where.ipynb", SAYS_WHERE)


def leases(workspace: Path) -> list[str]:
    """The leases that are kept."""
    return sorted(path.name for path in workspace.glob("outputs/.running/*.json"))


def test_a_run_on_a_kernel_begun_ahead_is_as_any_other(desk: Desk, workspace: Path, book: Path):
    """The kernel learns whose run it is when the run takes it, and ends with it."""
    with kernel_ahead(desk.settings, read_runbook(book)) as taken:
        process = psutil.Process(taken.__self__.pid)
        run = runs.start(desk, "where", control=runs.Control(kernel=taken))
        assert not process.is_running()
    assert run.status == "completed"
    output = nbformat.read(workspace / run.output_path, 4)
    said = output.cells[-1].outputs[0].text
    assert said.split() == [run.incident, run.id, str(workspace)]
    assert leases(workspace) == []


def test_a_kernel_that_no_run_takes_is_ended(desk: Desk, workspace: Path, book: Path):
    """Whatever stops the run before it begins leaves no process, socket or lease."""
    with kernel_ahead(desk.settings, read_runbook(book)) as taken:
        process, sockets = psutil.Process(taken.__self__.pid), taken.__self__.sockets
        assert len(leases(workspace)) == 1
        with pytest.raises(ParameterError):
            runs.start(desk, "where", parameters={"y": 1}, control=runs.Control(kernel=taken))
    assert not process.is_running()
    assert not sockets.exists()
    assert leases(workspace) == []


def test_the_kernel_of_a_killed_command_is_found_by_the_reaper(
    desk: Desk, workspace: Path, book: Path
):
    """Its lease is there before the kernel is, and names no run that could be lost."""
    told = workspace / "kernel.txt"
    subprocess.run([sys.executable, "-c", BEGINS_AND_DIES, str(book), str(told)], check=False)
    pid, sockets = told.read_text().split()
    assert psutil.pid_exists(int(pid))
    assert running.reap(desk) == []
    ends_at = time.monotonic() + 5
    while psutil.pid_exists(int(pid)) and time.monotonic() < ends_at:
        time.sleep(0.02)
    assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == "zombie"
    assert not Path(sockets).exists()
    assert leases(workspace) == []


def test_a_kernel_that_is_not_installed_is_named_at_once(desk: Desk, workspace: Path):
    """No lease is written for what cannot start."""
    path = write_notebook(workspace / "runbooks" / "other.ipynb", SAYS_WHERE, kernel="nosuch")
    with (
        pytest.raises(KernelError, match="nosuch"),
        kernel_ahead(desk.settings, read_runbook(path)),
    ):
        raise AssertionError("it must not come so far")
    assert leases(workspace) == []


def test_on_a_terminal_a_run_says_at_once_that_it_begins(
    workspace: Path, book: Path, monkeypatch: pytest.MonkeyPatch
):
    """What is heavy is loaded after that; the live display follows."""
    monkeypatch.setenv("IMT_USER", "Ann Example")
    code_, shown = imt_on_terminal(["run", "where", "--here"], cwd=workspace, answers={})
    assert shown.startswith("Running where …")
    assert code_ == 0, shown
    assert "completed" in shown
