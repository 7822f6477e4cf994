"""A server sends what runs leave behind to the address of outputs, in a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread

from imtkit.config import Settings
from imtkit.errors import ImtkitError
from imtkit.kit import outputs
from imtkit.kit.desk import Desk

AtDesk = Callable[[Callable[[Desk], None]], None]
"""Does something at a server's desk, in the thread that asks for it."""

_LOOK_SECONDS = 15.0
"""How soon what could not be sent is tried again."""

log = logging.getLogger(__name__)


class Sender:
    """Sends when a run has ended here, and what is left over every few seconds.

    No run waits for it. What a depot that is away makes wait is in files, and outlives the server.
    """

    def __init__(self, at_desk: AtDesk) -> None:
        self._at_desk = at_desk
        self._news = Event()
        self._is_ending = False
        self._known = ""
        self._thread: Thread | None = None

    def start(self, settings: Settings) -> None:
        """Begin, where outputs have an address."""
        if settings.depot.address:
            self._thread = Thread(target=self._go, name="outputs", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """There may be something to send."""
        self._news.set()

    def stop(self, seconds: float) -> None:
        """Send once more, and end; what takes longer is left to whoever looks next."""
        self._is_ending = True
        self._news.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _go(self) -> None:
        while not self._is_ending:
            self._send()
            self._news.wait(_LOOK_SECONDS)
            self._news.clear()
        self._send()

    def _send(self) -> None:
        try:
            self._at_desk(_send_waiting)
        except ImtkitError as error:
            self._failed(error, trace=False)
        except Exception as error:  # noqa: BLE001 # the outermost frame of this thread
            self._failed(error, trace=True)
        else:
            self._known = ""

    def _failed(self, error: Exception, *, trace: bool) -> None:
        """Say what is wrong, once; it is tried again."""
        if str(error) != self._known:
            log.warning("Outputs are not sent yet: %s", error, exc_info=trace)
        self._known = str(error)


def _send_waiting(desk: Desk) -> None:
    if outputs.waiting(desk).waiting:
        outputs.send(desk)
