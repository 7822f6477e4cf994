"""Warm kernels on real processes: what a ready one holds, who gets it, and what ends with whom."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from notebook_files import code, write_notebook
from warm import TWO, ask, is_running, wait_until_ready, warm_workspace

from imtkit.config import load_settings
from imtkit.kit import Desk, running
from imtkit.runs.forks import Fork, ForkServer, UnloadableError
from imtkit.runs.lease import remove_sockets, this_process
from imtkit.runs.leftovers import clear, lease_pool, socket_folder
from imtkit.runs.pool import Patience, Pool

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="only Linux keeps kernels ready")

THREAD = "it starts a thread"
QUICK = Patience(rest=0.1, look=0.2)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """One pool for many tests; each leaves it as it found it, or waits until it is again."""
    root = warm_workspace(tmp_path_factory.mktemp("warm"))
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "HOME": str(home), "POOLS_OWN": "1"}
    pool = Pool(load_settings(root), environment=environment, patience=QUICK)
    pool.start()
    yield pool
    pool.close()


@pytest.fixture
def pool(shared: Pool) -> Pool:
    """The shared pool, with two kernels ready."""
    wait_until_ready(shared, 2)
    return shared


@contextmanager
def own_pool(root: Path, toml: str = TWO, **patience: float) -> Iterator[Pool]:
    """A pool of a test's own."""
    (root / "imt.toml").write_text(toml)
    pool = Pool(load_settings(root), patience=Patience(**{"rest": 0.1, "look": 0.2, **patience}))
    pool.start()
    try:
        yield pool
    finally:
        pool.close()


def claimed(pool: Pool) -> Fork:
    """A kernel that was ready; somebody may edit imtkit meanwhile, and make the first stale."""
    while (fork := pool.claim()) is None:
        wait_until_ready(pool, 1)
    return fork


def wait_for(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_ready_kernel_has_the_imports_done_and_no_log_open(pool: Pool) -> None:
    """The runbooks' modules, imtkit's and IPython's are loaded; no database is open."""
    fork = claimed(pool)
    names = ["json", "helper", "pandas", "sqlalchemy", "imtkit.widgets.door", "stack_data"]
    loaded = ask(pool, fork, f"[n in __import__('sys').modules for n in {names}]")
    assert loaded == [True] * len(names)
    files = [file.path for file in psutil.Process(fork.process.pid).open_files()]
    assert not [path for path in files if path.endswith((".db", "-wal", "-shm"))]
    assert str(Path(f"/proc/{fork.process.pid}/fd/0").readlink()) == "/dev/null"
    assert fork.folder is not None
    assert fork.folder.stat().st_mode & 0o777 == 0o700
    assert (fork.folder / "kernel.json").stat().st_mode & 0o777 == 0o600
    assert os.getsid(fork.process.pid) == fork.process.pid
    assert psutil.Process(fork.process.pid).name() == "imt-ready"
    pool.release(fork)
    assert not fork.folder.exists()


def test_what_cannot_be_loaded_is_left_out_and_named(pool: Pool) -> None:
    """A module that is not there or fails holds nothing up."""
    left_out = pool.report().left_out
    assert set(left_out) == {"not_there", "failing"}
    assert left_out["not_there"].startswith("ModuleNotFoundError")
    assert left_out["failing"] == "RuntimeError: no"


def test_kernels_of_one_fork_server_are_strangers_to_chance(pool: Pool) -> None:
    """Twenty kernels have twenty random states: Python's, numpy's, and uuid's."""
    told = set()
    draw = (
        "(__import__('random').random(), float(__import__('numpy').random.rand()),"
        " str(__import__('uuid').uuid4()), str(__import__('uuid').uuid1()))"
    )
    for _ in range(10):
        wait_until_ready(pool, 2)
        forks = [claimed(pool), claimed(pool)]
        told |= {tuple(ask(pool, fork, draw)) for fork in forks}
        for fork in forks:
            pool.release(fork)
    assert len(told) == 20
    for one in zip(*told, strict=True):
        assert len(set(one)) == 20


def test_a_kernel_goes_to_one_of_many_who_ask_at_once(pool: Pool) -> None:
    """However many threads race for two kernels, each kernel is got once."""
    got: list[Fork | None] = []
    start = threading.Barrier(8)

    def race() -> None:
        start.wait()
        got.append(pool.claim())

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    forks = [fork for fork in got if fork is not None]
    assert len(forks) == len({fork.process.pid for fork in forks}) == 2
    assert pool.report().claimed == 2
    assert "started" in pool.report().why
    for fork in forks:
        pool.release(fork)


def test_an_ended_kernel_leaves_no_process_and_no_folder(pool: Pool) -> None:
    """One that is killed before anybody wants it is replaced; nobody gets it."""
    report = pool.report()
    (first, *_) = ready_pids(pool)
    os.kill(first, signal.SIGKILL)
    wait_until_ready(pool, 2)
    wait_for(lambda: first not in ready_pids(pool))
    wait_until_ready(pool, 2)
    assert not is_running(first)
    assert pool.report().forkserver == report.forkserver
    children = psutil.Process(report.forkserver).children()
    assert {child.status() for child in children} <= {"sleeping", "running"}
    assert len(kernel_folders(pool)) == 2


def ready_pids(pool: Pool) -> list[int]:
    """The kernels that a pool's fork server has now."""
    server = pool.report().forkserver
    return sorted(child.pid for child in psutil.Process(server).children()) if server else []


def kernel_folders(pool: Pool) -> list[Path]:
    """The folders of sockets that a pool has now."""
    fork = claimed(pool)
    assert fork.folder is not None
    found = [path for path in fork.folder.parent.iterdir() if path.is_dir()]
    pool.release(fork)
    return found


def test_a_killed_fork_server_is_replaced_and_claimed_kernels_live_on(pool: Pool) -> None:
    """Its ready kernels are handed out no more; a run on a claimed one goes on undisturbed."""
    fork = claimed(pool)
    before = pool.report().forkserver
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: pool.report().forkserver not in (None, before))
    wait_until_ready(pool, 2)
    assert ask(pool, fork, "1 + 1") == 2
    pool.release(fork)
    wait_for(lambda: not is_running(fork.process.pid))


