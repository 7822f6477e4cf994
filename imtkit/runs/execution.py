"""One notebook on one kernel."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from imtkit.runs import memory
from imtkit.runs.conditions import Conditions, StepEvent, limit_from
from imtkit.runs.denial import TAG, is_denial
from imtkit.runs.kernels import Kernel, OwnKernel, Wanted, ready
from imtkit.runs.marks import seconds_allowed
from imtkit.runs.runbook import SKIPPED
from imtkit.runs.secrets import request, scrubber_for
from imtkit.runs.stop import Stop, down_the_ladder

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from imtkit.runs.keeper import Keeper
    from imtkit.runs.outputs import Client

_LOOK_SECONDS = 1.0
"""How often a run looks whether somebody elsewhere wishes it to end."""

_AUTOSAVE_SECONDS = 1.0
"""How old the output notebook may be while a cell prints."""

Answer = TypeVar("Answer")
Ending = tuple[str, str]
"""How a step ended: its status, and why."""


class Execution:
    """One notebook on one kernel, on an event loop of its own in a thread of its own.

    The caller's thread only waits, so that Ctrl-C reaches it. Whoever wishes the run to end,
    and a time limit too, does so through its ``Stop``.
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
        self._values = keeper.nb.metadata.get("papermill", {}).get("parameters", {})
        self._scrubber = scrubber_for(self._values)
        self._start_timeout = float(options.get("start_timeout") or 60)
        self._step_seconds = conditions.step_seconds or options.get("execution_timeout")
        own = limit_from(keeper.nb.metadata.get("imtkit", {}).get("memory_mb"))
        self._memory_mb = own or conditions.memory_mb
        self._why_died = "the kernel died"
        self._stop = conditions.stop or Stop()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._untold: list[StepEvent] = []
        self._loop = asyncio.new_event_loop()

    def run(self) -> None:
        """Execute every code cell up to the first that does not complete.

        Cells tagged ``denied`` run only after a step that was denied, and then no others do.
        """
        outcome: Future[None] = Future()
        thread = threading.Thread(target=self._work, args=(outcome,), name="imt-run")
        thread.start()
        try:
            outcome.result()
        except KeyboardInterrupt:
            self._stop.ask("cancelled", "cancelled by hand")
            raise
        finally:
            self._wait_for(outcome)
            thread.join()

    def _wait_for(self, outcome: Future[None]) -> None:
        """Wait for the run's end; who presses Ctrl-C again need not wait for the grace.

        Not by joining the thread: Python takes a thread for ended whose join was interrupted.
        """
        while not outcome.done():
            try:
                wait([outcome])
            except KeyboardInterrupt:
                self._call(self._hurry.set)

    def _work(self, outcome: Future[None]) -> None:
        asyncio.set_event_loop(self._loop)
        fault: BaseException | None = None
        try:
            self._loop.run_until_complete(self._watched_run())
        except BaseException as error:  # noqa: BLE001 # handed on whole to the waiting thread
            fault = error
        try:
            self._loop.run_until_complete(_tidy(self._loop))
            self._loop.close()
        finally:
            if fault is None:
                outcome.set_result(None)
            else:
                outcome.set_exception(fault)

    def _call(self, what: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the run is over, and its loop closed
            self._loop.call_soon_threadsafe(what)

    async def _watched_run(self) -> None:
        """The run, while somebody looks at the clock and whether it is wished to end."""
        looking = asyncio.ensure_future(self._look_around())
        self._stop.listen(lambda: self._call(self._stopping.set))
        limit = self._conditions.run_seconds
        if limit is not None:
            words = f"the run was not over after {limit:g} s"
            self._loop.call_later(limit, self._stop.ask, "timed-out", words)
        try:
            await self._run()
        finally:
            self._stop.listen(None)
            looking.cancel()

    async def _look_around(self) -> None:
        while self._conditions.wish is not None:
            await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.to_thread(self._look)

    def _look(self) -> None:
        wished = self._conditions.wish() if self._conditions.wish is not None else None
        if wished is not None:
            self._stop.ask(*wished)

    async def _run(self) -> None:
        from imtkit.runs.outputs import Client

        conditions = self._conditions
        path = Path(self._keeper.output_path) if self._keeper.output_path else None
        wanted = Wanted(self._kernel_name, conditions.environment, conditions.cwd, path)
        kernel = (conditions.kernel or OwnKernel)(wanted)
        client = Client(
            self._keeper.nb,
            scrubber=self._scrubber,
            beside=path,
            km=kernel,
            echo=self._keeper.echo,
            timeout=None,
        )
        ending, watching = "failed", None
        try:
            ending = "cancelled"
            if await self._start_unless_stopped(client, kernel):
                ending = "failed"
                watching = asyncio.ensure_future(self._watch_memory(kernel))
                ending = await self._cells(client, kernel)
                await self._unless_it_must_end(kernel, self._tell_all)
        finally:
            if watching is not None:
                watching.cancel()
            self._keeper.settle()
            if client.kc is not None:
                client.kc.stop_channels()
            await kernel.leave(ending)

    async def _watch_memory(self, kernel: Kernel) -> None:
        if self._memory_mb and kernel.pid:
            await memory.above(kernel.pid, self._memory_mb)
            self._why_died = f"the kernel used more than {self._memory_mb:g} MB"
            await kernel.signal_kernel(9)

    async def _start_unless_stopped(self, client: Client, kernel: Kernel) -> bool:
        starting = asyncio.ensure_future(self._start(client, kernel))
        saving = asyncio.ensure_future(asyncio.to_thread(self._keeper.save))
        try:
            is_up = await self._is_done(starting, None)
            if not is_up:
                starting.cancel()
                self._stop.is_heeded = True
            await asyncio.wait({starting})
        finally:
            await saving  # nothing may be changed, or saved again, before
        if is_up:
            self._keeper.nb.metadata["language_info"] = starting.result()["language_info"]
        return is_up

    async def _is_done(self, work: asyncio.Future[Any], seconds: float | None) -> bool:
        """Whether a piece of work ended before its time was up and before the run must end."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({work, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        return work.done()

    async def _start(self, client: Client, kernel: Kernel) -> Mapping[str, Any]:
        """What the kernel says of itself, once it is up and heard."""
        self._name_kernel(kernel)
        client.kc = await kernel.start()
        client.kc.allow_stdin = False
        answering = asyncio.ensure_future(ready(client.kc, kernel, self._start_timeout))
        try:
            await asyncio.sleep(0)  # it has been asked before this is written
            self._name_kernel(kernel)
            said = await answering
        finally:
            answering.cancel()
        await kernel.brief(client.kc)
        return said

    def _name_kernel(self, kernel: Kernel) -> None:
        is_known = kernel.pid or kernel.sockets is not None
        if is_known and self._conditions.kernel_up is not None:
            self._conditions.kernel_up(kernel.pid, kernel.sockets)

    async def _cells(self, client: Client, kernel: Kernel) -> str:
        """Run the cells; how the last that ran ended, but 'failed' after a denial."""
        client.reset_execution_trackers()
        is_denied = False
        for index, cell in enumerate(self._keeper.nb.cells):
            if not self._is_due(cell, is_denied):
                continue
            begun = self._begun(cell, index)
            is_begun = False
            try:
                is_begun = await self._unless_it_must_end(
                    kernel, partial(self._begins, cell, begun)
                )
            finally:  # also where the log was not there to be told
                self._stop.is_heeded |= not is_begun and bool(self._stop.status)
            if not is_begun:
                return self._stop.status
            ended = await self._step(client, kernel, cell, begun)
            if ended.status == "completed":
                if _asked_to_stop(cell):
                    break
            elif is_denied or not is_denial(ended):
                return ended.status
            else:
                is_denied = True
        return "failed" if is_denied else "completed"

    def _is_due(self, cell: NotebookNode, is_denied: bool) -> bool:
        """Whether a cell is to be run; after a denial these are the cells kept for one, alone."""
        if cell.cell_type != "code" or not cell.source.strip():
            return False
        tags = cell.metadata.get("tags", [])
        if SKIPPED in tags:
            return False
        return (TAG in tags) is is_denied and cell.get("id") not in self._conditions.kept

    def _begun(self, cell: NotebookNode, index: int) -> StepEvent:
        id_ = cell.get("id") or f"cell-{index}"
        title = self._conditions.titles.get(id_, "")
        return StepEvent(id_, index, title, "running", datetime.now(UTC))

    def _begins(self, cell: NotebookNode, begun: StepEvent) -> bool:
        """Have the log told that a step begins, unless the run must end: whoever took or cancelled
        it just now must not see one more begin.
        """
        self._look()
        if self._stop.status:
            return False
        if not _is_injected(cell):
            self._untold.append(begun)
            self._tell_all()
        return True

    async def _step(
        self, client: Client, kernel: Kernel, cell: NotebookNode, begun: StepEvent
    ) -> StepEvent:
        self._keeper.step_started(cell, begun)
        status, error = await self._execute(client, kernel, cell, begun.index)
        secrets = request(self._values)
        if _is_injected(cell) and secrets and status == "completed":
            await client.run_silently(secrets)
        ended = replace(begun, status=status, finished_at=datetime.now(UTC), error=error)
        ended = replace(ended, whole_output=client.whole_output())
        self._keeper.step_finished(cell, ended)
        if self._keeper.fault:
            ended = replace(ended, error="; ".join(filter(None, (error, self._keeper.fault))))
        if not _is_injected(cell) or status != "completed":
            self._untold.append(ended)  # it is told with what begins next
        return ended

    async def _execute(
        self, client: Client, kernel: Kernel, cell: NotebookNode, index: int
    ) -> Ending:
        if self._stop.is_urgent:  # since its beginning was being told
            self._stop.is_heeded = True
            return self._stop.status, self._stop.words
        limit = seconds_allowed(cell) or self._step_seconds
        work = asyncio.ensure_future(client.async_execute_cell(cell, index))
        saving = asyncio.ensure_future(self._autosave(client))
        try:
            if await self._is_done(work, limit):
                return await self._ended(work, cell)
            is_wished = self._stop.is_urgent
            why = (self._stop.status, self._stop.words)
            self._stop.is_heeded = is_wished
            await down_the_ladder(work, kernel, self._hurry)
            await self._ended(work, cell)
            return why if is_wished else ("timed-out", f"no end after {limit:g} s")
        finally:
            saving.cancel()

    async def _autosave(self, client: Client) -> None:
        """Keep what a cell printed so far, so that it outlives even us."""
        saved, seconds = client.arrived, _AUTOSAVE_SECONDS
        while True:
            await asyncio.sleep(seconds)
            if client.arrived != saved:
                saved, began = client.arrived, self._loop.time()
                self._keeper.save()
                # Saving a large notebook takes at most a fifth of the time.
                seconds = max(_AUTOSAVE_SECONDS, 4 * (self._loop.time() - began))

    async def _ended(self, work: asyncio.Future[Any], cell: NotebookNode) -> Ending:
        """How a cell ended that nobody stopped."""
        from nbclient.exceptions import CellExecutionError, DeadKernelError

        try:
            await work
        except CellExecutionError as error:
            if _asked_to_stop(cell):
                return "completed", ""
            if error.ename == "WaitingError":
                return "waiting", error.evalue[:2000]
            status = "cancelled" if error.ename == "KeyboardInterrupt" else "failed"
            return status, ": ".join(filter(None, (error.ename, error.evalue)))[:2000]
        except DeadKernelError:
            return "kernel-died", self._why_died
        return "completed", ""

    async def _unless_it_must_end(self, kernel: Kernel, work: Callable[[], Answer]) -> Answer:
        """Wait for what the log is told or asked, which may be away. The kernel does not wait for
        it once the run must end: others may be about to go on with the run.
        """
        working = asyncio.ensure_future(asyncio.to_thread(work))
        if not await self._is_done(working, None):
            await kernel.leave(self._stop.status)
        return await working

    def _tell_all(self) -> None:
        told, self._untold = self._untold, []
        if told and self._conditions.journal is not None:
            self._conditions.journal(*told)


async def _tidy(loop: asyncio.AbstractEventLoop) -> None:
    """Leave no task, generator or thread of a loop behind."""
    left = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


def _is_injected(cell: NotebookNode) -> bool:
    """Whether it holds the values that papermill put in: no step, unless it fails."""
    return "injected-parameters" in cell.metadata.get("tags", [])


def _asked_to_stop(cell: NotebookNode) -> bool:
    """Whether the cell ended the notebook on purpose, with ``sys.exit(0)``."""
    return any(
        output.output_type == "error"
        and output.ename == "SystemExit"
        and output.evalue in ("", "0", "None")
        for output in cell.get("outputs", [])
    )
