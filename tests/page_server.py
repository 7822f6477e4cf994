"""A loopback server for one service, with a clock and faults that the test sets."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Answer = tuple[int, Any]


class FakeTime:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Fault:
    """Goes wrong for the next ``times`` requests of these methods.

    ``how``: "answer" (this answer, nothing done), "then-answer" (done, then this answer),
    "silent" (done, then never an answer), "torn" (done, then the connection is cut),
    "torn-before" (the connection is cut, nothing done). ``then_down``: and all later ones fail.
    """

    how: str
    status: int = 500
    body: str = '{"error": "internal"}'
    headers: dict[str, str] = field(default_factory=dict)
    methods: tuple[str, ...] = ("GET", "POST", "PUT", "PATCH")
    times: int = 1
    then_down: bool = False


class Service:
    """What all the servers share: requests seen, faults to come, who was notified."""

    prefix = ""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str, Any]] = []
        self.arrivals: list[float] = []
        self.notified: list[str] = []
        self.incidents: list[dict[str, Any]] = []
        self.components: dict[str, str] = {"101": "operational", "102": "operational"}
        self.slow_posts_seconds = 0.0
        self.closing = threading.Event()
        self.lock = threading.Lock()

    def is_allowed(self, headers: Any) -> bool:
        raise NotImplementedError

    def answer(self, method: str, path: list[str], query: dict[str, str], body: Any) -> Answer:
        raise NotImplementedError

    def shown(self) -> list[dict[str, Any]]:
        """What a reader sees: title, status, texts (newest first), each incident."""
        raise NotImplementedError

    def shown_components(self) -> dict[str, str]:
        return self.components

    def count(self, method: str) -> int:
        return sum(1 for one, _, _ in self.seen if one == method)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    service: Service

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some tests do on purpose."""


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        service = self.server.service
        length = int(self.headers.get("Content-Length", 0))
        raw = self.rfile.read(length)
        parts = urlsplit(self.path)
        if self.command == "POST":
            service.closing.wait(service.slow_posts_seconds)
        with service.lock:
            service.arrivals.append(service.clock())
            body = json.loads(raw) if raw else None
            service.seen.append((self.command, self.path, body))
            fault = next((f for f in service.faults if self.command in f.methods), None)
            if fault:
                fault.times -= 1
                if fault.times <= 0:
                    service.faults.remove(fault)
                if fault.then_down:
                    service.faults.append(Fault("answer", times=999))
            if fault and fault.how in ("answer", "torn-before"):
                status, told = fault.status, None
            elif not service.is_allowed(self.headers):
                status, told, fault = 401, {"error": "Could not authenticate"}, None
            elif not parts.path.startswith(service.prefix + "/"):
                status, told, fault = 404, {"error": "Not found"}, None
            else:
                path = parts.path.removeprefix(service.prefix).strip("/").split("/")
                status, told = service.answer(
                    self.command, path, dict(parse_qsl(parts.query)), body
                )
        self._reply(fault, status, told)

    def _reply(self, fault: Fault | None, status: int, told: Any) -> None:
        if fault and fault.how == "silent":
            self.server.service.closing.wait(30)
            self.close_connection = True
            return
        if fault and fault.how.startswith("torn"):
            self.close_connection = True
            self.connection.close()
            return
        headers = {"Content-Type": "application/json"}
        content = json.dumps(told).encode()
        if fault:
            status, content = fault.status, fault.body.encode()
            headers |= fault.headers
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class serving:  # noqa: N801 - reads as a verb: with serving(service) as address
    """Serves on a free loopback port while the block lasts; gives ``127.0.0.1:PORT``."""

    def __init__(self, service: Service) -> None:
        self._listener = _Listener(("127.0.0.1", 0), _Handler)
        self._listener.service = service
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> str:
        self._thread.start()
        return f"127.0.0.1:{self._listener.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self._listener.service.closing.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join(5)
