"""A server sends what its runs leave behind to the address of outputs, in a thread of its own."""

from __future__ import annotations

import logging
from threading import Event, Thread

from imtkit.config import Settings
from imtkit.errors import ImtkitError
from imtkit.kit import Desk, outputs
from imtkit.kit.outputs import SENDER
from imtkit.lab.office import Office

_LOOK_SECONDS = 15.0
"""How soon what could not be sent is tried again."""
_END_SECONDS = 10.0
"""How long a server that ends waits for its last sending; the next one goes on with it."""

log = logging.getLogger(__name__)


class Sending:
    """Sends when a run has ended here, and what is left over every few seconds.

    No run waits for it. What a depot that is away makes wait is in files, and outlives the server.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
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

    def stop(self) -> None:
        """Send once more, and end."""
        self._is_ending = True
        self._news.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)

    def _go(self) -> None:
        while not self._is_ending:
            self._send()
            self._news.wait(_LOOK_SECONDS)
            self._news.clear()
        self._send()

    def _send(self) -> None:
        try:
            self._office.now(_send_waiting, actor=SENDER)
        except ImtkitError as error:  # it is tried again, and told once
            if str(error) != self._known:
                log.warning("Outputs are not sent yet: %s", error)
            self._known = str(error)
        else:
            self._known = ""


def _send_waiting(desk: Desk) -> None:
    if outputs.waiting(desk).waiting:
        outputs.send(desk)
