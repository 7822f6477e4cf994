"""The desk behind the web face: one log for all requests, and never on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from imtkit.config import Settings
from imtkit.errors import ChainError, StoreBusyError, StoreError
from imtkit.kit import Desk, open_desk

Answer = TypeVar("Answer")

SOURCE = "web"
NOBODY = "automation/serve"
"""Who acts where no person does: never whoever's name the machine happens to know."""

_HANDS = 8
"""How many requests work at the log at once; a write that waits for its turn keeps one."""


class Office:
    """Opens the workspace's desk when it is first needed, and works at it in threads.

    A log that failed is let go of and opened anew by the next who needs it: what was wrong
    with a file or a server may be mended by then.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._desk: Desk | None = None
        self._lock = Lock()
        self._fault, self._fault_at = "", float("-inf")
        self._hands = ThreadPoolExecutor(_HANDS, thread_name_prefix="imt-web")

    async def work(self, task: Callable[[Desk], Answer], *, actor: str) -> Answer:
        """What the task answers, worked out off the event loop.

        ``actor`` is the person who asks; empty for nobody. StoreError while the log is down.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._hands, self._work, task, actor)

    def now(self, task: Callable[[Desk], Answer], *, actor: str = "") -> Answer:
        """What the task answers, in the thread that asks: for threads that work all day."""
        try:
            return self._work(task, actor)
        except StoreError as error:
            if not isinstance(error, StoreBusyError):
                self._fault, self._fault_at = type(error).__name__, time.monotonic()
            raise

    def fault_within(self, seconds: float) -> str:
        """The kind of error that a thread that works all day met so lately; empty for none."""
        is_fresh = time.monotonic() - self._fault_at < seconds
        return self._fault if is_fresh else ""

    def close(self) -> None:
        """Let go of the log; nothing can be asked afterwards. A write that waits for its turn
        is not waited for.
        """
        self._hands.shutdown(wait=False, cancel_futures=True)
        self._let_go(self._desk)

    def _work(self, task: Callable[[Desk], Answer], actor: str) -> Answer:
        desk = self._opened()
        try:
            return task(desk.acting_as(actor or NOBODY))
        except (StoreBusyError, ChainError):
            raise  # the log answers: it is no better opened anew
        except StoreError:
            self._let_go(desk)
            raise

    def _opened(self) -> Desk:
        with self._lock:
            if self._desk is None:
                self._desk = open_desk(self.settings.root, source=SOURCE)
            return self._desk

    def _let_go(self, desk: Desk | None) -> None:
        with self._lock:
            if desk is None or self._desk is not desk:
                return  # another thread did
            self._desk = None
        desk.close()
