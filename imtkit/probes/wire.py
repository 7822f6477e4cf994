"""One HTTP exchange on a fresh connection, with each phase timed apart.

The usual client libraries hide the phases, so this stands on ``socket``, ``ssl`` and
``http.client``. Proxies of the environment are not used: the service itself is measured.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Literal
from urllib.parse import urljoin

from imtkit.errors import InputError
from imtkit.probes.failures import failure_of
from imtkit.probes.sockets import Place, address_text, connect, context_of, left, place_of, resolve

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

Phase = Literal["dns", "connect", "tls", "first_byte", "body"]
PHASES: tuple[Phase, ...] = ("dns", "connect", "tls", "first_byte", "body")

_REDIRECTS = (301, 302, 303, 307, 308)
_PRIVATE_HEADERS = ("authorization", "cookie")


@dataclass(frozen=True, slots=True)
class Target:
    """What to ask for, and what counts as a right answer.

    ``expect`` names statuses that are right although they are 4xx or 5xx (401 of a service
    that wants a login, say). ``follow`` is how many redirects are followed at most. ``verify``
    off looks behind a certificate that is wrong. ``ca_file`` holds further trusted
    certificates (PEM). Of the body no more than ``most_bytes`` are read.
    InputError when the URL is not http or https or holds a password, or when the method or a
    header cannot be sent.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: tuple[int, ...] = ()
    follow: int = 0
    verify: bool = True
    ca_file: str = ""
    most_bytes: int = 10_000_000

    def __post_init__(self) -> None:
        place_of(self.url)
        texts = [self.method, *self.headers, *self.headers.values()]
        if not self.method.isalpha() or not all(text.isprintable() for text in texts):
            raise InputError(f"Method or headers of the request to {self.url} cannot be sent.")


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when (aware UTC), what each phase took in seconds, and how it ended.

    A phase that was not reached is None; the one it failed in holds the time spent waiting.
    ``error`` is empty when an answer came whole, else one of dns, refused, unreachable,
    timeout, tls, torn, protocol; ``phase`` is where that happened and ``reason`` why.
    """

    at: datetime
    url: str
    address: str = ""
    status: int | None = None
    size: int = 0
    dns_seconds: float | None = None
    connect_seconds: float | None = None
    tls_seconds: float | None = None
    first_byte_seconds: float | None = None
    body_seconds: float | None = None
    total_seconds: float = 0.0
    error: str = ""
    phase: str = ""
    reason: str = ""
    location: str = ""
    is_expected: bool = False

    def seconds(self, phase: Phase) -> float | None:
        """What one phase took; None when it was not reached."""
        value: float | None = getattr(self, f"{phase}_seconds")
        return value

    @property
    def kind(self) -> str:
        """'ok', 'redirect', '4xx', '5xx', or the error."""
        if self.error or self.status is None:
            return self.error
        if self.is_expected or self.status < 300:
            return "ok"
        return "redirect" if self.status < 400 else f"{self.status // 100}xx"

    @property
    def is_failure(self) -> bool:
        """Whether somebody who asked this would call it failed."""
        return self.kind not in ("ok", "redirect")


@dataclass(frozen=True, slots=True)
class Answer:
    """A sample with what came back: headers (lower case names) and the body as far as read."""

    sample: Sample
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def exchange(
    target: Target, *, timeout_seconds: float, context: ssl.SSLContext | None = None
) -> Answer:
    """Ask once. Whatever goes wrong on the way is in the sample; nothing is raised for it.

    ``context`` saves making a TLS context of the target for each of many requests.
    """
    context = context or context_of(verify=target.verify, ca_file=target.ca_file)
    began_at = datetime.now(UTC)
    attempt = _Attempt(target, perf_counter() + timeout_seconds, context)
    try:
        attempt.run()
    except (OSError, http.client.HTTPException) as exc:
        attempt.error, attempt.reason = failure_of(exc, attempt.phase)
    took = attempt.seconds
    sample = Sample(
        at=began_at,
        url=attempt.url,
        address=attempt.address,
        status=attempt.status,
        size=len(attempt.body),
        dns_seconds=took.get("dns"),
        connect_seconds=took.get("connect"),
        tls_seconds=took.get("tls"),
        first_byte_seconds=took.get("first_byte"),
        body_seconds=took.get("body"),
        total_seconds=sum(took.values()),
        error=attempt.error,
        phase=attempt.phase if attempt.error else "",
        reason=attempt.reason,
        location=attempt.location,
        is_expected=attempt.status in target.expect,
    )
    return Answer(sample, attempt.headers, bytes(attempt.body))


class _Attempt:
    """An exchange under way: which phase it is in, and what each has taken so far."""

    def __init__(self, target: Target, deadline: float, context: ssl.SSLContext) -> None:
        self.target = target
        self.deadline = deadline
        self.context = context
        self.url = target.url
        self.seconds: dict[str, float] = {}
        self.phase: Phase = "dns"
        self.address = self.location = self.error = self.reason = ""
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    def run(self) -> None:
        """The exchange, and as many redirects as may be followed."""
        headers = dict(self.target.headers)
        for hop in range(self.target.follow + 1):
            place = place_of(self.url)
            with self._connection(place) as sock:
                self._ask(place, sock, headers)
            if not self.location or hop == self.target.follow:
                return
            headers = self._redirected(place, headers)

    @contextmanager
    def _connection(self, place: Place) -> Iterator[socket.socket]:
        with self._timing("dns"):
            found = resolve(place, self.deadline)
        self.address = address_text(found[0])
        with self._timing("connect"):
            sock, self.address = connect(found, self.deadline)
        with sock:
            if place.scheme == "http":
                yield sock
                return
            with self._timing("tls"):
                sock.settimeout(left(self.deadline))
                secured = self.context.wrap_socket(sock, server_hostname=place.host)
            with secured:
                yield secured

    def _redirected(self, old: Place, headers: dict[str, str]) -> dict[str, str]:
        """Go where the answer points; what was meant for one host only stays with it."""
        try:
            new = place_of(self.location)
        except InputError as exc:
            raise http.client.HTTPException(f"redirect to an unusable address: {exc}") from exc
        self.url, self.location, self.status = self.location, "", None
        self.body.clear()
        if (new.scheme, new.host, new.port) == (old.scheme, old.host, old.port):
            return headers
        return {k: v for k, v in headers.items() if k.lower() not in _PRIVATE_HEADERS}

    def _ask(self, place: Place, sock: socket.socket, headers: Mapping[str, str]) -> None:
        wire = _Wire(sock, self.deadline)
        asking = http.client.HTTPConnection(place.host, place.port)
        asking.default_port = 443 if place.scheme == "https" else 80  # for the Host header
        asking.sock = wire  # as much of a socket as it uses
        began = perf_counter()
        self.phase = "first_byte"
        try:
            asking.request(
                self.target.method,
                place.path,
                headers={"User-Agent": "imtkit-probe", "Connection": "close", **headers},
            )
            answer = asking.getresponse()
            self.status = answer.status
            self.headers = {name.lower(): value for name, value in answer.getheaders()}
            if answer.status in _REDIRECTS and "location" in self.headers:
                self.location = urljoin(self.url, self.headers["location"])
            self.phase = "body"
            self._read(answer)
        finally:
            first = wire.reader.first_at or perf_counter()
            self._add("first_byte", first - began)
            if wire.reader.first_at is not None:
                self.phase = "body"
                self._add("body", perf_counter() - first)

    def _read(self, answer: http.client.HTTPResponse) -> None:
        declared = answer.length
        while len(self.body) < self.target.most_bytes:
            piece = answer.read1(65536)
            if not piece:
                break
            self.body += piece
        else:
            return
        if declared is not None and len(self.body) < declared:
            raise http.client.IncompleteRead(bytes(self.body), declared - len(self.body))

    @contextmanager
    def _timing(self, phase: Phase) -> Iterator[None]:
        self.phase = phase
        began = perf_counter()
        try:
            yield
        finally:
            self._add(phase, perf_counter() - began)

    def _add(self, phase: Phase, seconds: float) -> None:
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds


class _Wire:
    """A socket as http.client wants it; the caller closes what is under it."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline
        self.reader = _Reader(sock, deadline)

    def sendall(self, data: bytes) -> None:
        self.sock.settimeout(left(self.deadline))
        self.sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self.reader)

    def close(self) -> None:
        return


class _Reader(io.RawIOBase):
    """Bytes of a socket until a deadline, with the moment of the first one."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline
        self.first_at: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        self.sock.settimeout(left(self.deadline))
        got = self.sock.recv_into(buffer)
        if got and self.first_at is None:
            self.first_at = perf_counter()
        return got
