"""A worker whose network is cut: what it does meanwhile, what another does, and what is true."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import psutil
import pytest
from cables import laid
from labs import a_workspace, running_lab
from notebook_files import code, write_notebook
from waiting import until

from imtkit.kit import Desk, incidents, open_desk, requests, resume
from imtkit.model.incident import Run
from imtkit.model.opening import Opening

TELLS = """
import os, time
def tell(what):
    with open(witness, 'a') as file:
        file.write(f'{what} {os.getpid()} {time.monotonic()}\\n')
"""
LOOKS = """
tell('look')
while not os.path.exists(witness + '.go'):
    tell('tick')
    time.sleep(0.1)
"""
CELLS = [
    code("values", "witness = ''", "parameters"),
    code("setup", TELLS, "setup"),
    code("once", "tell('once')", "once"),
    code("look", LOOKS),
    code("after", "tell('after')"),
]


@dataclass(frozen=True, slots=True)
class Told:
    """A line of a run's witness: what was done, by the kernel of which process, and when."""

    what: str
    kernel: int
    at: float


def told_in(witness: Path) -> list[Told]:
    """What a run's kernels wrote down."""
    lines = witness.read_text().splitlines() if witness.exists() else []
    return [Told(what, int(pid), float(at)) for what, pid, at in map(str.split, lines)]


def a_machine(folder: Path) -> Path:
    """A workspace of its own, outputs and all, that has the runbook."""
    write_notebook(a_workspace(folder) / "runbooks" / "looks.ipynb", CELLS)
    return folder


def asked(desk: Desk, witness: Path) -> Run:
    """A run that was asked for and is in the queue."""
    incident = incidents.open_(desk, Opening("Orders fail")).id
    run = requests.request(desk, incident, "looks", parameters={"witness": str(witness)})
    with closing(requests.open_queue(desk.settings)) as queue:
        requests.enqueue_requested(desk, queue)
    return run


def is_begun(witness: Path, *, kernels: int = 1) -> bool:
    """Whether so many kernels came to the run's long step."""
    return sum(one.what == "look" for one in told_in(witness)) >= kernels


class End:
    """When a process ended, on the clock of its witness."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.at = float("inf")
        Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        while self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.02)
        self.at = time.monotonic()


def assert_true(desk: Desk, asked_for: Run, witness: Path, left: End) -> None:
    """Two kernels were at it, one after the other; what is done once was done once; the log says
    so, and its last word is the end.
    """
    told = told_in(witness)
    first, second = told[0].kernel, told[-1].kernel
    anew = next(one.at for one in told if one.kernel == second)
    assert {one.kernel for one in told} == {first, second}
    assert left.at < anew, "two kernels were at it at once"
    assert [one.what for one in told if one.what != "tick"] == ["once", "look", "look", "after"]
    run = resume.find(desk, asked_for.id)
    assert (run.status, run.attempt, run.runner["host"]) == ("completed", 2, "host-b")
    assert {step.status for step in run.steps} == {"completed"}
    entries = list(desk.store.entries(run.incident))
    assert entries[-1].type == "run.finished"
    looks = [one.data.get("status") for one in entries if one.data.get("step") == "look"]
    assert looks == [None, "kernel-died", None, "completed"]


@pytest.mark.postgres
@pytest.mark.timeout(240)
def test_who_is_cut_off_has_ended_its_runs_before_another_goes_on_with_them(
    tmp_path: Path, postgres_log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes through any more, and nobody says so: its kernels are gone before the other
    worker's begin. When the network is whole again, it serves again, and the log is true.
    """
    monkeypatch.setenv("IMT_STORE_URL", postgres_log)
    long, ending, later = (tmp_path / name for name in ("long", "ending", "later"))
    with ExitStack() as ends:
        cable, address = ends.enter_context(laid(postgres_log))
        desk = ends.enter_context(open_desk(a_machine(tmp_path / "b"), actor="Bo Berg"))
        there = {"IMT_STORE_URL": address}
        machine = a_machine(tmp_path / "a")
        ends.enter_context(running_lab(machine, host="host-a", environment=there))
        runs = {witness: asked(desk, witness) for witness in (long, ending)}
        until(lambda: is_begun(long) and is_begun(ending))
        left = {witness: End(told_in(witness)[0].kernel) for witness in runs}
        with running_lab(tmp_path / "b", host="host-b"):
            cable.cut()
            Path(f"{ending}.go").touch()  # its step ends, which cannot be told
            until(lambda: is_begun(long, kernels=2), 120)
            Path(f"{long}.go").touch()
            for run in runs.values():
                until(lambda run=run: resume.find(desk, run.id).status == "completed")
            cable.mend()
        Path(f"{later}.go").touch()
        again = asked(desk, later)
        until(lambda: resume.find(desk, again.id).status == "completed")
        assert resume.find(desk, again.id).runner["host"] == "host-a"
        for witness, run in runs.items():
            assert_true(desk, run, witness, left[witness])
        assert desk.store.verify() == []
