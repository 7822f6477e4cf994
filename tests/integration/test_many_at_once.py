"""Many runs at once in one process: each is its own, and the process is as it was before."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from notebook_files import code, write_notebook

from imtkit.kit import Desk, incidents, open_desk, runs
from imtkit.kit.runs import Control
from imtkit.model.incident import Run
from imtkit.model.opening import Opening
from imtkit.model.scrubber import Scrubber

CANARY = "zq-Canary/+9=7"
AT_ONCE = 4

SAY = """import os, time
for n in range(20):
    print({name!r}, os.environ['IMT_RUN'])
    time.sleep(0.02)"""
THEN = {
    "plain": "x = 1",
    "fails": "1 / 0",
    "dies": "import signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "hangs": "print('hangs now')\ntime.sleep(60)",
    "cancelled": "print('waits now')\ntime.sleep(60)",
    "secret": "print(token)",
    "writes": "open('written.txt', 'w').write(os.environ['IMT_RUN'])",
    "floods": "for n in range(3000): print('flood', n)",
}
ENDS = {"fails": "failed", "dies": "kernel-died", "hangs": "timed-out", "cancelled": "cancelled"}


@dataclass(frozen=True)
class Process:
    """What runs must leave as it is in the process that they share."""

    cwd: str
    environment: dict[str, str]
    handlers: dict[int, Any]
    streams: tuple[object, ...]
    threads: frozenset[int | None]
    files: int
    children: int
    sockets: tuple[str, ...]

    @classmethod
    def now(cls) -> Process:
        """As it is now."""
        gc.collect()
        return cls(
            os.getcwd(),  # noqa: PTH109 # as the process has it
            dict(os.environ),
            {number: signal.getsignal(number) for number in signal.valid_signals()},
            (sys.stdin, sys.stdout, sys.stderr, sys.excepthook, threading.excepthook),
            frozenset(thread.ident for thread in threading.enumerate()),
            psutil.Process().num_fds(),
            len(psutil.Process().children(recursive=True)),
            tuple(sorted(path.name for path in Path(tempfile.gettempdir()).iterdir())),
        )


@pytest.fixture
def short_temp(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of this test's own for sockets, whose paths must be short."""
    folder = tempfile.mkdtemp(prefix="m-", dir="/tmp")
    monkeypatch.setattr(tempfile, "tempdir", folder)
    yield
    shutil.rmtree(folder)


@pytest.fixture
def place(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with eight runbooks, and a secret."""
    monkeypatch.setenv("PD_TOKEN", CANARY)
    for name, then in THEN.items():
        given = [code("params", 'token: str = "secret://env/PD_TOKEN"', "parameters")]
        cells = [
            code("say", SAY.format(name=name)),
            code("then", then),
            code("last", "print('end')"),
        ]
        write_notebook(
            workspace / "runbooks" / f"{name}.ipynb", [*given * (name == "secret"), *cells]
        )
    return workspace


def in_time(is_so: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether something becomes so: kernels end behind their run."""
    ends_at = time.monotonic() + seconds
    while not is_so() and time.monotonic() < ends_at:
        time.sleep(0.1)
    return is_so()


def start_all(desk: Desk) -> dict[str, Run]:
    """Every runbook at once, on one incident: so many truly at once, the rest in turn."""
    incident = incidents.open_(desk, Opening("Many at once", mode="test"))

    def start(name: str) -> Run:
        control = Control(step_seconds=2 if name == "hangs" else None)

        def on_step(event: Any) -> None:
            if name == "cancelled" and event.id == "then" and event.status == "running":
                threading.Timer(0.5, control.stop.ask, ("cancelled", "cancelled by Bo")).start()

        return runs.start(desk, name, incident_id=incident.id, on_step=on_step, control=control)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(THEN, pool.map(start, THEN), strict=True))


def differences(before: Process, after: Process) -> dict[str, tuple[object, object]]:
    """What is no longer as it was."""
    pairs = {
        one.name: (getattr(before, one.name), getattr(after, one.name)) for one in fields(Process)
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@pytest.mark.usefixtures("short_temp")
def test_eight_runs_in_one_process_do_not_touch_each_other(place: Path) -> None:
    """Their logs, notebooks and secrets are their own, and nothing of them is left."""
    with open_desk(place, actor="Ann Example") as desk:
        runs.start(desk, "plain")  # what the first run of a process loads stays loaded
    assert in_time(lambda: not psutil.Process().children(recursive=True))
    before = Process.now()
    with open_desk(place, actor="Ann Example") as desk:
        done = start_all(desk)
        found = incidents.get(desk, done["plain"].incident)
    assert in_time(lambda: Process.now() == before), differences(before, Process.now())
    assert {name: run.status for name, run in done.items()} == {
        name: ENDS.get(name, "completed") for name in THEN
    }
    ids = {name: run.id for name, run in done.items()}
    assert len(set(ids.values())) == len(ids)
    for name, run in done.items():
        assert found.run(run.id) == run
        _is_its_own(name, run, place, set(ids.values()) - {run.id})
    assert (place / "written.txt").read_text() == ids["writes"]
    assert not (place / "outputs" / ".running").exists() or not list(
        (place / "outputs" / ".running").glob("*.json")
    )
    forms = Scrubber({"token": CANARY}).forms
    for path in place.rglob("*"):
        if path.is_file():
            content = path.read_text(encoding="utf-8", errors="replace")
            assert not [form for form in forms if form in content], path


def _is_its_own(name: str, run: Run, place: Path, others: set[str]) -> None:
    """One run's steps and notebook tell of this run alone."""
    end = ENDS.get(name, "completed")
    last = "completed" if end == "completed" else "not-run"
    statuses = {step.id: step.status for step in run.steps if step.id != "params"}
    assert statuses == {"say": "completed", "then": end, "last": last}
    path = place / run.output_path
    cells = {cell.id: cell for cell in nbformat.read(path, 4).cells}
    said = "".join(output.text for output in cells["say"].outputs)
    assert said == f"{name} {run.id}\n" * 20
    told = {id_: cells[id_].metadata["imtkit"]["status"] for id_ in statuses}
    assert told == statuses
    text = path.read_text(encoding="utf-8")
    assert not [one for one in others if one in text]
    assert set(re.findall(r"hangs now|waits now|flood 1\b|secret token|written", text)) == {
        "hangs": {"hangs now"},
        "cancelled": {"waits now"},
        "floods": {"flood 1"},
        "secret": {"secret token"},
        "writes": {"written"},
    }.get(name, set())
