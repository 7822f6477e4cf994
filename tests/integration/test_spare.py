"""A worker has one kernel up before a run wants it: which run gets it, and when it will not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from labs import Lab, a_workspace, serving, until
from notebook_files import code, write_notebook

from imtkit.kit import Desk, open_desk, requests, resume
from imtkit.lab.serve import HEADLESS
from imtkit.model.incident import Run

TELLS = "import os\nopen(where, 'a').write(f\"{os.getpid()} {os.environ['IMT_RUN']}\\n\")"
BOOK = [code("values", "where = ''", "parameters"), code("tell", TELLS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose runbook writes down on which kernel it runs."""
    made = a_workspace(tmp_path_factory.mktemp("spare"))
    write_notebook(made / "runbooks" / "tell.ipynb", BOOK)
    return made


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[Lab]:
    """A worker of that workspace, as ``imt worker`` starts it."""
    with serving(folder, extra=HEADLESS) as lab:
        yield lab


@pytest.fixture(scope="module")
def desk(folder: Path) -> Iterator[Desk]:
    """Ann's desk there."""
    with open_desk(folder, actor="Ann Example") as opened:
        yield opened


def spare_of(worker: Lab) -> psutil.Process:
    """The one kernel that is up though no run has it; nobody's session."""
    until(lambda: len(worker.kernels()) == 1)
    return worker.kernels()[0]


def run_on(desk: Desk) -> tuple[Run, int]:
    """A run that was asked for, once it has ended, and the process of its kernel."""
    where = desk.settings.root / "where.txt"
    where.unlink(missing_ok=True)
    asked = requests.request(desk, "", "tell", parameters={"where": str(where)})
    queue = requests.open_queue(desk.settings)
    try:
        requests.enqueue_requested(desk, queue)
    finally:
        queue.close()
    until(lambda: resume.find(desk, asked.id).status not in ("queued", "running"))
    pid, run = where.read_text().split()
    assert run == asked.id
    return resume.find(desk, asked.id), int(pid)


def test_the_next_run_gets_the_kernel_that_is_up_and_another_comes_up(worker: Lab, desk: Desk):
    """Its process was there before the run was asked for; it knows the run, and ends with it."""
    spare = spare_of(worker)
    run, pid = run_on(desk)
    assert (run.status, pid) == ("completed", spare.pid)
    until(lambda: not spare.is_running())
    assert spare_of(worker).pid != spare.pid


def test_a_spare_kernel_that_died_is_no_runs(worker: Lab, desk: Desk):
    """The run gets another, and completes."""
    spare = spare_of(worker)
    spare.kill()
    run, pid = run_on(desk)
    assert run.status == "completed"
    assert pid != spare.pid


def test_a_spare_kernel_from_before_a_change_is_no_runs(worker: Lab, desk: Desk):
    """What the runbooks import has changed since it came up: it is ended, and a fresh one is up
    when there is one.
    """
    spare = spare_of(worker)
    write_notebook(
        desk.settings.root / "runbooks" / "other.ipynb", [code("one", "import decimal, fractions")]
    )
    run, pid = run_on(desk)
    assert run.status == "completed"
    assert pid != spare.pid
    until(lambda: not spare.is_running())
    assert spare_of(worker).pid not in (spare.pid, pid)


def test_nobody_sees_a_kernel_without_an_owner_in_jupyterlab(tmp_path: Path):
    """Where people sit no kernel is up that no run or notebook has."""
    with serving(a_workspace(tmp_path)) as lab:
        until(lambda: any(one.name() == "imt-ready" for one in lab.process.children(True)))
        assert lab.get("../../api/kernels").json() == []
