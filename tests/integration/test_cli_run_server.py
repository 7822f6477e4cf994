"""The terminal and a Jupyter server: ``imt run``, ``imt take``, ``imt runs give``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from shutil import copy

import psutil
import pytest
from labs import ROOT, TOKEN, Lab, a_workspace, serving, until
from labs import bos_desk as desk
from notebook_files import code, write_notebook
from terminal import IMT, Called, imt_process

from imtkit.kit import Desk, gates, incidents, open_desk, resume
from imtkit.model.incident import Run
from imtkit.runs.lease import process_of

__all__ = ["desk"]

ANN = {"IMT_USER": "Ann Example"}
PID = "import os\nprint('pid', os.getpid())"
ASKS = [
    code("join", "import imtkit as imt\ninc = imt.join()", "setup"),
    code("before", f"x = 42\n{PID}"),
    code("gate", "answer = inc.gate('Go on?')"),
    code("after", f"print('x is', x, answer)\n{PID}"),
]
BREAKS = [
    code("values", "depth = 0", "parameters"),
    code("before", PID),
    code("breaks", "1 / depth"),
    code("after", f"print('went on')\n{PID}"),
]
SLEEPS = [
    code("long", "import time\nprint('begun', flush=True)\ntime.sleep(60)"),
    code("never", "print('never')"),
]
SECRET = [
    code("values", "token = 'secret://env/PD_TOKEN'", "parameters"),
    code("use", f"print(len(token))\n{PID}"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A worker of a workspace with four runbooks."""
    with a_worker(tmp_path_factory.mktemp("workspace")) as started:
        yield started


@contextmanager
def a_worker(workspace: Path) -> Iterator[Lab]:
    """A workspace with four runbooks, and the worker that carries them out once it says so."""
    a_workspace(workspace)
    books = {"asks": ASKS, "breaks": BREAKS, "sleeps": SLEEPS, "secret": SECRET}
    for name, cells in books.items():
        write_notebook(workspace / "runbooks" / f"{name}.ipynb", cells)
    with serving(workspace) as started:
        yield started


@pytest.fixture
def imt(lab: Lab) -> Callable[..., Called]:
    """Calls ``imt`` in the workspace as Ann Example."""
    return lambda *words, **more: imt_process(
        *words, cwd=lab.workspace, environment={**ANN, **more}
    )


def printed(lab: Lab, run: Run) -> dict[str, str]:
    """What each cell of a run's notebook printed, by id."""
    document = json.loads((lab.workspace / run.output_path).read_text())
    return {
        cell["id"]: "".join(
            "".join(out.get("text", "")) for out in cell["outputs"] if "text" in out
        )
        for cell in document["cells"]
    }


def runner(desk: Desk, run: Run) -> int:
    """The process that carried a run out first, as the log has it."""
    entries = incidents.get(desk, run.incident).entries
    begun = next(e for e in entries if e.type == "run.started" and e.data["run"] == run.id)
    return int(begun.data["runner"]["pid"])


def test_the_server_carries_a_run_out_and_the_terminal_shows_it(imt, lab: Lab, desk: Desk):
    """Steps, result and error are as without a server; the log says who and through what."""
    done = imt("run", "breaks", "-p", "depth=2", "--json")
    assert done.code == 0, done.err
    assert "[3/4] 1 / depth: completed" in done.err
    run = resume.find(desk, done.json["id"])
    assert (run.status, run.actor) == ("completed", "Ann Example")
    assert Path(done.json["output_path"]) == lab.workspace / run.output_path
    assert runner(desk, run) == lab.process.pid
    entries = incidents.get(desk, run.incident).entries
    assert {e.source for e in entries if e.type.startswith("step.")} == {"cli"}


def test_an_error_before_the_run_is_the_terminals_own(imt, desk: Desk):
    """A name the runbook does not know gets the same words and exit code, and nothing is stored."""
    before = len(desk.store.incidents())
    there = imt("run", "breaks", "-p", "dept=2")
    here = imt("run", "breaks", "-p", "dept=2", "--here")
    assert (there.code, there.err) == (here.code, here.err)
    assert "dept" in there.err
    assert len(desk.store.incidents()) == before


def test_a_failed_run_goes_on_upon_the_kernel_that_failed(imt, lab: Lab, desk: Desk):
    """What was wrong is corrected; the steps before it are not run again."""
    broken = imt("run", "breaks", "--json")
    here = imt("run", "breaks", "--json", "--here")
    assert broken.code == here.code != 0
    run = resume.find(desk, broken.json["id"])
    assert [step.status for step in run.steps] == ["completed", "completed", "failed", "not-run"]
    done = imt("runs", "resume", run.id, "-p", "depth=1", "--json")
    assert done.code == 0, done.err
    again = resume.find(desk, run.id)
    assert (again.status, again.parameters["depth"]) == ("completed", 1)
    said = printed(lab, again)
    assert said["after"] == f"went on\n{said['before']}"
    resumed = [e for e in incidents.get(desk, run.incident).entries if e.type == "run.resumed"]
    assert [e.data["kernel"] for e in resumed] == ["the same"]
    started = [e for e in incidents.get(desk, run.incident).entries if e.type == "step.started"]
    assert [e.data["step"] for e in started].count("before") == 1


