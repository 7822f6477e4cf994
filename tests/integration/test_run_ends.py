"""How runs end before their end: limits, wishes, dead runners, full disks; on real kernels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import nbformat
import psutil
import pytest
from notebook_files import code, write_notebook
from terminal import IMT, caller

from imtkit.errors import RunError, StateError, StepError
from imtkit.kit import Desk, open_desk, running, runs
from imtkit.model.incident import Run
from imtkit.runs.lease import this_process
from imtkit.runs.stop import GRACE_SECONDS, Stop

SLOW = [
    code("one", "print('kept')"),
    code("long", "import time\nprint('begun', flush=True)\ntime.sleep(60)"),
    code("never", "print('never')"),
]
STUBBORN = """
import time
print('begun', flush=True)
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print('no', flush=True)
"""


@pytest.fixture
def desk(workspace: Path) -> Iterator[Desk]:
    """A desk with a log on disk, which a kernel can reach too."""
    with open_desk(workspace, actor="Ann Example") as opened:
        yield opened


@pytest.fixture
def imt(capsys: pytest.CaptureFixture[str], workspace: Path, monkeypatch: pytest.MonkeyPatch):
    """Calls ``imt`` in the workspace."""
    monkeypatch.chdir(workspace)
    return caller(capsys)


def statuses(run: Run) -> dict[str, str]:
    """Step statuses by id."""
    return {step.id: step.status for step in run.steps}


def cells(desk: Desk, run: Run) -> dict[str, nbformat.NotebookNode]:
    """The cells of a run's notebook, by id."""
    document = nbformat.read(desk.settings.root / run.output_path, 4)
    return {cell.id: cell for cell in document.cells}


def text(cell: nbformat.NotebookNode) -> str:
    """All that a cell printed."""
    return "".join(output.get("text", "") for output in cell.outputs)


def only_run(desk: Desk) -> Run:
    """The one run in the log."""
    (run,) = running.list_(desk)
    return run


def wait_for(holds: Callable[[], object], seconds: float = 90) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def kernels(workspace: Path) -> list[int]:
    """The processes whose environment names this workspace, but for this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("IMT_WORKSPACE") == str(workspace):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@contextmanager
def imt_run(workspace: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """``imt run`` as a process of its own, ended at the end whatever it does."""
    process = subprocess.Popen(
        [*IMT, "run", *words, "--actor", "Ann Example"],
        cwd=workspace,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "IMT_WORKSPACE"},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def has_printed(desk: Desk) -> bool:
    """Whether the long step's first words are in its notebook already."""
    found = running.list_(desk)
    if not found or statuses(found[0]).get("long") != "running":
        return False
    return "begun" in text(cells(desk, found[0])["long"])


def is_at(desk: Desk, step: str) -> bool:
    """Whether the newest run is at this step."""
    found = running.list_(desk)
    return bool(found) and statuses(found[0]).get(step) == "running"


@pytest.mark.parametrize("where", ["option", "cell", "runbook", "deadline"])
def test_a_step_over_its_time_ends_timed_out_with_what_it_printed(
    desk: Desk, workspace: Path, where: str
):
    """Limits of the call, the cell, the runbook and the whole run take the same ladder."""
    own = [dict(cell) for cell in SLOW]
    if where == "cell":
        own[1]["metadata"] = {"imtkit": {"timeout_seconds": 1}}
    about = {"step_seconds": 1} if where == "runbook" else {}
    write_notebook(workspace / "runbooks" / "slow.ipynb", own, about=about)
    given = {"option": runs.Control(1.0), "deadline": runs.Control(run_seconds=6.0)}
    began = time.monotonic()
    run = runs.start(desk, "slow", control=given.get(where))
    assert time.monotonic() - began < 40
    assert run.status == "timed-out"
    assert statuses(run) == {"one": "completed", "long": "timed-out", "never": "not-run"}
    assert "after" in run.error
    by_id = cells(desk, run)
    assert text(by_id["long"]) == "begun\n"
    assert by_id["long"].metadata["imtkit"]["status"] == "timed-out"
    assert by_id["never"].metadata["imtkit"]["status"] == "not-run"
    with pytest.raises(StepError, match="took too long"):
        runs.require_completed(run)
    assert kernels(workspace) == []
    assert not list((workspace / "outputs" / ".running").iterdir())


def test_a_cell_that_ignores_interrupts_is_killed_after_the_grace(desk: Desk, workspace: Path):
    """The ladder's last rung ends it; what it printed on the way down is kept."""
    cells_ = [code("long", STUBBORN), code("never", "1")]
    write_notebook(workspace / "runbooks" / "stubborn.ipynb", cells_)
    run = runs.start(desk, "stubborn", control=runs.Control(1.0))
    assert statuses(run) == {"long": "timed-out", "never": "not-run"}
    assert text(cells(desk, run)["long"]) == "begun\nno\n"
    assert kernels(workspace) == []


