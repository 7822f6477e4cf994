"""A real ``imt serve`` for tests: on a free port of loopback, in a thread or as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import requests
import uvicorn
from servers import until
from terminal import IMT

from imtkit.config import load_settings
from imtkit.kit import Desk, intake
from imtkit.kit.intake import Progress
from imtkit.web import server

TOKEN = "a-token-of-the-tests"
SECRET = "canary-of-the-sender"

SOURCES = """
[alerts.sources.shop]
kind = "alertmanager"
secrets = ["secret://file{secret}"]

[alerts.sources.open]
kind = "alertmanager"
proof = "none"
"""


def with_sources(workspace: Path, more: str = "") -> Path:
    """A workspace that knows two senders: 'shop' by a bearer token, 'open' by nothing."""
    secret = workspace / "sender.secret"
    secret.write_text(SECRET)
    with (workspace / "imt.toml").open("a") as file:
        file.write(SOURCES.format(secret=secret) + more)
    return workspace


def message(number: int = 1, *, service: str = "orders", **changed: Any) -> bytes:
    """What Alertmanager posts for one firing alert; the number makes it another alert."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "OrdersFail", "service": service, "severity": "page"},
        "annotations": {"summary": f"Orders fail ({number})"},
        "startsAt": "2026-11-21T10:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": f"{number:016x}",
        **changed,
    }
    return json.dumps({"version": "4", "groupKey": "{}", "alerts": [alert]}).encode()


class Served:
    """A server that answers at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, source: str, body: Any, **options: Any) -> requests.Response:
        """Post a delivery."""
        return requests.post(f"{self.url}alerts/{source}", data=body, timeout=30, **options)

    def get(self, path: str) -> requests.Response:
        """Ask for a page, with the token."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return requests.get(f"{self.url}{path}", headers=headers, timeout=30)

    def metric(self, name: str) -> float:
        """The value of a metric that has no labels."""
        lines = self.get("metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def handled(desk: Desk, since: Progress, **how: Any) -> Progress:
    """How far it is when the next kept deliveries are alerts, and the log says so."""
    return intake.mark(desk, intake.handle_next(desk, since, **how))


@contextmanager
def serving(workspace: Path, **limits: int) -> Iterator[Served]:
    """A server in a thread of this process, ended afterwards; ``limits`` are those of server_at."""
    settings = load_settings(workspace)
    settings = _on_a_free_port(settings)
    bound = server.bound_socket(settings)
    with _running(server.server_at(settings, bound, TOKEN, **limits), bound) as served:
        yield served


@contextmanager
def answering(app: Any) -> Iterator[Served]:
    """Any ASGI application on a free port, in a thread of this process, ended afterwards."""
    config = uvicorn.Config(app, port=0, lifespan="off", ws="none", log_config=None)
    bound = socket.create_server(("127.0.0.1", 0))
    with _running(uvicorn.Server(config), bound) as served:
        yield served


@contextmanager
def _running(one: uvicorn.Server, bound: socket.socket) -> Iterator[Served]:
    thread = Thread(target=one.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        until(lambda: one.started or not thread.is_alive())
        yield Served(server.address_of(bound))
    finally:
        one.should_exit = True
        thread.join(20)
        bound.close()
        assert not thread.is_alive(), "the server did not end"


def _on_a_free_port(settings: Any) -> Any:
    from dataclasses import replace

    return replace(settings, serve=replace(settings.serve, port=0))


class ServeProcess(Served):
    """``imt serve`` as a process of its own."""

    def __init__(self, workspace: Path, *words: str, program: Sequence[str] = IMT) -> None:
        self.err = workspace / "serve.err"
        with self.err.open("w") as err:
            self.process = subprocess.Popen(
                [*program, "serve", "--port", "0", "--json", *words],
                cwd=workspace,
                env={**os.environ},
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            )
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if line.rstrip() == "}":
                break
        assert said, self.err.read_text()
        super().__init__(json.loads(said)["url"])
        until(self._answers, 30)

    def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal, and wait; the process's exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        assert self.process.stdout is not None
        code = self.process.wait(20)
        self.process.stdout.close()
        return code

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}healthz", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False


@contextmanager
def serve_process(
    workspace: Path, *words: str, program: Sequence[str] = IMT
) -> Iterator[ServeProcess]:
    """``imt serve`` as a process, ended afterwards; ``program`` is what runs as ``imt``."""
    one = ServeProcess(workspace, *words, program=program)
    try:
        yield one
    finally:
        one.end()