def test_taken_over_and_given_back_it_goes_on_when_it_is_given(imt, lab: Lab, desk: Desk):
    """An answer alone does not move a run that somebody holds; the link leads to its notebook."""
    parked = imt("run", "asks", "--json")
    run = resume.find(desk, parked.json["id"])
    assert run.status == "waiting"
    taken = imt("take", run.id, "--no-browser", IMT_USER="Ada Lovelace")
    assert taken.code == 0, taken.err
    assert "Its kernel lives" in taken.out
    assert f"/lab/tree/{run.output_path}?token={TOKEN}" in taken.out
    (gate,) = incidents.get(desk, run.incident).gates
    gates.answer(desk, run.incident, gate.id, "yes")
    time.sleep(2.5)
    assert resume.find(desk, run.id).status == "waiting"
    given = imt("runs", "give", run.id, IMT_USER="Ada Lovelace")
    assert given.code == 0, given.err
    said = printed(lab, resume.find(desk, run.id))
    assert said["after"] == f"x is 42 yes\n{said['before']}"
    told = [(e.type, e.actor) for e in incidents.get(desk, run.incident).entries]
    assert ("run.taken", "Ada Lovelace") in told
    assert ("run.given", "Ada Lovelace") in told
    assert imt("runs", "give", run.id).code != 0


def test_a_parked_run_goes_on_by_itself_when_its_gate_is_answered(imt, lab: Lab, desk: Desk):
    """Nobody needs to ask for it; the log says that the server went on."""
    run = resume.find(desk, imt("run", "asks", "--json").json["id"])
    (gate,) = incidents.get(desk, run.incident).gates
    gates.answer(desk, run.incident, gate.id, "no")
    until(lambda: resume.find(desk, run.id).status == "completed")
    assert "x is 42 no" in printed(lab, resume.find(desk, run.id))["after"]
    (resumed,) = (e for e in incidents.get(desk, run.incident).entries if e.type == "run.resumed")
    assert resumed.actor == "automation/server"


