"""Requested runs that go on without a place in the queue: who is at them, who goes on with them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from labs import running_lab
from notebook_files import code, write_notebook
from terminal import IMT
from waiting import until

from imtkit.kit import Desk, gates, incidents, open_desk, requests, resume, running, runs
from imtkit.model.incident import Run
from imtkit.model.opening import Opening
from imtkit.runs.lease import Process, process_of, this_process
from imtkit.runs.queue import Queue, Request
from imtkit.store.presence import open_presence

ELSEWHERE = Process("another-machine", 1, "then")
QUICK = [code("values", "where = ''", "parameters"), code("work", "open(where, 'a').write('x')")]
HELD = """
import os, time
open(where, 'a').write('x')
while not os.path.exists(where + '.end'): time.sleep(0.05)
"""
ASKS = [
    code("values", "where = ''", "parameters"),
    code("join", "import imtkit as imt\ninc = imt.join()", "setup"),
    code("gate", "inc.gate('Go on?')"),
    code("held", HELD),
]


@pytest.fixture
def desk(workspace: Path) -> Iterator[Desk]:
    """Ann at work, with a log on disk; its runbooks are quick, held up, and held up by a gate."""
    write_notebook(workspace / "runbooks" / "quick.ipynb", QUICK)
    write_notebook(workspace / "runbooks" / "asks.ipynb", ASKS)
    write_notebook(workspace / "runbooks" / "held.ipynb", [QUICK[0], code("held", HELD)])
    with open_desk(workspace, actor="Ann Example") as opened:
        yield opened


def asked(desk: Desk, runbook: str) -> Request:
    """A run that was asked for and waits."""
    incident = incidents.open_(desk, Opening("The shop is slow")).id
    where = desk.settings.root / f"{incident}.txt"
    run = requests.request(desk, incident, runbook, parameters={"where": str(where)})
    return Request(run.id, incident)


def begun(desk: Desk, one: Request, runner: Process) -> None:
    """Have the log say that a run began, and who is at it."""
    run = requests.find(desk, one)
    about = {
        "run": run.id,
        "runbook": run.runbook,
        "parameters": dict(run.parameters),
        "output": f"outputs/{one.incident}/{run.id}.ipynb",
        "runner": asdict(runner),
    }
    started = desk.draft("run.started", about, key=runs.run_key(run.id))
    desk.store.append(one.incident, started)


def lost(desk: Desk, one: Request) -> None:
    """Have the log say that a run died with its runner."""
    about = {"run": one.run, "status": "lost", "error": "its runner died"}
    desk.store.append(one.incident, desk.draft("run.finished", about))


@contextmanager
def a_process() -> Iterator[subprocess.Popen[str]]:
    """A process of this machine that is no worker's."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True
    ) as it:
        try:
            yield it
        finally:
            it.kill()


@pytest.fixture
def serving(desk: Desk) -> Iterator[Queue]:
    """The queue of a worker in this process."""
    queue = requests.open_queue(desk.settings)
    presence = open_presence(desk.settings.store_url, desk.settings.leases, this_process().name)

    def carry_out(one: Request) -> None:
        requests.carry_out(desk, one, is_gone=queue.is_gone)

    queue.serve(carry_out, presence=presence, at_once=1)
    yield queue
    queue.close()


def test_a_run_that_goes_on_in_the_log_alone_is_taken_over_once_its_worker_is_gone(
    desk: Desk, serving: Queue
) -> None:
    """It went on after its gate, so it has no place in the queue: it is left alone as long as its
    worker is there, and brought to its end afterwards.
    """
    one = asked(desk, "quick")
    begun(desk, one, ELSEWHERE)
    there = open_presence(desk.settings.store_url, desk.settings.leases, ELSEWHERE.name)
    there.hold()
    assert requests.enqueue_requested(desk, serving) == []
    there.let_go()
    assert requests.enqueue_requested(desk, serving) == [one.run]
    until(lambda: requests.find(desk, one).status == "completed")
    assert requests.find(desk, one).attempt == 2


