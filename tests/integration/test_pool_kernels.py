"""Warm kernels as Jupyter's kernel managers get them: taken over, interrupted, restarted, ended."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from warm import WarmManager, is_running, running, say, wait_until_ready, warm_workspace

from imtkit.config import load_settings
from imtkit.runs.forkserver import NO_HISTORY
from imtkit.runs.pool import Patience, Pool
from imtkit.runs.warm import environment_changes, is_our_kernel

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="only Linux keeps kernels ready")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """One pool for all tests here."""
    root = warm_workspace(tmp_path_factory.mktemp("warm"))
    environment = {
        **os.environ,
        "HOME": str(tmp_path_factory.mktemp("home")),
        "POOLS_OWN": "1",
        "BOTH": "old",
        "TZ": "UTC",
    }
    del environment["PYTEST_CURRENT_TEST"]  # ipykernel looks at it, and hears less
    settings = load_settings(root)
    pool = Pool(settings, environment=environment, patience=Patience(rest=0.1, look=0.2))
    pool.start()
    yield pool
    pool.close()


@pytest.fixture
def pool(shared: Pool) -> Pool:
    """The shared pool, with kernels ready."""
    wait_until_ready(shared, 2)
    return shared


@pytest.fixture
def environment(shared: Pool) -> dict[str, str]:
    """An environment that differs from the pool's in what may differ."""
    own = {name: value for name, value in shared.environment.items() if name != "POOLS_OWN"}
    return {**own, "BOTH": "new", "FRESH": "a 'b' \\ ü", "TZ": "Asia/Tokyo", "PAGER": "less"}


def test_a_claimed_kernel_has_the_folder_and_environment_asked_for(
    pool: Pool, environment: dict[str, str], tmp_path: Path
) -> None:
    """Set, changed and removed variables; its connection file is the one its manager has."""
    work = tmp_path / "a folder"
    work.mkdir()
    environment["JPY_SESSION_NAME"] = str(work / "one.ipynb")

    async def trial() -> None:
        manager = WarmManager.with_pool(pool, tmp_path)
        async with running(manager, work, environment) as client:
            assert manager.provisioner.warmth == "ready"
            told = await say(client, STATE)
            session = environment["JPY_SESSION_NAME"]
            fresh = environment["FRESH"]
            expected = [str(work), None, "new", fresh, "JST", "cat", str(work), session]
            assert json.loads(told) == expected
            assert await say(client, FILE) == f"{manager.connection_file}\n"
            assert Path(manager.connection_file).stat().st_mode & 0o777 == 0o600
            assert (
                await say(client, "print(_ih[1:] == [], 'take_over' in dir())") == "False False\n"
            )
            pid, folder = manager.provisioner.pid, Path(manager.ip).parent
            until_called(pid, "imt-kernel")
            assert await manager.is_alive()
            assert folder.is_dir()
        assert not await manager.is_alive()
        assert not is_running(pid)
        assert not folder.exists()
        assert not Path(manager.connection_file).exists()

    asyncio.run(trial())


STATE = """
import os, time, json
environ = [os.environ.get(name) for name in ("POOLS_OWN", "BOTH", "FRESH")]
place = [os.environ["PAGER"], str(_dh[-1]), __session__]
print(json.dumps([os.getcwd(), *environ, time.tzname[0], *place]))
"""
FILE = "from ipykernel.connect import get_connection_file as f; print(f())"


def until_called(pid: int, name: str) -> None:
    """Wait until the list of processes has it under this name."""
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}/comm").read_text().strip() != name:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_modules_of_another_folder_are_the_other_folders(
    pool: Pool, environment: dict[str, str], tmp_path: Path
) -> None:
    """A notebook elsewhere that imports helper gets the one beside it, as on a cold kernel."""
    (tmp_path / "helper.py").write_text("word = 'beside'\n")

    async def trial() -> None:
        manager = WarmManager.with_pool(pool, tmp_path)
        async with running(manager, tmp_path, environment) as client:
            assert manager.provisioner.warmth == "ready"
            assert await say(client, "import helper; print(helper.word)") == "beside\n"
        manager = WarmManager.with_pool(pool, tmp_path)
        async with running(manager, pool.cwd, environment) as client:
            told = "import sys; print('helper' in sys.modules); import helper; print(helper.word)"
            assert await say(client, told) == "True\nroot\n"

    asyncio.run(trial())


