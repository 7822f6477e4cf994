"""``imt serve`` as a process: its socket, its log lines, its end."""

from __future__ import annotations

import asyncio
import errno
import gc
import ipaddress
import logging
import socket
from dataclasses import replace

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from imtkit.config import Settings
from imtkit.errors import ConfigError
from imtkit.web.app import application

_HEAD_SECONDS = 10.0
"""How long a request's head may take to arrive, on a new connection or an old one."""

_MOST_CONNECTIONS = 2000
_ENDING_SECONDS = 2
"""How long requests that are being answered may go on when the server ends."""


def bound_socket(settings: Settings, *, command: str = "imt serve") -> socket.socket:
    """A socket at the address that the settings name; ConfigError when it cannot be had.

    ``command`` is ours, for the hint.
    """
    host, port = settings.serve.host, settings.serve.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(1024)  # now, so that a port that another program listens on is found out
    except OSError as error:
        made.close()
        raise _cannot_listen(host, port, error, command) from error
    made.set_inheritable(False)
    return made


def address_of(bound: socket.socket) -> str:
    """The URL that a bound socket answers at."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server at this address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(settings: Settings, bound: socket.socket, token: str) -> None:
    """Answer at a bound socket until a signal ends it; what was accepted is kept by then."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    server = server_at(settings, bound, token)
    # What is loaded stays. Python would look through all of it again and again for what it could
    # free, and a sender would wait a tenth of a second meanwhile.
    gc.collect()
    gc.freeze()
    server.run(sockets=[bound])


def server_at(
    settings: Settings,
    bound: socket.socket,
    token: str,
    *,
    most_connections: int = _MOST_CONNECTIONS,
) -> uvicorn.Server:
    """A server, not yet begun, for a bound socket. ``token`` opens its pages.

    Who comes when there are ``most_connections`` already is answered 503.
    """
    told = settings.serve
    host, port = bound.getsockname()[:2]
    settings = replace(settings, serve=replace(told, host=host, port=port))
    config = uvicorn.Config(
        application(settings, token),
        http=PatientProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=most_connections,
        timeout_graceful_shutdown=_ENDING_SECONDS,
    )
    return uvicorn.Server(config)


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which ends a connection whose next request does not come in time.

    uvicorn waits for ever for the head of a first request, and for the rest of a later one's.
    """

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connected: the clock runs."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Something came: a whole head stops the clock, a part of one starts it."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """A request was answered; what came of the next one may be a part."""
        super().on_response_complete()
        if self.conn.trailing_data[0]:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over: no clock runs."""
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_SECONDS, self._end)

    def _stop(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end(self) -> None:
        self._head_timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()


def _cannot_listen(host: str, port: int, error: OSError, command: str) -> ConfigError:
    where = f"{host}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            what = f"Another program listens on {where} already."
            another = port + 1 if port < 65535 else 8787
            hint = f"End it, or choose another port: {command} --port {another}"
        case errno.EACCES:
            what = f"{where} may not be listened on."
            hint = "Ports below 1024 are for root; choose another, with a proxy in front of it."
        case _:
            what = f"{where} cannot be listened on: {error.strerror or error}."
            hint = "Give an address that this machine has, such as 127.0.0.1."
    return ConfigError(what, hint=hint)