def test_ctrl_c_at_the_terminal_cancels_the_run_in_the_server(lab: Lab, desk: Desk):
    """The terminal waits for the run's end; the server goes on serving."""
    process = subprocess.Popen(
        [*IMT, "run", "sleeps"],
        cwd=lab.workspace,
        env={**os.environ, **ANN, "PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "Running sleeps" in process.stderr.readline()
    until(lambda: any(step.status == "running" for step in _newest(desk).steps))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "cancelled" in out
    assert "Traceback" not in err
    run = _newest(desk)
    assert (run.status, run.error) == ("cancelled", "cancelled by Ann Example")
    assert [step.status for step in run.steps] == ["cancelled", "not-run"]
    assert lab.get("me").ok


def test_a_run_that_was_taken_over_and_cancelled_is_over(imt, lab: Lab, desk: Desk):
    """Nobody is asked any more, nobody holds it, and its kernel goes."""
    run = resume.find(desk, imt("run", "asks", "--json").json["id"])
    kernels = lab.kernels()
    imt("take", run.id, "--no-browser", IMT_USER="Ada Lovelace")
    assert imt("runs", "cancel", run.id).code == 0
    over = resume.find(desk, run.id)
    assert (over.status, over.holder) == ("cancelled", "")
    assert run.incident not in imt("gate", "list").out
    refused = imt("runs", "give", run.id)
    assert refused.code != 0
    assert f"imt runs resume {run.id}" in refused.err
    lease = lab.workspace / "outputs" / ".running" / f"{run.id}.json"
    until(lambda: not lease.exists() and not all(one.is_running() for one in kernels))


def test_a_run_that_goes_on_says_how(imt, lab: Lab, desk: Desk):
    """Its kernel, what was changed meanwhile, and which of its steps these are."""
    run = resume.find(desk, imt("run", "breaks", "--json").json["id"])
    path = lab.workspace / run.output_path
    path.write_text(path.read_text().replace("1 / depth", "2 / depth"))
    done = imt("runs", "resume", run.id, "-p", "depth=1")
    assert done.code == 0, done.err
    assert f"Going on with {run.id} on the same kernel." in done.err
    assert "Changed since it ran: '1 / depth'." in done.err
    assert "[3/4] 2 / depth: completed" in done.err
    assert f"completed, run {run.id}." in done.out


def test_a_run_goes_on_in_the_server_that_holds_its_kernel(imt, lab: Lab, desk: Desk):
    """Another server of the workspace, though newer, is not asked."""
    run = resume.find(desk, imt("run", "breaks", "--json").json["id"])
    (known,) = (lab.workspace / "outputs" / ".running").glob("server-*.json")
    told = json.loads(known.read_text())
    newer = known.with_name("server-1.json")
    process = psutil.Process()
    other = {**told, "url": "http://127.0.0.1:9/", "process": asdict(process_of(process.pid))}
    newer.write_text(json.dumps(other))
    try:
        done = imt("runs", "resume", run.id, "-p", "depth=1")
        assert done.code == 0, done.err
        assert "on the same kernel" in done.err
    finally:
        newer.unlink()


def begun(lab: Lab, count: int) -> list[subprocess.Popen[str]]:
    """So many terminals with a run that takes long."""
    return [
        subprocess.Popen(
            [*IMT, "run", "sleeps"],
            cwd=lab.workspace,
            env={**os.environ, **ANN, "PYTHONUNBUFFERED": "1"},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(count)
    ]


def test_a_server_that_is_killed_leaves_the_truth(tmp_path: Path):
    """Who has no turn yet is told so; terminals learn that the server broke off; runs are lost."""
    with a_worker(tmp_path) as lab, open_desk(tmp_path, actor="Bo Berg") as desk:
        at_once = desk.settings.kernels.runs_at_once
        processes = begun(lab, at_once)
        until(lambda: len(_running(desk)) == at_once, 60)
        (late,) = begun(lab, 1)
        assert late.stderr is not None
        assert "waits for its turn" in late.stderr.readline()
        (idle,) = begun(lab, 1)
        assert idle.stderr is not None
        assert "waits for its turn" in idle.stderr.readline()
        idle.send_signal(signal.SIGINT)  # it leaves the queue at once, and nothing of it runs
        _, err = idle.communicate(timeout=10)
        assert idle.returncode != 0
        assert "cancelled while it waited for its turn" in err
        kernels = lab.process.children(recursive=True)
        lab.process.kill()
        lab.process.wait()
        for process in (*processes, late):
            _, err = process.communicate(timeout=30)
            assert process.returncode != 0
            assert "broke off before the run's end" in err
            assert "Traceback" not in err
        listed = imt_process("runs", "list", "--json", cwd=tmp_path).json
        assert [run["status"] for run in listed] == ["lost"] * at_once
        psutil.wait_procs(kernels, timeout=20)
        assert [one for one in kernels if one.is_running()] == []
    assert not list((tmp_path / "outputs" / ".running").glob("[0-9]*.json"))


def _running(desk: Desk) -> list[Run]:
    rows = desk.store.incidents()
    found = [run for row in rows for run in incidents.get(desk, row.id).runs]
    return [run for run in found if any(step.status == "running" for step in run.steps)]


def _newest(desk: Desk) -> Run:
    row = desk.store.incidents()[0]
    runs = incidents.get(desk, row.id).runs
    return runs[-1] if runs else Run("", "", "", "", desk.clock.now())


def test_a_secret_of_the_terminals_environment_is_used_by_the_terminal_itself(imt, desk: Desk):
    """The server has another environment: such a run is carried out here, and so is --here."""
    done = imt("run", "secret", "--json", PD_TOKEN="a-long-enough-canary")
    assert done.code == 0, done.err
    assert runner(desk, resume.find(desk, done.json["id"])) != _server_pid(desk)
    here = imt("run", "breaks", "-p", "depth=1", "--here", "--json")
    assert runner(desk, resume.find(desk, here.json["id"])) != _server_pid(desk)


def _server_pid(desk: Desk) -> int:
    (path,) = (desk.settings.outputs / ".running").glob("server-*.json")
    return int(path.stem.rsplit("-", 2)[1])  # server-<machine>-<pid>-<…>


def test_limits_reach_the_server(imt, desk: Desk):
    """A step that takes longer than --timeout is timed out there, too."""
    done = imt("run", "sleeps", "--timeout", "1", "--json")
    run = resume.find(desk, done.json["id"])
    assert [step.status for step in run.steps] == ["timed-out", "not-run"]


def test_where_a_server_is_stands_in_a_file_that_only_its_user_reads(lab: Lab):
    """It holds the token."""
    (path,) = (lab.workspace / "outputs" / ".running").glob("server-*.json")
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["python"] == sys.executable


def test_a_server_that_died_is_forgotten(tmp_path: Path, lab: Lab):
    """Its file stays when it is killed; the next command runs by itself, and removes it."""
    copy(ROOT / "templates" / "imt.toml", tmp_path)
    write_notebook(tmp_path / "runbooks" / "breaks.ipynb", BREAKS)
    folder = tmp_path / "outputs" / ".running"
    folder.mkdir(parents=True)
    (alive,) = (lab.workspace / "outputs" / ".running").glob("server-*.json")
    told = json.loads(alive.read_text())
    told["process"]["started"] = "long ago"
    (folder / "server-1.json").write_text(json.dumps(told))
    done = imt_process("run", "breaks", "-p", "depth=1", cwd=tmp_path, environment=ANN)
    assert done.code == 0, done.err
    assert not list(folder.glob("server-*.json"))