def test_a_stale_kernel_is_never_handed_out(pool: Pool) -> None:
    """Neither when a module of the workspace was touched nor when runbooks import others."""
    root = pool.cwd
    fork = claimed(pool)
    cells = [code("one", "import json\nfrom helper import word\nimport pandas, wave")]
    changes = (
        lambda: (root / "helper.py").write_text("word = 'new'\n"),
        lambda: write_notebook(root / "runbooks" / "trial.ipynb", cells),
    )
    for change in changes:
        wait_until_ready(pool, 1)
        before = pool.report().forkserver
        change()
        assert pool.claim() is None
        assert pool.report().ready == 0
        assert pool.report().why
        wait_until_ready(pool, 1)
        assert pool.report().forkserver != before
    wait_until_ready(pool, 2)
    assert ask(pool, fork, "__import__('helper').word") == "root"
    fresh = claimed(pool)
    assert ask(pool, fresh, "'wave' in __import__('sys').modules") is True
    assert ask(pool, fresh, "__import__('helper').word") == "new"
    old = fork.server.pid
    pool.release(fork)
    pool.release(fresh)
    wait_for(lambda: not is_running(old))


def test_a_runbook_that_is_only_saved_again_changes_nothing(pool: Pool) -> None:
    """Outputs and prose may change; what is imported counts. Looking takes under 2 ms."""
    path = next((pool.cwd / "runbooks").glob("*.ipynb"))
    document = json.loads(path.read_text())
    document["cells"].append({"cell_type": "markdown", "id": "m", "metadata": {}, "source": "x"})
    path.write_text(json.dumps(document))
    pool.release(claimed(pool))
    took = []
    for _ in range(5):
        wait_until_ready(pool, 1)
        began = time.perf_counter()
        fork = claimed(pool)
        took.append(time.perf_counter() - began)
        pool.release(fork)
    assert min(took) < 0.002


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import time; time.sleep(600)", "no end after 3 s"),
        ("import os; os._exit(3)", "it ends the process that imports it"),
        ("import threading, time; threading.Thread(target=time.sleep, args=[9]).start()", THREAD),
    ],
    ids=["hangs", "ends", "threads"],
)
def test_a_module_that_would_harm_its_fork_server_is_named(
    tmp_path: Path, source: str, why: str
) -> None:
    """Whoever asked for it to be loaded is told which it was, and can do without it."""
    (tmp_path / "harmful.py").write_text(source)
    lifeline, our_end = os.pipe()
    server = ForkServer(
        tmp_path, lifeline, cwd=tmp_path, environment=os.environ, heard=lambda: None
    )
    try:
        with pytest.raises(UnloadableError) as caught:
            server.load(["json", "harmful:x", "wave"], 3)
        assert (caught.value.module, caught.value.why) == ("harmful", why)
    finally:
        server.end()
        os.close(our_end)
        os.close(lifeline)
    assert not is_running(server.pid)


