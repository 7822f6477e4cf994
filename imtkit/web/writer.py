"""One thread keeps what was posted: whatever waits goes to disk in one append."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Thread

from imtkit.errors import ImtkitError, InputError, StoreError
from imtkit.kit import intake
from imtkit.kit.intake import Posted
from imtkit.web.metrics import Metrics
from imtkit.web.office import Office

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 256
_MOST_BYTES_AT_ONCE = 32 * 2**20
"""What one append takes: others write to the log as well, and wait for it."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    posted: Posted
    kept: asyncio.Future[int]

    @property
    def size(self) -> int:
        return len(self.posted.body)


class Writer:
    """Keeps deliveries in the order they are offered. ``most`` may wait, of ``most_bytes``.

    ``on_kept`` is told the position of the newest, after each append.
    """

    def __init__(
        self,
        office: Office,
        metrics: Metrics,
        *,
        most: int,
        most_bytes: int,
        on_kept: Callable[[int], None],
    ) -> None:
        self._office, self._metrics, self._on_kept = office, metrics, on_kept
        self._most, self._most_bytes = most, most_bytes
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._is_closing = False
        self._changed = Condition()
        self._thread = Thread(target=self._work, name="imt-writer", daemon=True)

    @property
    def waiting(self) -> int:
        """How many deliveries wait to be kept."""
        return len(self._waiting)

    @property
    def is_alive(self) -> bool:
        """Whether anything offered will be kept."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to keep what is offered."""
        self._thread.start()

    def offer(self, posted: Posted) -> asyncio.Future[int] | None:
        """The delivery's position in the chain, once it is on disk; None when too many wait.

        To be called on the event loop that waits for it.
        """
        one = _Waiting(posted, asyncio.get_running_loop().create_future())
        with self._changed:
            is_full = len(self._waiting) >= self._most or (
                self._bytes + one.size > self._most_bytes and self._waiting
            )
            if is_full or self._is_closing:
                return None
            self._waiting.append(one)
            self._bytes += one.size
            self._changed.notify()
        return one.kept

    def close(self, seconds: float) -> None:
        """Keep what waits, for so long at most; what is left then was never promised to anybody."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(seconds)
        left = list(self._waiting)
        _answer(left, [StoreError("The server ends.", retryable=True) for _ in left])

    def _work(self) -> None:
        with suppress(ImtkitError):  # it may be there when it is needed
            self._office.now(lambda desk: None)
        while batch := self._next():
            self._keep(batch)

    def _next(self) -> list[_Waiting]:
        """What waits, as much as one append takes; nothing once it is over."""
        with self._changed:
            while not self._waiting and not self._is_closing:
                self._changed.wait()
            batch: list[_Waiting] = []
            size = 0
            while self._waiting and len(batch) < _MOST_AT_ONCE and size < _MOST_BYTES_AT_ONCE:
                batch.append(self._waiting.popleft())
                size += batch[-1].size
            self._bytes -= size
            return batch

    def _keep(self, batch: list[_Waiting]) -> None:
        try:
            entries = self._office.now(
                lambda desk: intake.keep(desk, [one.posted for one in batch])
            )
        except InputError as error:
            if len(batch) == 1:
                _answer(batch, [error])
                return
            for one in batch:  # one that cannot be kept takes no other with it
                self._keep([one])
        except ImtkitError as error:
            _answer(batch, [error] * len(batch))
        except Exception as error:  # the outermost frame of this thread, which must not end
            log.exception("Deliveries could not be kept.")
            _answer(batch, [error] * len(batch))
        else:
            self._metrics.appended()
            _answer(batch, [entry.n for entry in entries])
            self._on_kept(max(entry.n for entry in entries))


def _answer(batch: Sequence[_Waiting], answers: Sequence[int | Exception]) -> None:
    """Tell all who wait what became of theirs: their event loop is woken once for a batch."""
    if batch:
        with suppress(RuntimeError):  # the loop is over, and nobody waits
            batch[0].kept.get_loop().call_soon_threadsafe(_settle, batch, answers)


def _settle(batch: Sequence[_Waiting], answers: Sequence[int | Exception]) -> None:
    for one, answer in zip(batch, answers, strict=True):
        if one.kept.done():
            continue
        if isinstance(answer, Exception):
            one.kept.set_exception(answer)
        else:
            one.kept.set_result(answer)
