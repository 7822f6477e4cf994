"""One small client that does not lose, leak or double a message."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from imtkit.errors import ServiceDownError, ServiceError
from imtkit.statuspage import _locks
from imtkit.statuspage._http import Reply, Request, Wire, WireError, sender
from imtkit.statuspage._wording import cleaned

_LONGEST_WAIT_SECONDS = 30.0
_LIMITED = (420, 429)

Fields = dict[str, Any]
"""A JSON object as a service answers it."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose page, where, and by which secret; ``label`` is how errors name it."""

    label: str
    base: str
    token: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    pace_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Call:
    """What is asked for; ``doing`` says it in words, for errors."""

    method: str
    path: str
    doing: str
    body: Fields | None = None
    landed: Callable[[], Fields | None] | None = None


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why there is no usable answer. ``wait`` is what the service asked for, in seconds."""

    error: ServiceError
    cause: Exception | None = None
    is_unclear: bool = False
    wait: float | None = None


class Client:
    """Speaks JSON with one service on behalf of one page."""

    def __init__(self, account: Account, wire: Wire) -> None:
        self._account = account
        self._wire = wire
        pace = account.pace_seconds if wire.pace_seconds is None else wire.pace_seconds
        secret = f"{urlsplit(account.base).netloc} {account.token}"
        self._folder = wire.state
        self._id = sha256(secret.encode()).hexdigest()[:16]
        self._pace = pace
        self._next_at = 0.0

    def read(
        self, path: str, query: Mapping[str, str | int] | None = None, *, doing: str
    ) -> Fields:
        """The JSON object that the service answers to a GET; repeated when that may help."""
        return self._fields(self._call(_Call("GET", _target(path, query), doing)), doing)

    def rows(
        self, path: str, query: Mapping[str, str | int] | None = None, *, doing: str
    ) -> list[Fields]:
        """The JSON objects of a list that the service answers to a GET."""
        answer = self._call(_Call("GET", _target(path, query), doing))
        if not isinstance(answer, list):
            raise self.surprise(doing)
        return [self._fields(row, doing) for row in answer]

    def put(self, method: str, path: str, body: Fields, *, doing: str) -> Fields:
        """The answer to a request that does the same however often it is sent."""
        return self._fields(self._call(_Call(method, path, doing, body)), doing)

    def add(
        self,
        method: str,
        path: str,
        body: Fields,
        *,
        doing: str,
        landed: Callable[[], Fields | None],
    ) -> Fields:
        """The answer to a request that must not take effect twice.

        When it may have been taken without an answer, ``landed`` looks for what it made: that
        is returned if it is there, and only otherwise is the request sent again.
        """
        return self._fields(self._call(_Call(method, path, doing, body, landed)), doing)

    def alone(self) -> AbstractContextManager[None]:
        """No other process of this machine publishes with the same token meanwhile."""
        if self._folder is None:
            return nullcontext()
        return _locks.held(
            self._folder / f"{self._id}.publishing",
            page=self._account.label,
            patience_seconds=300.0,
            sleep=self._wire.sleep,
        )

    def _call(self, call: _Call) -> object:
        for attempt in count(1):
            answer = self._once(call)
            if not isinstance(answer, _Trouble):
                return answer
            may_repeat = (
                attempt < self._wire.attempts
                and answer.error.retryable
                and (answer.wait or 0.0) <= _LONGEST_WAIT_SECONDS
            )
            must_look = answer.is_unclear and call.landed is not None
            if may_repeat or must_look:
                self._rest(attempt, answer)
            found = _look(call.landed, answer) if must_look and call.landed else None
            if found is not None:
                return found
            if not may_repeat:
                raise answer.error from answer.cause
        raise AssertionError("counting has no end")

    def _rest(self, attempt: int, trouble: _Trouble) -> None:
        backoff = min(0.5 * 2 ** (attempt - 1), 8.0) * (0.5 + self._wire.chance())
        seconds = max(backoff, trouble.wait or 0.0)
        self._wire.sleep(min(seconds, _LONGEST_WAIT_SECONDS + 1.0))

    def _once(self, call: _Call) -> object | _Trouble:
        headers = {"Accept": "application/json", "User-Agent": "imtkit", **self._account.headers}
        content = None
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(call.body, allow_nan=False).encode()
        # Whatever is slow the first time comes before the pace, or it would come between.
        send = self._wire.send or sender()
        self._keep_pace()
        request = Request(call.method, self._account.base + call.path, headers, content)
        try:
            reply = send(request, self._wire)
        except WireError as error:
            return self._no_answer(error, call.doing)
        return self._read_reply(reply, call.doing)

    def _no_answer(self, error: WireError, doing: str) -> _Trouble:
        message = self._message(doing, f"failed: {error}")
        if not error.is_passing:
            hint = f"Check the page's url in imt.toml, and whether {self._host} is reachable."
            return _Trouble(ServiceError(message, hint=hint), error, error.is_unclear)
        hint = f"Check that {self._host} can be reached from here, then publish it again."
        down = ServiceDownError(message, hint=hint, retryable=True)
        return _Trouble(down, error, error.is_unclear)

    def _read_reply(self, reply: Reply, doing: str) -> object | _Trouble:
        if 200 <= reply.status < 300:
            return self._parsed(reply, doing)
        message = self._message(doing, f"was answered with {reply.status}{self._words(reply)}")
        wait = _retry_after(reply.headers.get("retry-after", ""), self._wire.clock())
        if reply.status in _LIMITED:
            hint = f"It asks to come back {f'in {wait:.0f} s' if wait else 'later'}: try then."
            return _Trouble(ServiceDownError(message, hint=hint, retryable=True), wait=wait)
        if reply.status >= 500 or reply.status == 408:
            hint = "The service is in trouble itself: publish it again in some minutes."
            down = ServiceDownError(message, hint=hint, retryable=True)
            return _Trouble(down, is_unclear=True, wait=wait)
        return _Trouble(ServiceError(message, hint=self._hint(reply)))

    def _parsed(self, reply: Reply, doing: str) -> object | _Trouble:
        if not reply.body.strip():
            return {}
        try:
            answer: object = json.loads(reply.body)
        except ValueError as error:
            kind = "a web page" if b"<" in reply.body[:200] else "something"
            message = self._message(
                doing, f"was answered with {reply.status} and {kind} that is not JSON"
            )
            hint = (
                f"Check the page's url in imt.toml: {self._account.base} may be a login page, "
                "a proxy, or not the address of the API."
            )
            return _Trouble(ServiceError(message, hint=hint), error, is_unclear=True)
        return answer

    def _fields(self, answer: object, doing: str) -> Fields:
        if not isinstance(answer, dict):
            raise self.surprise(doing)
        return answer

    def surprise(self, doing: str) -> ServiceError:
        """The error for an answer that is JSON, but not what this service says."""
        return ServiceError(
            self._message(doing, "was answered with JSON of another shape than expected"),
            hint=f"Check the page's url in imt.toml: {self._account.base} may be another service.",
        )

    def _hint(self, reply: Reply) -> str:
        if 300 <= reply.status < 400:
            target = urlsplit(reply.headers.get("location", "")).netloc or "another address"
            return f"It redirects to {target}, which is not followed: put it in imt.toml if right."
        return {
            401: "The token is not accepted: check the secret that imt.toml names for this page.",
            403: "The token may not do that: give it the right to manage incidents (and for "
            "their states, components), or use another.",
            404: "Check the page's url and component ids in imt.toml; an incident that was "
            "deleted there must be published anew.",
            422: "Mend what it names and publish again.",
        }.get(reply.status, "Check the page's url in imt.toml and what the service says.")

    @staticmethod
    def _words(reply: Reply) -> str:
        """What the service says of its refusal, in one short line."""
        try:
            told = json.loads(reply.body)
        except ValueError:
            return ""
        if not isinstance(told, dict):
            return ""
        said = told.get("error") or told.get("errors") or told.get("message") or ""
        text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        line = " ".join(cleaned(text).split())
        return f": {line[:300]}" if line else ""

    def _message(self, doing: str, what: str) -> str:
        text = f"Status page {self._account.label}: {doing} {what}."
        return text.replace(self._account.token, "[token]") if self._account.token else text

    @property
    def _host(self) -> str:
        return urlsplit(self._account.base).netloc

    def _keep_pace(self) -> None:
        """Wait for this token's next free moment, which all processes share by a file."""
        if self._pace <= 0:
            return
        now = self._wire.clock()
        if self._folder is None:
            moment = max(now, self._next_at)
            self._next_at = moment + self._pace
        else:
            moment = self._reserve(self._folder / f"{self._id}.pace", now)
        if moment > now:
            self._wire.sleep(moment - now)

    def _reserve(self, path: Path, now: float) -> float:
        with _locks.held(
            path.with_suffix(".lock"), page=self._account.label, sleep=self._wire.sleep
        ):
            try:
                free_at = float(path.read_text(encoding="ascii"))
            except (OSError, ValueError):
                free_at = 0.0
            # A clock that was set back must not stop the page for hours.
            moment = max(now, free_at) if free_at < now + 120.0 else now
            path.write_text(repr(moment + self._pace), encoding="ascii")
        return moment


def _target(path: str, query: Mapping[str, str | int] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _look(landed: Callable[[], Fields | None], trouble: _Trouble) -> Fields | None:
    try:
        return landed()
    except ServiceError as error:
        raise ServiceDownError(
            f"{trouble.error} Whether it was taken could not be seen: {error}",
            hint="Publish it again later: what is already there is looked for first.",
            retryable=True,
        ) from error


def _retry_after(text: str, now: float) -> float | None:
    """Seconds from now that a Retry-After header asks for, in either of its forms (RFC 9110)."""
    if text.strip().isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.fromtimestamp(now, UTC)).total_seconds())
