"""Loopback HTTP(S) servers that behave as badly as a test asks, on a free port."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Behave = Callable[[socket.socket, str], None]
"""What a site does with a connection whose request line asked for a path."""


@dataclass
class Site:
    """A server that is up: its address, and the request heads it has seen."""

    url: str
    port: int
    seen: list[str] = field(default_factory=list)


def answer(
    body: bytes = b"well\n",
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    wait: float = 0.0,
    pause: float = 0.0,
    missing: int = 0,
) -> Behave:
    """Answer after ``wait`` s, pause in the middle of the body, end ``missing`` bytes early."""

    def behave(sock: socket.socket, _path: str) -> None:
        time.sleep(wait)
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body) + missing}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        half = len(body) // 2
        sock.sendall(body[:half])
        time.sleep(pause)
        sock.sendall(body[half:])

    return behave


@contextmanager
def site(
    behave: Behave, *, context: ssl.SSLContext | None = None, handshake_wait: float = 0.0
) -> Iterator[Site]:
    """A site on loopback; with ``context`` it speaks TLS, after ``handshake_wait`` seconds."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listener.getsockname()[1]
    here = Site(f"{'https' if context else 'http'}://127.0.0.1:{port}/", port)
    threads: list[threading.Thread] = []

    def serve(sock: socket.socket) -> None:
        with suppress(OSError), sock:
            sock.settimeout(10)
            if context is None:
                _one(sock, here, behave)
                return
            time.sleep(handshake_wait)
            with context.wrap_socket(sock, server_side=True) as secured:
                _one(secured, here, behave)

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                thread = threading.Thread(target=serve, args=(sock,))
                threads.append(thread)
                thread.start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield here
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for thread in threads:
            thread.join()


def _one(sock: socket.socket, here: Site, behave: Behave) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(65536)
        if not piece:
            return
        head += piece
        if head.startswith(b"\x16"):  # a TLS hello: a plain server answers that at once
            behave(sock, "/")
            return
    here.seen.append(head.decode())
    behave(sock, head.split()[1].decode())


def closed_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port
