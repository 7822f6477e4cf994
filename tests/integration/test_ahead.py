"""Kernels that start before their run does: what they know, and that none is left behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


@pytest.fixture
def own_temp(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A temporary folder that no other test's reaper looks through; sockets need a short path."""
    folder = tempfile.mkdtemp()
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr(tempfile, "tempdir", folder)
    yield
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def killed_command(book: Path, told: Path) -> Iterator[tuple[psutil.Process, Path]]:
    """The stopped kernel, and its sockets, of a command that was killed; both go in any case."""
    command = [sys.executable, "-c", BEGINS_AND_DIES, str(book), str(told)]
    subprocess.run(command, check=False, timeout=60)
    pid, folder = told.read_text().split()
    kernel = psutil.Process(int(pid))
    try:
        yield kernel, Path(folder)
    finally:
        with suppress(psutil.NoSuchProcess):
            kernel.kill()  # only if it is still the one that was met
        shutil.rmtree(folder, ignore_errors=True)


def is_soon_gone(process: psutil.Process) -> bool:
    """Whether it ends within seconds; who adopted it may still have to notice."""
    ends_at = time.monotonic() + 5
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > ends_at:
                return False
            time.sleep(0.02)
    return True


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


@pytest.mark.usefixtures("own_temp")
def test_the_kernel_of_a_killed_command_is_found_by_the_reaper(
    desk: Desk, workspace: Path, book: Path
):
    """Its lease is there before the kernel is, and names no run that could be lost."""
    told = workspace / "kernel.txt"
    with killed_command(book, told) as (kernel, sockets):
        assert running.reap(desk) == []
        assert is_soon_gone(kernel)
    assert not sockets.exists()
    assert leases(workspace) == []


@pytest.mark.usefixtures("own_temp")
@pytest.mark.parametrize("has_lease", [True, False])
def test_a_kernel_that_no_lease_names_is_found_by_its_sockets(
    desk: Desk, workspace: Path, book: Path, has_lease: bool
):
    """Its command was killed before it could write down the process, or its workspace is gone."""
    told = workspace / "kernel.txt"
    with killed_command(book, told) as (kernel, sockets):
        (lease,) = workspace.glob("outputs/.running/*.json")
        lease.write_text(json.dumps({**json.loads(lease.read_text()), "kernel": None}))
        if not has_lease:
            lease.unlink()
        assert running.reap(desk) == []
        assert is_soon_gone(kernel)
    assert not sockets.exists()
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