def test_a_forked_kernel_draws_prints_fails_and_is_interrupted(
    pool: Pool, environment: dict[str, str], tmp_path: Path
) -> None:
    """Figures come inline, threads of numerical libraries work, and an interrupt ends a cell."""

    async def trial() -> None:
        manager = WarmManager.with_pool(pool, tmp_path)
        async with running(manager, pool.cwd, environment) as client:
            draw = "import matplotlib.pyplot as plt; plt.plot([1, 2]); None"
            assert await say(client, draw) == "image/png text/plain"
            table = "import pandas as pd; pd.DataFrame({'a': [1]})"
            assert await say(client, table) == "text/html text/plain"
            product = "import numpy as np; a = np.ones((600, 600)); print((a @ a)[0, 0])"
            assert await say(client, product) == "600.0\n"
            below = "import os, time; _ = os.system('echo below'); time.sleep(0.5)"
            assert await say(client, below) == "below\n"
            assert await say(client, "1 / 0") == "ZeroDivisionError"
            began = time.monotonic()
            sleeping = asyncio.ensure_future(say(client, "import time; time.sleep(60)"))
            await asyncio.sleep(0.5)
            await manager.interrupt_kernel()
            assert await sleeping == "KeyboardInterrupt"
            assert time.monotonic() - began < 20
            assert await say(client, "print('goes on')") == "goes on\n"
            pid = manager.provisioner.pid
            client.stop_channels()
            await manager.shutdown_kernel()
            assert not is_running(pid)

    asyncio.run(trial())


def test_a_restarted_kernel_is_a_fresh_process_on_the_same_sockets(
    pool: Pool, environment: dict[str, str], tmp_path: Path
) -> None:
    """Who was connected stays connected; variables are gone, folder and environment are not."""

    async def trial() -> None:
        manager = WarmManager.with_pool(pool, tmp_path)
        async with running(manager, tmp_path, environment) as client:
            assert manager.provisioner.warmth == "ready"
            first, address = manager.provisioner.pid, manager.ip
            assert await say(client, "x = 1; print(x)") == "1\n"
            await manager.restart_kernel(now=True)
            await manager.interrupt_kernel()  # while it begins, which must not end it
            assert manager.provisioner.warmth == "forked"
            assert manager.ip == address
            until_called(manager.provisioner.pid, "imt-kernel")
            assert manager.provisioner.pid != first
            await client.wait_for_ready(timeout=60)
            told = "import os, sys; print('x' in dir(), os.getcwd(), os.environ['BOTH'],"
            told += " 'pandas' in sys.modules)"
            assert await say(client, told) == f"False {tmp_path} new True\n"
            folder = Path(manager.ip).parent
        assert not folder.exists()

    asyncio.run(trial())


def test_with_none_ready_a_kernel_is_forked_at_once(
    pool: Pool, environment: dict[str, str], tmp_path: Path
) -> None:
    """More are asked for at once than are ready: each gets its own, with the imports done."""
    told = "import os, sys; print('pandas' in sys.modules, os.environ['BOTH'], os.getcwd())"

    async def trial() -> None:
        managers = []
        async with AsyncExitStack() as stack:
            for n in range(4):
                (tmp_path / str(n)).mkdir()
                managers.append(WarmManager.with_pool(pool, tmp_path / str(n)))
            coming = (running(manager, tmp_path, environment) for manager in managers)
            clients = await asyncio.gather(*(stack.enter_async_context(one) for one in coming))
            for client in clients:
                assert await say(client, told) == f"True new {tmp_path}\n"
            assert {m.provisioner.warmth for m in managers} == {"ready", "forked"}
            assert len({m.provisioner.pid for m in managers}) == 4
        left = [path for n in range(4) for path in (tmp_path / str(n)).iterdir()]
        assert left == []

    asyncio.run(trial())


