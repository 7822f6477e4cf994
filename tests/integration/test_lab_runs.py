"""Runs in a Jupyter server, as its page asks for them: whose turn it is, and what the kernel is."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir
from threading import Thread
from typing import Any

import labs
import nbformat
import psutil
import pytest
import requests
from labs import Lab, record_of, serving, until
from labs import bos_desk as desk
from notebook_files import code, write_notebook
from terminal import imt_process

from imtkit.config import load_settings
from imtkit.errors import ImtkitError, NotFoundError, ParameterError, StoreError
from imtkit.kit import Desk, gates, handover, incidents, open_desk, resume
from imtkit.lab import reach
from imtkit.model.incident import Run
from imtkit.model.opening import Opening

__all__ = ["desk"]

PERSON = "Ada Lovelace"
ANN = {"actor": "Ann Example"}
PID = "import os\nprint('pid', os.getpid())"
JOIN = code("join", "import imtkit as imt\ninc = imt.join()", "setup")
ASKS = [
    code("values", "count = 1", "parameters"),
    JOIN,
    code("before", f"# Before\nx = count + 41\n{PID}"),
    code("gate", "# The gate\nanswer = inc.gate('Go on?')"),
    code("after", f"# After\nprint('x is', x, answer)\n{PID}"),
]
LONG = """# Long
import pathlib, time
print("begun", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end and not pathlib.Path(until).exists():
    time.sleep(0.05)"""
SLEEPS = [
    code("values", "until = 'nothing is here'", "parameters"),
    code("first", PID),
    code("long", LONG),
    code("never", "print('never')"),
]


def a_workspace(folder: Path, *, kernels: str = "") -> Path:
    """A workspace with a runbook that asks, and one that takes long."""
    labs.a_workspace(folder)
    if kernels:
        text = (folder / "imt.toml").read_text()
        name = kernels.partition(" ")[0]
        (folder / "imt.toml").write_text(re.sub(rf"^{name} = .*$", kernels, text, flags=re.M))
    write_notebook(folder / "runbooks" / "asks.ipynb", ASKS)
    write_notebook(folder / "runbooks" / "sleeps.ipynb", SLEEPS)
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One worker for the tests that leave it alive."""
    with serving(a_workspace(tmp_path_factory.mktemp("workspace")), person=PERSON) as started:
        yield started


def server_of(lab: Lab) -> reach.Server:
    """The workspace's newest server, as the terminal finds it."""
    found = reach.server_of(load_settings(lab.workspace))
    assert found is not None
    return found


def lines(lab: Lab, path: str = "runs", **body: Any) -> list[dict[str, Any]]:
    """All that a server tells of a run that it carries out."""
    return list(reach.follow(server_of(lab), path, {**ANN, **body}))


def parked(lab: Lab, desk: Desk) -> Run:
    """A new run that waits at its gate."""
    run = resume.find(desk, lines(lab, runbook="asks")[0]["begun"]["run"])
    assert run.status == "waiting"
    return run


@contextmanager
def going_on(lab: Lab, desk: Desk, **body: Any) -> Iterator[Run]:
    """A run that is in the midst of its long step; its end is awaited."""
    told: list[dict[str, Any]] = []

    def follow() -> None:
        try:
            told.extend(lines(lab, runbook="sleeps", **body))
        except ImtkitError as error:
            told.append({"error": str(error)})

    before = {run.id for one in desk.store.incidents() for run in runs_of(desk, one.id)}
    thread = Thread(target=follow)
    thread.start()

    def begun() -> list[Run]:
        found = [run for one in desk.store.incidents() for run in runs_of(desk, one.id)]
        return [
            run
            for run in found
            if run.id not in before and any(s.id == "long" and s.started_at for s in run.steps)
        ]

    try:
        until(begun)
        yield begun()[0]
    finally:
        thread.join(30)
    assert not thread.is_alive()


def runs_of(desk: Desk, incident_id: str) -> tuple[Run, ...]:
    """The runs of an incident."""
    return incidents.get(desk, incident_id).runs


def state(lab: Lab, run: Run) -> dict[str, Any]:
    """How a run stands, as the page is told."""
    told: dict[str, Any] = lab.get(f"runs/{run.id}").json()
    return told


def post(lab: Lab, run: Run, what: str, **body: Any) -> requests.Response:
    """Take, give or cancel a run."""
    return lab.post(f"runs/{run.id}/{what}", body)


def answer(desk: Desk, run: Run) -> None:
    """Answer the gate of a run."""
    (gate,) = incidents.get(desk, run.incident).waiting_gates
    gates.answer(desk, run.incident, gate.id, "yes")


def pids(desk: Desk, run: Run) -> list[int]:
    """The processes that the steps of a run ran in, as they printed them."""
    text = (desk.settings.root / run.output_path).read_text()
    return [int(found) for found in re.findall(r'"pid (\d+)', text)]


def folders_of(lab: Lab) -> list[Path]:
    """The folders of kernels' sockets and connection files that are a server's."""
    found = []
    for path in Path(gettempdir()).glob("imt-*/owner.json"):
        with suppress(FileNotFoundError):  # other servers come and go
            if json.loads(path.read_text())["pid"] == lab.process.pid:
                found.append(path.parent)
    return found


def is_gone(pid: int) -> bool:
    """Whether a process has ended, though nobody may have asked how."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ended(desk: Desk, run: Run, *statuses: str) -> Run:
    """The run, once it has one of these."""
    until(lambda: resume.find(desk, run.id).status in statuses)
    return resume.find(desk, run.id)


def test_a_run_is_found_by_its_notebook(lab: Lab, desk: Desk):
    """The page asks with the notebook's path; what is no run's notebook is not found, quietly."""
    run = parked(lab, desk)
    told = lab.get("runs", params={"notebook": run.output_path}).json()
    assert told == state(lab, run)
    assert told["notebook"] == run.output_path
    assert (told["status"], told["at"], told["kernel"]) == ("waiting", "The gate", "same")
    assert (told["holder"], told["person"], told["done"], told["steps"]) == ("", PERSON, 3, 5)
    nowhere = (
        *("runbooks/asks.ipynb", "outputs/x.ipynb", "outputs", "", "../x.ipynb", "/etc/passwd"),
        *(f"outputs/{run.incident}/other.ipynb", "outputs/INC-1999-0001/x.ipynb"),
    )
    for path in nowhere:
        answered = lab.get("runs", params={"notebook": path})
        assert (answered.status_code, "hint" in answered.json()) == (404, True), path
    assert lab.get("runs").status_code == 400
    assert lab.get("runs/20990101T000000Z-abcdef").status_code == 404


def test_only_people_with_a_login_reach_runs(lab: Lab, desk: Desk):
    """Without the token nobody sees, begins, takes, gives or ends a run."""
    run = parked(lab, desk)
    for path in (f"runs/{run.id}", f"runs?notebook={run.output_path}"):
        assert requests.get(f"{lab.url}imtkit/api/{path}", timeout=30).status_code == 403
    for path in ("runs", *(f"runs/{run.id}/{w}" for w in ("take", "give", "cancel", "resume"))):
        assert requests.post(f"{lab.url}imtkit/api/{path}", json={}, timeout=30).status_code == 403
    assert resume.find(desk, run.id).holder == ""


def test_what_is_wrong_is_said_before_anything_is_stored(lab: Lab, desk: Desk):
    """A runbook or parameter nobody knows leaves neither incident nor file."""
    before = len(desk.store.incidents())
    with pytest.raises(NotFoundError, match="askx"):
        lines(lab, runbook="askx")
    with pytest.raises(ParameterError, match="countt"):
        lines(lab, runbook="asks", parameters={"countt": 1})
    with pytest.raises(ImtkitError, match="table of names"):
        lines(lab, runbook="asks", parameters=["count"])
    assert len(desk.store.incidents()) == before


def test_a_kernel_begun_for_a_run_that_does_not_begin_is_ended(lab: Lab, desk: Desk):
    """It comes up while the run is written down; where that fails nobody will ever use it."""
    incident = incidents.open_(desk, Opening("No room"))
    (lab.workspace / "outputs" / incident.id).touch()  # where the run's folder would be

    before = {kernel.pid for kernel in lab.kernels()}
    with pytest.raises(StoreError, match="cannot be written"):
        lines(lab, runbook="asks", incident=incident.id)
    until(lambda: {kernel.pid for kernel in lab.kernels()} <= before)


def test_while_a_run_goes_on_its_notebook_is_written_whole_and_at_its_end_laid_out(
    lab: Lab, desk: Desk, tmp_path: Path
):
    """Any reader of notebooks can read it after each step; people and diffs, at the end."""
    signal_file = tmp_path / "go on"
    with going_on(lab, desk, parameters={"until": str(signal_file)}) as run:
        path = desk.settings.root / run.output_path
        until(lambda: "begun" in json.dumps(nbformat.read(path, 4).cells[-2].outputs))
        assert path.read_text().count("\n") == 0
        signal_file.touch()
    assert path.read_text().startswith('{\n "cells": [\n')


def test_taken_and_given_by_whom_the_server_knows(lab: Lab, desk: Desk):
    """Twice is once; it passes on to whoever takes it next; given, the machine goes on there."""
    run = parked(lab, desk)
    taken = [post(lab, run, "take").json() for _ in range(2)]
    assert [(one["holder"], one["status"]) for one in taken] == [(PERSON, "waiting")] * 2
    handover.take(desk, run.id)
    assert state(lab, run)["holder"] == "Bo Berg"
    assert post(lab, run, "take", actor="Cy Cole").json()["holder"] == "Cy Cole"
    answer(desk, run)
    time.sleep(1.5)
    assert state(lab, run)["status"] == "waiting"
    assert post(lab, run, "give").json()["holder"] == ""
    run = ended(desk, run, "completed")
    (before, after) = pids(desk, run)
    assert before == after
    told = [
        (entry.type, entry.actor)
        for entry in incidents.get(desk, run.incident).entries
        if entry.type in ("run.taken", "run.given")
    ]
    assert told == [
        ("run.taken", PERSON),
        ("run.taken", "Bo Berg"),
        ("run.taken", "Cy Cole"),
        ("run.given", PERSON),
    ]


def test_what_cannot_be_done_is_refused_in_words(lab: Lab, desk: Desk):
    """To give what nobody holds, to take or cancel what is over, to act as a machine."""
    run = parked(lab, desk)
    refused = post(lab, run, "give")
    assert (refused.status_code, refused.json()["kind"]) == (409, "StateError")
    assert "Nobody has taken" in refused.json()["message"]
    assert post(lab, run, "take", actor="automation/x").status_code == 403
    answer(desk, run)
    run = ended(desk, run, "completed")
    for what in ("take", "give", "cancel"):
        assert post(lab, run, what).status_code == 409, what


def test_a_run_is_cancelled_while_it_runs_and_while_it_is_parked(lab: Lab, desk: Desk):
    """Its kernel goes with it either way; a parked one at once."""
    run = parked(lab, desk)
    (pid,) = pids(desk, run)
    assert post(lab, run, "cancel").json()["status"] == "cancelled"
    until(lambda: is_gone(pid))
    assert state(lab, run)["kernel"] == "none"
    with going_on(lab, desk) as one:
        assert post(lab, one, "cancel").status_code == 200
        run = ended(desk, one, "cancelled")
    assert [step.status for step in run.steps][-2:] == ["cancelled", "not-run"]
    (pid,) = pids(desk, run)
    until(lambda: is_gone(pid))


def test_a_run_is_taken_over_while_it_runs(lab: Lab, desk: Desk, tmp_path: Path):
    """The step it is at comes to its end; then the machine waits, and its kernel lives."""
    signal_file = tmp_path / "go on"
    with going_on(lab, desk, parameters={"until": str(signal_file)}) as run:
        assert post(lab, run, "take").json()["status"] == "running"
        signal_file.touch()
    run = ended(desk, run, "waiting")
    assert [step.status for step in run.steps][-2:] == ["completed", "not-run"]
    assert (run.holder, state(lab, run)["kernel"]) == (PERSON, "same")
    post(lab, run, "cancel")


def test_a_kernel_killed_while_its_run_is_parked(lab: Lab, desk: Desk):
    """The page is told; the run goes on upon a new one that runs the setup cells again."""
    run = parked(lab, desk)
    (pid,) = pids(desk, run)
    os.kill(pid, signal.SIGKILL)
    until(lambda: state(lab, run)["kernel"] != "same")
    answer(desk, run)
    # What ran before the gate is not run again, and what it made is gone.
    run = ended(desk, run, "failed", "completed")
    assert (run.status, "NameError" in run.error) == ("failed", True)
    resumed = [e for e in incidents.get(desk, run.incident).entries if e.type == "run.resumed"]
    assert [entry.data["kernel"] for entry in resumed] == ["a new"]


def test_a_kernel_killed_under_a_running_step(lab: Lab, desk: Desk):
    """The step is 'kernel-died', the rest did not run, and a server's restart is not its cure."""
    with going_on(lab, desk) as one:
        (pid,) = pids(desk, one)
        os.kill(pid, signal.SIGKILL)
        run = ended(desk, one, "kernel-died")
    assert [step.status for step in run.steps][-2:] == ["kernel-died", "not-run"]
    assert state(lab, run)["kernel"] != "same"


def test_a_kernel_that_a_person_restarted_is_not_the_same(lab: Lab, desk: Desk):
    """Neither told to be, nor gone on with as if it were."""
    run = parked(lab, desk)
    sessions = requests.get(f"{lab.url}api/sessions", headers=token(lab), timeout=30).json()
    (kernel,) = (one["kernel"]["id"] for one in sessions if one["path"] == run.output_path)
    address = f"{lab.url}api/kernels/{kernel}/restart"
    assert requests.post(address, headers=token(lab), timeout=60).ok
    assert state(lab, run)["kernel"] == "new"
    assert post(lab, run, "take").json()["kernel"] == "new"
    assert post(lab, run, "give").status_code == 200
    until(lambda: resume.find(desk, run.id).attempt == 2)
    run = ended(desk, run, "waiting")
    resumed = [e for e in incidents.get(desk, run.incident).entries if e.type == "run.resumed"]
    assert resumed[0].data["kernel"] == "a new"
    # It did not run what stands above the gate.
    assert (run.status, state(lab, run)["kernel"]) == ("waiting", "renewed")


def token(lab: Lab) -> dict[str, str]:
    """The header that lets one in."""
    return {"Authorization": f"token {server_of(lab).token}"}


def test_a_kernel_that_nobody_uses_ends(tmp_path: Path):
    """After keep_minutes; the run still waits, and can go on upon a new one."""
    workspace = a_workspace(tmp_path / "w", kernels="keep_minutes = 0")
    with serving(workspace, person=PERSON) as lab, open_desk(workspace, actor="Bo Berg") as desk:
        run = parked(lab, desk)
        (pid,) = pids(desk, run)
        until(lambda: state(lab, run)["kernel"] == "none")
        until(lambda: is_gone(pid))
        until(lambda: not list((workspace / "outputs" / ".running").glob("2*.json")))
        assert resume.find(desk, run.id).status == "waiting"


def test_a_run_that_waits_for_its_turn_goes_on_once_and_not_from_anothers_hands(tmp_path: Path):
    """Given twice it goes on once; taken while it waited, it stays with who took it."""
    workspace = a_workspace(tmp_path / "w", kernels="runs_at_once = 1")
    with serving(workspace, person=PERSON) as lab, open_desk(workspace, actor="Bo Berg") as desk:
        given, taken = parked(lab, desk), parked(lab, desk)
        post(lab, given, "take")
        with going_on(lab, desk) as one:
            assert post(lab, given, "give").json()["holder"] == PERSON
            again = post(lab, given, "give")
            assert again.status_code == 409
            assert "goes on already" in again.json()["message"]
            answer(desk, taken)
            time.sleep(1.5)
            handover.take(desk, taken.id)
            post(lab, one, "cancel")
        until(lambda: resume.find(desk, given.id).attempt == 2)
        assert resume.find(desk, given.id).holder == ""
        time.sleep(1.5)
        taken = resume.find(desk, taken.id)
        assert (taken.holder, taken.status, taken.attempt) == ("Bo Berg", "waiting", 1)


def test_two_servers_of_one_workspace(tmp_path: Path):
    """A parked run goes on once, and where its kernel is."""
    workspace = a_workspace(tmp_path / "w")
    with serving(workspace, person=PERSON) as first, open_desk(workspace, actor="Bo Berg") as desk:
        run = parked(first, desk)
        (pid,) = pids(desk, run)
        with serving(workspace, person=PERSON) as second:
            assert server_of(second).process.pid == second.process.pid
            assert (state(first, run)["kernel"], state(second, run)["kernel"]) == ("same", "none")
            answer(desk, run)
            run = ended(desk, run, "completed", "failed")
            assert (run.status, run.attempt, set(pids(desk, run))) == ("completed", 2, {pid})
        until(lambda: not record_of(second).exists())
        assert server_of(first).process.pid == first.process.pid


def test_a_server_that_is_told_to_end_ends_its_runs_with_the_truth(tmp_path: Path):
    """SIGTERM: what runs is cancelled, what is parked stays so, and nothing is left behind."""
    workspace = a_workspace(tmp_path / "w")
    with serving(workspace, person=PERSON) as lab, open_desk(workspace, actor="Bo Berg") as desk:
        waits = parked(lab, desk)
        with going_on(lab, desk) as one:
            kernels = pids(desk, one) + pids(desk, waits)
            lab.process.send_signal(signal.SIGTERM)
            run = ended(desk, one, "cancelled")
        assert "told to end" in run.error
        assert [step.status for step in run.steps][-2:] == ["cancelled", "not-run"]
        assert resume.find(desk, waits.id).status == "waiting"
        lab.process.wait(20)
        until(lambda: all(map(is_gone, kernels)))
        assert list((workspace / "outputs" / ".running").iterdir()) == []
        assert folders_of(lab) == []


def test_what_a_killed_server_leaves_is_cleared_up(tmp_path: Path):
    """After kill -9, ``imt runs reap`` tells: the run is lost, its steps true, no kernel left."""
    workspace = a_workspace(tmp_path / "w")
    with serving(workspace, person=PERSON) as lab, open_desk(workspace, actor="Bo Berg") as desk:
        waits = parked(lab, desk)
        with going_on(lab, desk) as run:
            kernels = pids(desk, run) + pids(desk, waits)
            lab.process.kill()
            lab.process.wait(20)
        done = imt_process("runs", "reap", cwd=workspace, environment={"IMT_USER": PERSON})
        assert (done.code, run.id in done.out) == (0, True)
        run = resume.find(desk, run.id)
        assert run.status == "lost"
        assert [step.status for step in run.steps][-2:] == ["kernel-died", "not-run"]
        assert resume.find(desk, waits.id).status == "waiting"
        until(lambda: all(map(is_gone, kernels)))
        assert list((workspace / "outputs" / ".running").glob("2*.json")) == []
        assert folders_of(lab) == []
