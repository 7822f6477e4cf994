"""How a run is ended before its time: the wish, and the ladder that every wish takes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imtkit.runs.kernels import Kernel

GRACE_SECONDS = 5.0
"""How long an interrupted cell may take to end by itself before its kernel is killed."""

_LAST_SECONDS = 5.0


class Stop:
    """The wish that one run end early; any thread or signal handler may utter it.

    The first wish counts: ``status`` is what the run and its step end as ('cancelled' or
    'timed-out'), ``words`` says who wished it or why. A run that is asked to wait ('waiting')
    ends the step it is at first, and may still be wished to end. ``is_heeded`` is true once the
    run really ended because of it, and not just before.
    """

    def __init__(self) -> None:
        self.status = ""
        self.words = ""
        self.is_heeded = False
        self._lock = threading.RLock()  # a signal handler may come in between
        self._listener: Callable[[], None] | None = None

    @property
    def is_urgent(self) -> bool:
        """Whether the step that runs must end too."""
        return self.status not in ("", "waiting")

    def ask(self, status: str, words: str) -> None:
        """Wish that the run end; when it was wished before, nothing changes."""
        with self._lock:
            if self.is_urgent or status == self.status:
                return
            self.status, self.words = status, words
            listener = self._listener if self.is_urgent else None
        if listener is not None:
            listener()

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Name who is called, once, when the run is wished to end; at once if it was."""
        with self._lock:
            self._listener = listener
            is_asked = self.is_urgent
        if listener is not None and is_asked:
            listener()


async def down_the_ladder(work: asyncio.Future[Any], kernel: Kernel, hurry: asyncio.Event) -> None:
    """End a cell that runs: interrupt it, give it a grace, kill its kernel, give up waiting.

    ``hurry`` cuts the grace short. When it returns, ``work`` is done and what the cell printed
    until then has arrived.
    """
    hurrying = asyncio.ensure_future(hurry.wait())
    try:
        await kernel.interrupt_kernel()
        await asyncio.wait(
            {work, hurrying}, timeout=GRACE_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        hurrying.cancel()
    if not work.done():
        await kernel.signal_kernel(9)
        await asyncio.wait({work}, timeout=_LAST_SECONDS)
    if not work.done():
        work.cancel()
        await asyncio.wait({work})
