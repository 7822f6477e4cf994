"""What joins a worker to its database, and can be cut: a TCP proxy on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread
from urllib.parse import urlsplit

Line = tuple[socket.socket, socket.socket | None]


class Cable:
    """A way to the server at a port of loopback; ``port`` is the end to connect to."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = int(self._listener.getsockname()[1])
        self._is_cut = False
        self._lines: list[Line] = []
        self._lock = Lock()
        self._threads = [Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        """From now on nothing comes through. Nobody at this end is told, also not who connects
        anew; the server has forgotten all of them, which its keepalives would take a while for.
        """
        with self._lock:
            self._is_cut = True
            for _, far in self._lines:
                if far is not None:
                    _hang_up(far)

    def mend(self) -> None:
        """Let through what is connected anew; what was connected before hears that it is not."""
        with self._lock:
            self._is_cut = False
            for near, _ in self._lines:
                _hang_up(near)
            self._lines.clear()

    def end(self) -> None:
        """Let go of all of it."""
        _hang_up(self._listener)
        self._threads[0].join()
        with self._lock:
            for one in self._lines:
                for side in filter(None, one):
                    _hang_up(side)
        for thread in self._threads[1:]:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # nobody is listened to any more
            while True:
                near, _ = self._listener.accept()
                with self._lock:
                    self._join(near)

    def _join(self, near: socket.socket) -> None:
        far = None if self._is_cut else socket.create_connection(("127.0.0.1", self._server))
        self._lines.append((near, far))
        ways = [(near, far)] if far is None else [(near, far), (far, near)]
        for way in ways:
            thread = Thread(target=self._carry, args=way)
            self._threads.append(thread)
            thread.start()

    def _carry(self, source: socket.socket, target: socket.socket | None) -> None:
        """Bring what one side says to the other until it has no more to say."""
        with source, suppress(OSError):
            while said := source.recv(65536):
                if target is not None and not self._is_cut:
                    target.sendall(said)
        with self._lock:
            if target is not None and not self._is_cut:
                _hang_up(target)


def _hang_up(side: socket.socket) -> None:
    with suppress(OSError):  # it was done already
        side.shutdown(socket.SHUT_RDWR)


@contextmanager
def laid(url: str) -> Iterator[tuple[Cable, str]]:
    """A cable to the server of this address, and the address of its other end."""
    place = urlsplit(url)
    cable = Cable(place.port or 0)
    try:
        yield cable, place._replace(netloc=f"{place.username}@127.0.0.1:{cable.port}").geturl()
    finally:
        cable.end()