def test_a_run_wished_to_end_before_it_began_runs_nothing(desk: Desk, workspace: Path):
    """A wish that comes while the kernel starts is heeded; nothing is called completed."""
    write_notebook(workspace / "runbooks" / "slow.ipynb", SLOW)
    stop = Stop()
    stop.ask("cancelled", "cancelled by a test")
    run = runs.start(desk, "slow", control=runs.Control(stop=stop))
    assert (run.status, run.error) == ("cancelled", "cancelled by a test")
    assert set(statuses(run).values()) == {"not-run"}


def test_a_run_is_cancelled_from_elsewhere(desk: Desk, workspace: Path, imt):
    """``imt runs cancel`` is an entry; the runner sees it, and the log says who asked."""
    write_notebook(workspace / "runbooks" / "slow.ipynb", SLOW)
    ended: list[Run] = []
    thread = threading.Thread(target=lambda: ended.append(runs.start(desk, "slow")))
    thread.start()
    wait_for(lambda: is_at(desk, "long"))
    run_id = only_run(desk).id
    done = imt("runs", "cancel", run_id, "--actor", "Bob Example")
    thread.join(30)
    assert done.code == 0
    (run,) = ended
    assert (run.status, run.error) == ("cancelled", "cancelled by Bob Example")
    assert statuses(run) == {"one": "completed", "long": "cancelled", "never": "not-run"}
    assert text(cells(desk, run)["long"]) == "begun\n"
    with pytest.raises(StateError, match="cancelled"):
        running.cancel(desk, run_id)
    shown = imt("runs", "show", run_id, "--json").json
    assert [step["status"] for step in shown["steps"]] == ["completed", "cancelled", "not-run"]
    assert run_id in imt("runs", "list").out


def test_sigterm_takes_a_run_down_the_ladder(desk: Desk, workspace: Path):
    """The runner is told to end: it ends its kernel, keeps outputs, and says what happened."""
    write_notebook(workspace / "runbooks" / "slow.ipynb", SLOW)
    with imt_run(workspace, "slow") as process:
        wait_for(lambda: has_printed(desk))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == StepError.exit_code
    run = only_run(desk)
    assert run.status == "cancelled"
    assert "SIGTERM" in run.error
    assert statuses(run) == {"one": "completed", "long": "cancelled", "never": "not-run"}
    assert text(cells(desk, run)["long"]) == "begun\n"
    assert kernels(workspace) == []


def test_a_run_whose_runner_was_killed_is_lost_and_its_notebook_true(
    desk: Desk, workspace: Path, imt
):
    """The reaper says of each step what is true, once, and leaves no process or socket behind."""
    write_notebook(workspace / "runbooks" / "slow.ipynb", SLOW)
    with imt_run(workspace, "slow") as process:
        wait_for(lambda: has_printed(desk))
        (lease,) = (workspace / "outputs" / ".running").glob("2*.json")
        sockets = Path(json.loads(lease.read_text())["sockets"])
        assert sockets.is_dir()
        assert running.reap(desk) == []
        process.kill()
        process.wait()
    done = imt("runs", "reap", "--json")
    assert [run["status"] for run in done.json] == ["lost"]
    assert imt("runs", "reap", "--json").json == []
    run = only_run(desk)
    assert statuses(run) == {"one": "completed", "long": "kernel-died", "never": "not-run"}
    assert run.error == "its runner died"
    by_id = cells(desk, run)
    assert text(by_id["one"]) == "kept\n"
    assert text(by_id["long"]) == "begun\n"
    assert by_id["long"].metadata["imtkit"]["status"] == "kernel-died"
    assert by_id["long"].metadata["papermill"]["status"] == "failed"
    assert by_id["never"].metadata["imtkit"]["status"] == "not-run"
    assert not sockets.exists()
    wait_for(lambda: kernels(workspace) == [], 10)
    assert [e.type for e in desk.store.entries()].count("run.finished") == 1
    assert desk.store.verify() == []