def test_a_living_runner_that_is_no_worker_is_not_gone(desk: Desk, serving: Queue) -> None:
    """A person went on with a run in a terminal of this machine: no worker buries it."""
    one = asked(desk, "quick")
    with a_process() as process:
        runner = process_of(process.pid)
        begun(desk, one, runner)
        assert not serving.is_gone(runner)
        assert requests.enqueue_requested(desk, serving) == []
        run = requests.carry_out(desk, one, is_gone=serving.is_gone)
        assert (run.status, run.attempt) == ("running", 1)
    assert serving.is_gone(runner)
    assert requests.enqueue_requested(desk, serving) == [one.run]
    until(lambda: requests.find(desk, one).status == "completed")


def test_what_another_went_on_with_meanwhile_is_not_buried(desk: Desk) -> None:
    """To know that a runner is gone takes a while: only what that one was at is lost with it."""
    one = asked(desk, "quick")
    begun(desk, one, ELSEWHERE)

    def is_gone(process: Process) -> bool:
        if process == ELSEWHERE:
            lost(desk, one)
            about = {"run": one.run, "runner": asdict(this_process())}
            desk.store.append(one.incident, desk.draft("run.resumed", about))
        return process == ELSEWHERE

    run = requests.carry_out(desk, one, is_gone=is_gone)
    assert (run.status, run.attempt, run.runner["pid"]) == ("running", 2, os.getpid())


def test_a_later_process_of_the_same_number_is_another_runner(desk: Desk) -> None:
    """In a container each worker may have the number of the one before: its run is not theirs."""
    one = asked(desk, "quick")
    begun(desk, one, this_process())
    earlier = replace(this_process(), started="earlier")
    assert running.bury(desk, one.incident, one.run, runner=earlier) is None
    assert requests.find(desk, one).status == "running"
    assert running.bury(desk, one.incident, one.run, runner=this_process().given_up) is not None
    assert requests.find(desk, one).status == "lost"


def test_what_went_on_after_its_gate_is_handed_on_when_its_worker_ends(desk: Desk) -> None:
    """By itself, or because a person gave it back: it is a requested run all the same."""
    answered, given = asked(desk, "asks"), asked(desk, "asks")

    def run_of(one: Request) -> Run:
        return requests.find(desk, one)

    with running_lab(desk.settings.root) as lab:
        until(lambda: {run_of(one).status for one in (answered, given)} == {"waiting"})
        assert lab.post(f"runs/{given.run}/take", {"actor": "Ann Example"}).ok
        for one in (answered, given):
            [gate] = incidents.get(desk, one.incident).waiting_gates
            gates.answer(desk, one.incident, gate.id, gate.answers[0])
        assert lab.post(f"runs/{given.run}/give", {"actor": "Ann Example"}).ok
        for one in (answered, given):
            until((desk.settings.root / f"{one.incident}.txt").exists)
    for one in (answered, given):
        assert (run_of(one).status, run_of(one).error) == ("cancelled", requests.WORKER_ENDS)


@pytest.mark.postgres
def test_workers_of_other_machines_see_that_a_run_goes_on_in_a_terminal(
    desk: Desk,
    workspace: Path,
    postgres_log: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """``imt runs resume`` of a requested run is there for as long as it is at it."""
    monkeypatch.setenv("IMT_STORE_URL", postgres_log)
    monkeypatch.setenv("IMT_USER", "Ann Example")
    folder = tmp_path_factory.mktemp("another-machine")
    with open_desk(workspace, actor="Ann Example") as shared:
        one = asked(shared, "held")
        begun(shared, one, ELSEWHERE)
        lost(shared, one)
        where = workspace / f"{one.incident}.txt"
        other = open_presence(postgres_log, folder, "other", gone_seconds=0)
        with subprocess.Popen([*IMT, "runs", "resume", one.run], cwd=workspace) as terminal:
            until(where.exists)
            name = Process(**requests.find(shared, one).runner).name
            assert other.missing([name, ELSEWHERE.name]) == {ELSEWHERE.name}
            where.with_name(f"{where.name}.end").touch()
            assert terminal.wait(60) == 0
        until(lambda: other.missing([name]) == {name})
        other.let_go()
        assert resume.find(shared, one.run).status == "completed"
