"""How the terminal finds the workspace's Jupyter Server, and has it carry out runs.

A server says where it is in ``outputs/.running/server-<process>.json``, which only its user may
read; the name tells its process from any other on any machine, for outputs may be shared. This
module needs the standard library alone: a command that hands its run to a server loads nothing
heavy.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from imtkit import errors
from imtkit.config import Settings
from imtkit.errors import ImtkitError, RunError
from imtkit.runs import lease as leases
from imtkit.runs.lease import Process, this_process

_API = "imtkit/api/"


@dataclass(frozen=True, slots=True)
class Server:
    """A Jupyter Server of this workspace, on this machine.

    ``python`` is its interpreter, ``log`` tells its log from others (a hash of its address).
    """

    url: str
    token: str
    process: Process
    python: str
    log: str

    @property
    def home(self) -> str:
        """The address at which a person opens JupyterLab, with the token."""
        return f"{self.url}lab{self._key}"

    def page(self, path: str) -> str:
        """The address at which a person opens a notebook of the workspace, with the token."""
        return f"{self.url}lab/tree/{quote(path)}{self._key}"

    @property
    def _key(self) -> str:
        return f"?token={self.token}" if self.token else ""


def announce(settings: Settings, url: str, token: str) -> Path:
    """Say that this process serves the workspace; the file that says so."""
    folder = settings.leases
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    server = Server(url, token, this_process(), sys.executable, _log(settings))
    path = record_of(settings, server.process)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 # only this way is it never readable by others
        json.dump(asdict(server), file)
    part.replace(path)
    return path


def record_of(settings: Settings, process: Process) -> Path:
    """The file in which a process says that it serves the workspace, if it does."""
    return settings.leases / f"server-{process.name}.json"


def read(record: Path) -> Server:
    """The server that a file tells of.

    OSError when there is none; ValueError, KeyError or TypeError when it tells of none.
    """
    told = json.loads(record.read_text(encoding="utf-8"))
    return Server(**{**told, "process": Process(**told["process"])})


def withdraw(record: Path) -> None:
    """Say no longer that a server is there."""
    record.unlink(missing_ok=True)


def server_of(settings: Settings, run: str = "") -> Server | None:
    """The newest living server of this workspace, with this very Python and log; else None.

    Those of other machines, which shared outputs may name, listen on loopback there. With a
    run's id, the one that holds the run and its kernel.
    """
    found = []
    holder = leases.runner_of(settings.leases, run) if run else None
    here = (this_process().host, sys.executable, _log(settings))
    for path in settings.leases.glob("server-*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            server = read(path)
            if server.process.is_gone:
                path.unlink(missing_ok=True)
            elif (server.process.host, server.python, server.log) == here and server.token:
                found.append((path.stat().st_mtime_ns, server))
    if run:
        found = [one for one in found if one[1].process == holder]
    return max(found, key=lambda one: one[0])[1] if found else None


def ask(
    server: Server, method: str, path: str, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the server answers; its errors are ours again, RunError when it cannot be reached."""
    with _answer(server, _asked(server, method, path, body, seconds=60)) as response:
        told: dict[str, Any] = json.loads(response.read())
        return told


def follow(server: Server, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What the server tells of a run, line by line, until the run ends; errors as in ``ask``.

    When this returns the server has been asked: it works while the caller prepares to listen.
    """
    return _followed(server, _asked(server, "POST", path, body, seconds=None))


def _followed(server: Server, connection: http.client.HTTPConnection) -> Iterator[dict[str, Any]]:
    is_over = False
    with _answer(server, connection) as response:
        for told in _lines(response):
            if "error" in told:
                raise error_of(told["error"])
            is_over = is_over or "run" in told
            yield told
    if not is_over:
        raise RunError(
            f"The Jupyter server at {server.url} broke off before the run's end.",
            hint="How the run stands: imt runs list",
        )


def _lines(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """The lines of an answer, until it ends, or breaks off because the server died."""
    with suppress(OSError, http.client.HTTPException, ValueError):
        while line := response.readline():
            yield json.loads(line)


def _asked(
    server: Server,
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    *,
    seconds: float | None,
) -> http.client.HTTPConnection:
    """A connection on which the server was asked something."""
    where = urlsplit(server.url)
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = kind(where.hostname or "", where.port, timeout=seconds)
    headers = {
        "Authorization": f"token {server.token}",
        "Connection": "close",  # else the socket is left to the garbage collector
        "Content-Type": "application/json",
    }
    with _reaching(server):
        connection.request(
            method, f"{where.path}{_API}{path}", json.dumps(body) if body else None, headers
        )
    return connection


def _answer(server: Server, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    with _reaching(server):
        response = connection.getresponse()
    if response.status >= 400:
        raise error_of(_told(response))
    return response


@contextmanager
def _reaching(server: Server) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"The Jupyter server at {server.url} cannot be reached: {error}.",
            hint="imt runs list tells how runs stand.",
            retryable=True,
        ) from error


def _told(response: http.client.HTTPResponse) -> dict[str, Any]:
    with suppress(ValueError):
        told = json.loads(response.read())
        if isinstance(told, dict):
            return told
    return {"message": f"The Jupyter server answered {response.status} {response.reason}."}


def error_of(told: Mapping[str, Any]) -> ImtkitError:
    """The error of a message {"kind", "message", "hint"}, as if it had been met here."""
    kind = getattr(errors, str(told.get("kind", "")), RunError)
    if not (isinstance(kind, type) and issubclass(kind, ImtkitError)):
        kind = RunError
    return kind(str(told.get("message", "")), hint=str(told.get("hint", "")))


def _log(settings: Settings) -> str:
    return hashlib.sha256(settings.store_url.encode()).hexdigest()[:16]
