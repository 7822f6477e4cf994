"""One notebook on one kernel."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imtkit.runs.conditions import Conditions, StepEvent

if TYPE_CHECKING:
    from nbclient import NotebookClient
    from nbformat import NotebookNode

    from imtkit.runs.keeper import Keeper

_GRACE_SECONDS = 5.0
"""How long a cancelled cell may take to end by itself before its kernel is killed."""


class Execution:
    """One notebook on one kernel, on an event loop of its own in a thread of its own.

    The caller's thread only waits, so that Ctrl-C reaches it and can walk down the ladder:
    interrupt the cell, give it a few seconds, kill the kernel.
    """

    def __init__(
        self,
        keeper: Keeper,
        kernel_name: str,
        conditions: Conditions,
        options: Mapping[str, Any],
    ) -> None:
        self._keeper = keeper
        self._kernel_name = kernel_name
        self._conditions = conditions
        self._start_timeout = float(options.get("start_timeout") or 60)
        self._cell_timeout = options.get("execution_timeout")
        self._loop = asyncio.new_event_loop()
        self._cancelled = threading.Event()
        self._client: NotebookClient | None = None

    def run(self) -> None:
        """Execute every code cell up to the first that does not complete."""
        outcome: Future[None] = Future()
        thread = threading.Thread(target=self._work, args=(outcome,), name="imt-run")
        thread.start()
        try:
            outcome.result()
        except KeyboardInterrupt:
            self._cancel(thread)
            raise
        finally:
            thread.join()

    def _work(self, outcome: Future[None]) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        except BaseException as error:  # noqa: BLE001 # handed on whole to the waiting thread
            outcome.set_exception(error)
        else:
            outcome.set_result(None)
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _cancel(self, thread: threading.Thread) -> None:
        self._cancelled.set()
        for rung in (self._interrupt, self._kill):
            if thread.is_alive() and not self._loop.is_closed():
                asyncio.run_coroutine_threadsafe(rung(), self._loop)
            thread.join(_GRACE_SECONDS)

    async def _interrupt(self) -> None:
        if self._client is not None and self._client.km is not None:
            await self._client.km.interrupt_kernel()

    async def _kill(self) -> None:
        if self._client is not None and self._client.km is not None:
            await self._client.km.signal_kernel(9)

    async def _run(self) -> None:
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient

        sockets = Path(tempfile.mkdtemp(prefix="imt-"))  # 0700, and short: socket paths must be
        manager = AsyncKernelManager(
            kernel_name=self._kernel_name,
            transport="ipc",
            ip=str(sockets / "k"),
            connection_file=str(sockets / "kernel.json"),
        )
        self._client = client = NotebookClient(
            self._keeper.nb,
            km=manager,
            timeout=self._cell_timeout,
            startup_timeout=self._start_timeout,
            store_widget_state=False,
            coalesce_streams=True,
        )
        try:
            await self._start(client)
            await self._cells(client)
        finally:
            await self._end(client)
            shutil.rmtree(sockets, ignore_errors=True)

    async def _start(self, client: NotebookClient) -> None:
        options: dict[str, Any] = {
            "env": {**os.environ, **self._conditions.environment},
            "extra_arguments": ["--HistoryManager.hist_file=:memory:"],
        }
        if self._conditions.cwd is not None:
            options["cwd"] = str(self._conditions.cwd)
        await client.km.start_kernel(**options)
        client.kc = client.km.client()
        client.kc.start_channels()
        await client.kc.wait_for_ready(timeout=self._start_timeout)
        client.kc.allow_stdin = False
        reply = await client.async_wait_for_reply(client.kc.kernel_info())
        if reply:
            self._keeper.nb.metadata["language_info"] = reply["content"]["language_info"]

    async def _end(self, client: NotebookClient) -> None:
        if client.kc is not None:
            client.kc.stop_channels()
        if client.km.has_kernel:
            await client.km.shutdown_kernel(now=True)
        client.km.cleanup_connection_file()

    async def _cells(self, client: NotebookClient) -> None:
        cells = self._keeper.nb.cells
        client.reset_execution_trackers()
        for index, cell in enumerate(cells):
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            if cell.get("id") in self._conditions.kept:
                continue
            status = await self._step(client, cell, index)
            if status != "completed" or _asked_to_stop(cell):
                for later in cells[index + 1 :]:
                    if later.cell_type == "code" and later.get("id") not in self._conditions.kept:
                        later.metadata.setdefault("imtkit", {})["status"] = "not-run"
                return

    async def _step(self, client: NotebookClient, cell: NotebookNode, index: int) -> str:
        titles = self._conditions.titles
        id_ = cell.get("id") or f"cell-{index}"
        begun = StepEvent(id_, index, titles.get(id_, ""), "running", datetime.now(UTC))
        # The values papermill put in are no step of the runbook, unless they fail.
        is_injected = "injected-parameters" in cell.metadata.get("tags", [])
        self._keeper.step_started(cell, begun)
        if not is_injected:
            self._tell(begun)
        status, error = await self._execute(client, cell, index)
        ended = StepEvent(
            begun.id, index, begun.title, status, begun.started_at, datetime.now(UTC), error
        )
        self._keeper.step_finished(cell, ended)
        if not is_injected or status != "completed":
            self._tell(ended)
        return status

    async def _execute(
        self, client: NotebookClient, cell: NotebookNode, index: int
    ) -> tuple[str, str]:
        from nbclient.exceptions import (
            CellExecutionError,
            CellTimeoutError,
            DeadKernelError,
        )

        try:
            await client.async_execute_cell(cell, index)
        except CellExecutionError as error:
            return self._ended(cell, error.ename, error.evalue)
        except CellTimeoutError:
            await client.km.interrupt_kernel()
            return "timed-out", f"no end after {self._cell_timeout} s"
        except DeadKernelError:
            if self._cancelled.is_set():
                return "cancelled", "its kernel was killed"
            return "kernel-died", "the kernel died"
        return "completed", ""

    def _ended(self, cell: NotebookNode, ename: str, evalue: str) -> tuple[str, str]:
        """What a step is that ended with an exception."""
        if _asked_to_stop(cell):
            return "completed", ""
        if ename == "WaitingError":
            return "waiting", evalue[:2000]
        stopped = self._cancelled.is_set() or ename == "KeyboardInterrupt"
        return "cancelled" if stopped else "failed", f"{ename}: {evalue}"[:2000]

    def _tell(self, event: StepEvent) -> None:
        if self._conditions.journal is not None:
            self._conditions.journal(event)


def _asked_to_stop(cell: NotebookNode) -> bool:
    """Whether the cell ended the notebook on purpose, with ``sys.exit(0)``."""
    return any(
        output.output_type == "error"
        and output.ename == "SystemExit"
        and output.evalue in ("", "0", "None")
        for output in cell.get("outputs", [])
    )