def test_a_pool_does_without_a_module_that_starts_a_thread(tmp_path: Path) -> None:
    """Its fork server begins anew without it. Closing then ends all, claimed kernels too."""
    root = warm_workspace(tmp_path)
    (root / "threaded.py").write_text(
        "import threading, time; threading.Thread(target=time.sleep, args=[600]).start()"
    )
    toml = "[kernels]\nwarm = 1\nimports = ['threaded', 'colorsys']"
    with own_pool(root, toml) as pool:
        wait_until_ready(pool, 1)
        assert pool.report().left_out["threaded"] == THREAD
        fork = claimed(pool)
        told = "[n in __import__('sys').modules for n in ('threaded', 'colorsys')]"
        assert ask(pool, fork, told) == [False, True]
    assert not is_running(fork.process.pid)
    assert fork.folder is not None
    assert not fork.folder.parent.exists()
    assert list((root / "outputs" / ".running").iterdir()) == []


def test_the_pool_stays_within_its_memory(tmp_path: Path) -> None:
    """As many are ready as fit, though more are wanted; when none fits the report says why."""
    root = warm_workspace(tmp_path)
    with own_pool(root, "[kernels]\nwarm = 20\nmemory_mb = 210") as small:
        wait_until_ready(small, 1)
        ready = 0
        while ready != (ready := small.report().ready):
            time.sleep(2)
        report = small.report()
        assert 1 <= report.ready < 20
        assert report.memory_mb <= 210
    with own_pool(root, "[kernels]\nmemory_mb = 20") as none:
        wait_for(lambda: "more than [kernels] memory_mb" in none.report().why)
        report = none.report()
        assert (report.ready, report.forkserver) == (0, None)
        assert none.claim() is None


def test_a_pool_that_is_switched_off_says_so(tmp_path: Path) -> None:
    """Nothing is started, nobody gets anything, and closing it is no fault."""
    root = warm_workspace(tmp_path)
    with own_pool(root, "[kernels]\nwarm = 0") as pool:
        assert pool.report().why == "[kernels] warm is 0"
        assert pool.claim() is None
        assert pool.fork("x", cwd="", environment={}) is None
        assert not (root / "outputs" / ".running").exists()


def test_a_pool_that_can_have_no_folder_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path too long for sockets, or outputs that cannot be written: kernels start cold."""
    root = warm_workspace(tmp_path)
    deep = tmp_path / ("x" * 80)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with own_pool(root) as pool:
        assert "too long a path" in pool.report().why
        assert pool.claim() is None
    assert list(deep.iterdir()) == []
    shutil.rmtree(root / "outputs")
    (root / "outputs").write_text("a file")
    monkeypatch.setattr(tempfile, "tempdir", None)
    with own_pool(root) as pool:
        assert "no folder for sockets could be had" in pool.report().why


def test_a_pool_that_is_closed_while_it_loads_leaves_nothing(tmp_path: Path) -> None:
    """No process, no folder, no lease."""
    root = warm_workspace(tmp_path)
    leases = root / "outputs" / ".running"
    with own_pool(root) as pool:
        wait_for(lambda: pool.report().forkserver)
        loading = pool.report().forkserver
        (lease,) = leases.glob("pool-*.json")
        folder = Path(json.loads(lease.read_text())["pool"])
        assert folder.is_dir()
    assert not is_running(loading or 0)
    assert not folder.exists()
    assert list(leases.iterdir()) == []


OWNER = """
import sys, time
from dataclasses import asdict
from pathlib import Path
from imtkit.config import load_settings
from imtkit.kit import Desk, running
from imtkit.runs.pool import Patience, Pool
pool = Pool(load_settings(Path(sys.argv[1])), patience=Patience(rest=0.1, look=0.2))
pool.start()
while pool.report().ready < 2:
    time.sleep(0.05)
fork = pool.claim()
while pool.report().ready < 2:
    time.sleep(0.05)
