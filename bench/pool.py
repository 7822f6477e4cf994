"""What it takes to have a kernel: from the pool, forked when asked for, and cold.

    python bench/pool.py                # 15 rounds
    python bench/pool.py --rounds 5

Each round starts one kernel in each way, in turn, so that a busy machine slows all alike. All are
started by jupyter_client's AsyncKernelManager in an empty folder. The realistic cell makes a pandas
table and a matplotlib figure.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import notebooks
from facts import machine, table
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from imtkit.config import load_settings
from imtkit.runs.kernels import ready
from imtkit.runs.pool import Patience, Pool, held_mb

TRIVIAL = "print('first')"
REALISTIC = """
import pandas as pd
import matplotlib.pyplot as plt
display(pd.DataFrame({"a": range(20), "b": range(20)}).describe())
plt.plot(range(20))
"""
WAYS = ("ready", "forked", "cold")


class _Empty:
    """A pool with nothing ready."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def claim(self) -> None:
        """Nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


class WarmManager(AsyncKernelManager):  # type: ignore[misc]  # its types are skipped
    """A kernel manager as the lab's is: with a pool of kernels, or none."""

    warm_kernels: Pool | _Empty | None = None


def workspace(root: Path) -> Path:
    """A workspace whose runbook imports what the realistic cell does."""
    for folder in ("outputs", "runbooks"):
        (root / folder).mkdir()
    (root / "imt.toml").write_text("[kernels]\nwarm = 2\nmemory_mb = 2000\n")
    notebooks.write(root / "runbooks" / "one.ipynb", [REALISTIC])
    return root


def wait_until_ready(pool: Pool, count: int) -> None:
    """Wait until so many kernels are ready."""
    while pool.report().ready < count:
        time.sleep(0.02)


@asynccontextmanager
async def running(
    way: str, pool: Pool, folder: Path
) -> AsyncIterator[tuple[int, AsyncKernelClient]]:
    """A kernel that came to life in this way; its process, and a client that hears it."""
    folder.mkdir()
    file = str(folder / "kernel.json")
    manager = WarmManager(kernel_name="python3", transport="ipc", connection_file=file)
    manager.kernel_spec.metadata["kernel_provisioner"] = {"provisioner_name": "imtkit-warm"}
    given: dict[str, Pool | _Empty | None]
    given = {"ready": pool, "forked": _Empty(pool), "cold": None}
    manager.warm_kernels = given[way]
    await manager.start_kernel(cwd=str(folder), env=pool.environment)
    assert manager.provisioner.warmth == way
    client = manager.client()
    client.start_channels()
    try:
        await ready(client, manager, 60)
        yield manager.provisioner.pid, client
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def say(client: AsyncKernelClient, source: str) -> str:
    """What a cell printed, and the kinds of what else it put out."""
    asked, said = client.execute(source), ""
    while True:
        message = await client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") != asked:
            continue
        content = message["content"]
        said += str(content.get("text", "")) + " ".join(content.get("data", ()))
        if content.get("execution_state") == "idle":
            return said


async def timed(pool: Pool, way: str, folder: Path) -> Mapping[str, float]:
    """Milliseconds of one kernel: to its first output, of the realistic cell; MiB after it."""
    took = {}
    began = time.perf_counter()
    async with running(way, pool, folder) as (pid, client):
        assert await say(client, TRIVIAL) == "first\n"
        took["first output"] = 1000 * (time.perf_counter() - began)
        began = time.perf_counter()
        assert "image/png" in await say(client, REALISTIC)
        took["realistic cell"] = 1000 * (time.perf_counter() - began)
        took["MiB of its own"] = held_mb([pid], "Private_Dirty:")
    return took


async def eight_alive(pool: Pool, way: str, root: Path) -> float:
    """The memory that eight kernels take together after the realistic cell, with all it needs."""
    async with AsyncExitStack() as stack:
        pids = [pool.report().forkserver or 0] if way != "cold" else []
        for n in range(8):
            pid, client = await stack.enter_async_context(running(way, pool, root / f"{way}{n}"))
            await say(client, REALISTIC)
            pids.append(pid)
        return held_mb(pids)


def measure(pool: Pool, root: Path, rounds: int) -> None:
    """Take all figures and print them."""
    taken: dict[str, list[Mapping[str, float]]] = {way: [] for way in WAYS}
    claims = []
    for number in range(rounds + 1):
        for way in WAYS:
            wait_until_ready(pool, 2)
            figures = asyncio.run(timed(pool, way, root / f"{way}-{number}"))
            if number:  # the first round fills caches
                taken[way].append(figures)
        wait_until_ready(pool, 2)
        began = time.perf_counter()
        fork = pool.claim()
        claims.append(1000 * (time.perf_counter() - began))
        assert fork is not None
        pool.release(fork)
    names = list(taken["cold"][0])
    middle = {w: {n: statistics.median(f[n] for f in taken[w]) for n in names} for w in WAYS}
    rows = [(w, *(f"{middle[w][n]:.1f}" for n in names)) for w in WAYS]
    table("Start to first output, then the realistic cell (ms)", ("", *names), rows)
    together = {way: asyncio.run(eight_alive(pool, way, root)) for way in ("forked", "cold")}
    print(f"\nclaim: {statistics.median(claims):.2f} ms, files looked at included")
    print(f"eight alive after it: {together['forked']:.0f} MiB, cold {together['cold']:.0f} MiB")


def main() -> None:
    """Print how long each way takes, and what the pool holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = workspace(Path(name))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("IMT_")}
        patience = Patience(look=0.5)
        pool = Pool(load_settings(root), environment=environment, patience=patience)
        began = time.perf_counter()
        pool.start()
        try:
            for count in (1, 2):
                wait_until_ready(pool, count)
                seconds = time.perf_counter() - began
                held = pool.report().memory_mb
                print(f"{count} ready after {seconds:.2f} s; with the fork server {held:.0f} MiB")
            measure(pool, root, asked.rounds)
        finally:
            pool.close()


if __name__ == "__main__":
    main()