def test_what_does_not_fit_starts_cold(
    pool: Pool, environment: dict[str, str], tmp_path: Path
) -> None:
    """No pool, or variables that Python reads once: a kernel comes up as without us."""

    async def trial() -> None:
        for kept, more in ((None, {}), (pool, {"PYTHONHASHSEED": "1"})):
            manager = WarmManager.with_pool(kept, tmp_path)
            async with running(manager, tmp_path, {**environment, **more}) as client:
                assert manager.provisioner.warmth == "cold"
                told = "import sys; print('pandas' in sys.modules)"
                assert await say(client, told) == "False\n"

    asyncio.run(trial())
    assert pool.report().claimed == 0


def test_a_folder_that_is_gone_is_told_as_without_us(
    pool: Pool, environment: dict[str, str], tmp_path: Path
) -> None:
    """The ready kernel that could not go there is ended and nobody is given it."""

    async def trial() -> None:
        manager = WarmManager.with_pool(pool, tmp_path)
        with pytest.raises(FileNotFoundError):
            await manager.start_kernel(cwd=str(tmp_path / "gone"), env=environment)

    asyncio.run(trial())
    wait_until_ready(pool, 2)
    assert pool.report().claimed == 0


def test_who_stops_waiting_for_a_kernel_leaves_none_behind(
    pool: Pool, environment: dict[str, str], tmp_path: Path
) -> None:
    """A start that is cancelled while its kernel is on the way gives it back."""

    async def trial() -> None:
        manager = WarmManager.with_pool(pool, tmp_path)
        starting = asyncio.ensure_future(
            manager._async_start_kernel(cwd=str(tmp_path), env=environment)
        )
        await asyncio.sleep(0.002)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        if manager.has_kernel:  # it was there already, and its manager's to end
            await manager.shutdown_kernel(now=True)

    asyncio.run(trial())
    assert pool.report().claimed == 0


PYTHON = sys.executable
SIBLING = str(Path(PYTHON).with_name("python3"))


@pytest.mark.parametrize(
    ("command", "fits"),
    [
        ([PYTHON, "-m", "ipykernel_launcher", "-f", "x"], True),
        ([SIBLING, "-m", "ipykernel_launcher", "-f", "x", NO_HISTORY], True),
        ([PYTHON, "-Xfrozen_modules=off", "-m", "ipykernel", "-f", "x"], True),
        ([PYTHON, "-m", "ipykernel_launcher", "-f", "x", "--matplotlib=agg"], False),
        (["/usr/bin/python3", "-m", "ipykernel_launcher", "-f", "x"], False),
        ([PYTHON, "-m", "bash_kernel", "-f", "x"], False),
        (["R", "--slave"], False),
        ([], False),
    ],
)
def test_only_this_pythons_own_kernels_are_warm(command: list[str], fits: bool) -> None:
    """Another interpreter, another kernel, or one with options of its own starts cold."""
    assert is_our_kernel(command) is fits


def test_what_a_kernel_sets_itself_is_no_difference() -> None:
    """Terminal and pager are the kernel's own; what is read as Python starts cannot be mended."""
    begun = {"A": "1", "B": "2", "TERM": "xterm"}
    changes = environment_changes(begun, {"A": "1", "C": "3", "TERM": "dumb"})
    assert changes == {"B": None, "C": "3"}
    for name in ("PYTHONPATH", "LD_PRELOAD", "MPLBACKEND", "OMP_NUM_THREADS", "HOME", "LANG"):
        assert environment_changes(begun, {**begun, name: "x"}) is None
