"""Requested runs, taken from the queue and carried out by a Jupyter server: a worker."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from imtkit.config import Settings
from imtkit.errors import ImtkitError
from imtkit.kit import Desk, requests
from imtkit.kit.runs import Control, OnStep
from imtkit.lab.office import SOURCE, Office
from imtkit.lab.runs import SERVER, Asked, Job, ServerRuns
from imtkit.model.incident import Run
from imtkit.runs.lease import this_process
from imtkit.runs.queue import Request

if TYPE_CHECKING:
    from imtkit.store.presence import Presence

_LOOK_SECONDS = 3.0
"""How often a worker looks for others that are gone, whose runs it takes over."""
_BEGIN_SECONDS = 20.0
_WATCH_SECONDS = 1.0
_KEPT = timedelta(days=1)
"""How long the queue knows of a run that is over. The log always does."""
_THOROUGH_EVERY = 20
"""Looks between two times that a worker goes through the log for what the queue has lost."""


class QueuedRuns:
    """What a worker does for the queue: it takes runs as there is room, and looks after others.

    Used on the server's event loop; the queue itself is used in a thread.
    """

    def __init__(self, office: Office, runs: ServerRuns) -> None:
        self._office = office
        self._runs = runs
        self._hand = ThreadPoolExecutor(1, thread_name_prefix="queue")
        self._serving: asyncio.Task[None] | None = None
        self._presence: Presence | None = None

    def start(self, settings: Settings) -> None:
        """Begin to take runs, in a moment: the server need not wait for the queue's library.

        ConfigError when the log is one that can have no queue.
        """
        self._settings = settings
        self._queue = requests.open_queue(settings)
        self._loop = asyncio.get_running_loop()
        self._serving = asyncio.create_task(self._serve())
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Take no more runs; those that go on here are other workers' once ``close`` is called."""
        if self._serving is None:
            return
        for task in (self._watching, self._serving):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._loop.run_in_executor(self._hand, self._queue.stop)

    async def close(self) -> None:
        """Let go of the queue, when the runs that were taken have ended here."""
        if self._serving is not None:
            await self._loop.run_in_executor(self._hand, self._queue.close)
        self._hand.shutdown()

    async def _watch(self) -> None:
        """End the runs here before others may begin them anew, should this worker be cut off."""
        while True:
            if self._presence is not None and self._presence.is_cut_off:
                self._runs.hand_on(requests.WORKER_ENDS)
            await asyncio.sleep(_WATCH_SECONDS)

    async def _serve(self) -> None:
        is_serving, known = False, ""
        for look in count():
            try:
                if not is_serving:
                    await self._loop.run_in_executor(self._hand, self._begin)
                    is_serving = True
                look_now = partial(self._look, is_thorough=look % _THOROUGH_EVERY == 0)
                await self._loop.run_in_executor(self._hand, look_now)
                known = ""
            except Exception as fault:  # noqa: BLE001 # a database that is away may come back
                if str(fault) != known:
                    told = {"message": "imtkit cannot serve its queue now", "exception": fault}
                    self._loop.call_exception_handler(told)
                known = str(fault)
            await asyncio.sleep(_LOOK_SECONDS)

    def _begin(self) -> None:
        from imtkit.store.presence import open_presence

        settings, name = self._settings, this_process().name
        presence = open_presence(settings.store_url, settings.leases, name)
        self._presence = presence
        self._queue.serve(
            self._carry_out,
            presence=presence,
            at_once=settings.kernels.runs_at_once,
            over_all=settings.kernels.queued_at_once,
        )

    def _look(self, *, is_thorough: bool) -> None:
        """Take over from workers that are gone; now and then, queue what the queue has lost, and
        have it forget what is long over.
        """
        self._queue.take_over()
        if is_thorough:
            self._queue.clear(_KEPT)
            self._office.now(
                lambda desk: requests.enqueue_requested(desk, self._queue), actor=SERVER
            )

    def _carry_out(self, request: Request) -> None:
        """In the queue's thread: hand the run to the server, and wait for what becomes of it."""
        failed: list[ImtkitError] = []

        def task(desk: Desk, on_step: OnStep, control: Control) -> Run:
            try:
                return requests.carry_out(
                    desk, request, is_gone=self._queue.is_gone, on_step=on_step, control=control
                )
            except ImtkitError as error:
                failed.append(error)
                raise

        asked = Asked(SERVER, SOURCE, _unheard, at_end=requests.WORKER_ENDS)

        async def begin() -> Job:
            return self._runs.begin(task, asked, Control())

        coming = asyncio.run_coroutine_threadsafe(begin(), self._loop)
        try:
            job = coming.result(timeout=_BEGIN_SECONDS)
        finally:
            coming.cancel()  # a server that ends has no loop any more that would begin it
        job.done.result()
        if failed:
            raise failed[0]


def _unheard(_: dict[str, Any]) -> None:
    """Nobody listens: who wants to know reads the log."""