print(pool.report().forkserver, fork.process.pid, flush=True)
time.sleep(600)
"""


@contextmanager
def owner(root: Path) -> Iterator[tuple[subprocess.Popen[str], Path, list[int]]]:
    """A process that owns a pool of two ready kernels and one that is claimed.

    Also the folder of its sockets, and its processes: the fork server, the claimed kernel,
    the ready ones.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(root)], stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            server, kernel = (int(word) for word in process.stdout.readline().split())
            (lease,) = (root / "outputs" / ".running").glob("pool-*.json")
            folder = Path(json.loads(lease.read_text())["pool"])
            children = {child.pid for child in psutil.Process(server).children()}
            yield process, folder, [server, kernel, *(children - {kernel})]
        finally:
            process.kill()


def test_who_is_killed_takes_all_kernels_along(tmp_path: Path) -> None:
    """Kill -9 of the owner: fork server, ready and claimed kernels end, also one that hangs."""
    root = warm_workspace(tmp_path)
    with owner(root) as (process, folder, pids):
        os.kill(pids[1], signal.SIGSTOP)  # nothing that it does itself can end it
        process.kill()
        process.wait()
        wait_for(lambda: not any(is_running(pid) for pid in pids), 15)
        wait_for(lambda: not folder.exists(), 15)
        (lease,) = (root / "outputs" / ".running").iterdir()
        clear(root / "outputs" / ".running")
        assert not lease.exists()


def test_after_all_are_killed_the_reaper_leaves_nothing(desk: Desk, workspace: Path) -> None:
    """Owner and fork server are killed at once: a reaper pass ends what is left, and cleans up."""
    warm_workspace(workspace)
    with owner(workspace) as (process, folder, pids):
        os.kill(pids[1], signal.SIGSTOP)
        os.kill(pids[0], signal.SIGSTOP)
        process.kill()
        os.kill(pids[0], signal.SIGKILL)
        process.wait()
        wait_for(lambda: not any(is_running(pid) for pid in (pids[0], *pids[2:])), 15)
        assert is_running(pids[1])
        assert folder.exists()
        assert running.reap(desk) == []
        wait_for(lambda: not is_running(pids[1]), 15)
        assert not folder.exists()
        assert list((workspace / "outputs" / ".running").iterdir()) == []


def test_a_reaper_leaves_alone_what_is_owned_or_nobodys(tmp_path: Path) -> None:
    """Folders of sockets go when their owner is gone: of whatever workspace, but only marked ones.

    A living owner's, one without a mark and one that others may write to stay.
    """
    mine = socket_folder()
    gone = socket_folder()
    told = json.loads((gone / "owner.json").read_text())
    (gone / "owner.json").write_text(json.dumps({**told, "pid": 1, "started": "long ago"}))
    elsewhere = socket_folder()
    (elsewhere / "owner.json").write_text(json.dumps({**told, "host": "another", "pid": 1}))
    open_to_all = socket_folder()
    shutil.copy(gone / "owner.json", open_to_all)
    open_to_all.chmod(0o777)
    unmarked = Path(tempfile.mkdtemp(prefix="imt-"))
    kept = (mine, elsewhere, open_to_all, unmarked)
    try:
        clear(tmp_path)
        assert not gone.exists()
        assert [folder.exists() for folder in kept] == [True] * len(kept)
    finally:
        for folder in kept:
            shutil.rmtree(folder)


def test_a_reaper_forgets_servers_that_are_gone(tmp_path: Path) -> None:
    """Their files hold a token; a living server's stays, and the folder is its user's alone."""
    leases = tmp_path / "outputs" / ".running"
    lease_pool(leases, Path("imt-none"))
    assert leases.stat().st_mode & 0o777 == 0o700
    here = asdict(this_process())
    told = {"living": here, "gone": {**here, "started": "long ago"}, "else": {**here, "host": "x"}}
    for name, process in told.items():
        text = json.dumps({"token": "secret", "process": process})
        (leases / f"server-{name}.json").write_text(text)
    (leases / "server-broken.json").write_text("{")
    clear(leases)
    left = sorted(path.stem for path in leases.glob("server-*"))
    assert left == ["server-broken", "server-else", "server-living"]


def test_a_folder_goes_in_which_a_dying_kernel_still_makes_sockets(tmp_path: Path) -> None:
    """Else it stayed for good: without the mark of its owner, which went first."""
    folder = tmp_path / "imt-dying"
    folder.mkdir()
    ends_at = time.monotonic() + 0.05

    def make() -> None:
        with suppress(FileNotFoundError):
            for number in range(100_000):
                (folder / f"k-{number}").touch()
                if time.monotonic() > ends_at:
                    return

    kernel = threading.Thread(target=make)
    kernel.start()
    remove_sockets(folder)
    kernel.join()
    assert not folder.exists()