HUNGRY = """
print("begun", flush=True)
import time
held = []
while len(held) < 60:
    held.append(b"x" * 50_000_000)
    time.sleep(0.1)
"""
LIMITED = """
import resource
print("begun", flush=True)
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 200_000_000, resource.RLIM_INFINITY))
bytearray(1_000_000_000)
"""
KILLED = """
import os, signal, time
print("begun", flush=True)
time.sleep(0.5)  # flushed is handed to ZeroMQ, which sends a moment later
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("source", "about", "status", "error"),
    [
        (HUNGRY, {"memory_mb": 400}, "kernel-died", "the kernel used more than 400 MB"),
        (LIMITED, {}, "failed", "MemoryError"),
        (KILLED, {}, "kernel-died", "the kernel died"),
    ],
    ids=["cap", "limit", "killer"],
)
def test_a_kernel_out_of_memory_ends_its_step(
    desk: Desk, workspace: Path, source: str, about: dict[str, int], status: str, error: str
):
    """By our cap, by the system's limit, by the system's killer: what was printed is kept."""
    cells_ = [code("one", "print('kept')"), code("long", source), code("never", "1")]
    write_notebook(workspace / "runbooks" / "hungry.ipynb", cells_, about=about)
    run = runs.start(desk, "hungry")
    assert (run.status, run.error) == (status, error)
    assert statuses(run) == {"one": "completed", "long": status, "never": "not-run"}
    by_id = cells(desk, run)
    assert text(by_id["one"]) == "kept\n"
    assert text(by_id["long"]).startswith("begun\n")
    wait_for(lambda: kernels(workspace) == [], 10)


def test_the_workspace_caps_every_kernel_with_its_children(desk: Desk, workspace: Path):
    """What a cell starts counts too, and goes with the kernel."""
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {HUNGRY!r}])"
    write_notebook(workspace / "runbooks" / "hungry.ipynb", [code("long", child)])
    capped = replace(desk.settings, kernels=replace(desk.settings.kernels, run_memory_mb=400))
    run = runs.start(replace(desk, settings=capped), "hungry")
    assert (run.status, run.error) == ("kernel-died", "the kernel used more than 400 MB")
    wait_for(lambda: kernels(workspace) == [], 10)


def test_a_dead_runner_that_left_no_lease_is_noticed(desk: Desk, workspace: Path, imt):
    """The log names the runner of each attempt: whose runner is gone is lost, no other."""
    write_notebook(workspace / "runbooks" / "slow.ipynb", SLOW)
    with imt_run(workspace, "slow") as process:
        wait_for(lambda: has_printed(desk))
        for lease in (workspace / "outputs" / ".running").iterdir():
            lease.unlink()  # as when the disk was full
        assert running.reap(desk, is_thorough=True) == []
        process.kill()
        process.wait()
    (run,) = imt("runs", "list", "--json").json
    assert (run["status"], run["error"]) == ("lost", "its runner died")
    assert [step["status"] for step in run["steps"]] == ["completed", "kernel-died", "not-run"]
    resumed = {"run": run["id"], "runner": asdict(this_process())}
    desk.store.append(run["incident"], desk.draft("run.resumed", resumed))
    assert running.reap(desk, is_thorough=True) == []
    assert only_run(desk).status == "running"


def test_follow_shows_a_run_elsewhere_until_it_ends(desk: Desk, workspace: Path, imt):
    """Each step is told as it ends, and the call ends with the run."""
    cells_ = [code("nap", "# Nap\nimport time; time.sleep(2)"), code("last", "# Last\n1")]
    write_notebook(workspace / "runbooks" / "nap.ipynb", cells_)
    thread = threading.Thread(target=lambda: runs.start(desk, "nap"))
    thread.start()
    wait_for(lambda: is_at(desk, "nap"))
    shown = imt("runs", "show", only_run(desk).id, "--follow")
    thread.join(30)
    assert "Nap: completed" in shown.err
    assert "Last: completed" in shown.err
    assert "completed" in shown.out


LOSING = """
import os, pathlib
folder = pathlib.Path("outputs") / os.environ["IMT_INCIDENT"]
folder.rename("aside")
folder.write_text("no folder")
"""
FINDING = """
folder.unlink()
pathlib.Path("aside").rename(folder)
"""


@pytest.mark.parametrize("is_mended", [True, False])
def test_a_run_goes_on_while_its_notebook_cannot_be_saved(
    desk: Desk, workspace: Path, is_mended: bool
):
    """The fault is in the log with the step; a run whose notebook is lost at the end has failed."""
    cells_ = [code("lose", LOSING), code("work", "print('worked')")]
    cells_ += [code("find", FINDING)] if is_mended else []
    write_notebook(workspace / "runbooks" / "disk.ipynb", cells_)
    if not is_mended:
        with pytest.raises(RunError, match="could not be saved"):
            runs.start(desk, "disk")
        (workspace / "outputs" / desk.store.incidents()[0].id).unlink()
        (workspace / "aside").rename(workspace / "outputs" / desk.store.incidents()[0].id)
    else:
        runs.start(desk, "disk")
    run = only_run(desk)
    assert set(statuses(run).values()) == {"completed"}
    assert "could not be saved" in {step.id: step.error for step in run.steps}["work"]
    assert run.status == ("completed" if is_mended else "failed")
    if is_mended:
        assert text(cells(desk, run)["work"]) == "worked\n"


def test_a_second_ctrl_c_does_not_wait_for_the_grace(desk: Desk, workspace: Path):
    """Whoever is in a hurry gets the ladder's last rung at once, and the truth all the same."""
    write_notebook(workspace / "runbooks" / "stubborn.ipynb", [code("long", STUBBORN)])
    with imt_run(workspace, "stubborn") as process:
        wait_for(lambda: has_printed(desk))
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert time.monotonic() - began < GRACE_SECONDS
    run = only_run(desk)
    assert (run.status, statuses(run)) == ("cancelled", {"long": "cancelled"})
    assert kernels(workspace) == []
