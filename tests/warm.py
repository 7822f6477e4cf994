"""Workspaces and kernel managers for tests of warm kernels."""

from __future__ import annotations

import ast
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.asynchronous.client import AsyncKernelClient as Client
from jupyter_client.manager import AsyncKernelManager
from notebook_files import code, write_notebook

from imtkit.runs.forks import Fork
from imtkit.runs.pool import Pool

TWO = "[kernels]\nwarm = 2"
IMPORTS = """
import json
import pandas as pd
from helper import word
from failing import nothing
import not_there
"""


class WarmManager(AsyncKernelManager):
    """A kernel manager as the lab's is: its kernels come from a pool, when it has one."""

    warm_kernels: Pool | None = None

    @classmethod
    def with_pool(cls, pool: Pool | None, folder: Path) -> WarmManager:
        """A manager whose kernel spec names our provisioner, with its files in a folder."""
        manager = cls(
            kernel_name="python3",
            transport="ipc",
            connection_file=str(folder / "kernel-abc.json"),
        )
        manager.kernel_spec.metadata["kernel_provisioner"] = {"provisioner_name": "imtkit-warm"}
        manager.warm_kernels = pool
        return manager


def warm_workspace(root: Path) -> Path:
    """Two warm kernels; its one runbook imports what can be loaded, and what cannot."""
    (root / "imt.toml").write_text(TWO)
    (root / "helper.py").write_text("word = 'root'\n")
    (root / "failing.py").write_text("raise RuntimeError('no')\n")
    write_notebook(
        root / "runbooks" / "trial.ipynb", [code("one", IMPORTS), code("two", "%%bash\nimport x")]
    )
    return root


def is_running(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_ready(pool: Pool, count: int, seconds: float = 90) -> None:
    """Wait until so many kernels are ready."""
    until = time.monotonic() + seconds
    while (report := pool.report()).ready < count:
        assert time.monotonic() < until, report
        time.sleep(0.05)


@asynccontextmanager
async def running(
    manager: WarmManager, cwd: Path, environment: Mapping[str, str]
) -> AsyncIterator[Client]:
    """The manager's kernel, started in a folder and ended at the end; a client that hears it."""
    await manager.start_kernel(cwd=str(cwd), env=dict(environment))
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        if manager.has_kernel:
            await manager.shutdown_kernel(now=True)


async def say(client: Client, source: str, seconds: float = 60) -> str:
    """What a cell prints, and the names of what else it puts out, such as ``image/png``."""
    asked = client.execute(source)
    said = ""
    while True:
        message = await client.get_iopub_msg(timeout=seconds)
        if message["parent_header"].get("msg_id") != asked:
            continue
        content = message["content"]
        if message["msg_type"] == "stream":
            said += content["text"]
        elif message["msg_type"] in ("display_data", "execute_result"):
            said += " ".join(sorted(content["data"]))
        elif message["msg_type"] == "error":
            said += content["ename"]
        elif message["msg_type"] == "status" and content["execution_state"] == "idle":
            return said


def ask(pool: Pool, fork: Fork, expression: str) -> Any:
    """What a kernel makes of an expression whose value is plain data."""
    request = {
        "code": "",
        "silent": True,
        "store_history": False,
        "user_expressions": {"it": expression},
        "allow_stdin": False,
    }
    question = pool.ask(fork, "execute_request", request)
    try:
        answer = question.answer(30)
    finally:
        question.close()
    assert answer is not None
    told = answer["user_expressions"]["it"]
    assert told["status"] == "ok", told
    return ast.literal_eval(told["data"]["text/plain"])
