"""``POST /alerts/NAME``: what senders post is kept, and only then answered.

202 once it is on disk, also when it was before; 400, 401, 404, 413 for what will not do
however often it is sent; 503 with Retry-After for all else. Never 408 or 429: Alertmanager gives
up on both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from imtkit.config import Settings
from imtkit.config.alerts import SourceSettings
from imtkit.errors import ImtkitError, InputError, NotFoundError, SignatureError
from imtkit.kit import intake
from imtkit.kit.intake import Posted
from imtkit.model.words import one_line
from imtkit.web.bodies import RETRY, Room, SlowBodyError, body_of, read_the_rest
from imtkit.web.metrics import Metrics
from imtkit.web.writer import Writer

log = logging.getLogger(__name__)

KEEP_SECONDS = 4.0
"""How long a sender is kept waiting for the log: PagerDuty gives up after five seconds."""

_TELL_SECONDS = 10.0
"""How often a source's refusals of one kind are logged, at most."""

_QUICK = 16_384
"""Bytes that are read in a few milliseconds, whatever stands in them. What Amazon signs is not: its
certificate may have to be fetched.
"""

_HANDS = 4
_OUTCOMES: Mapping[int, str] = {
    202: "kept",
    400: "unreadable",
    401: "unproven",
    404: "unknown",
    413: "too large",
    503: "later",
}


_HINTS: Mapping[int, str] = {
    413: "Have the sender group fewer alerts, or raise most_body_mb in imt.toml ([serve]).",
    503: "Send it again in a few seconds; what was kept meanwhile is not kept twice.",
}


class Receiver:
    """Takes deliveries in, as fast as ``writer`` keeps them.

    ``certificates`` gives those of Amazon, ``confirm`` tells it that a subscription is wanted.
    """

    def __init__(
        self,
        settings: Settings,
        writer: Writer,
        metrics: Metrics,
        *,
        certificates: intake.Certificates | None = None,
        confirm: Callable[[SourceSettings, Posted], None] = intake.confirm,
    ) -> None:
        self._sources = settings.alerts.sources
        self._silences = intake.silences_of(settings)
        self._most_body = settings.serve.most_body_mb * 10**6
        self._room = Room(max(8 * self._most_body, 64 * 10**6))
        self._writer, self._metrics = writer, metrics
        self._hands = ThreadPoolExecutor(_HANDS, thread_name_prefix="imt-read")
        self._certificates = certificates or intake.Certificates()
        self._confirm = confirm
        self._told: dict[tuple[str, int], float] = {}

    def start(self) -> None:
        """Load what reading takes, so that the first delivery need not wait for it."""
        for source in self._sources.values():
            self._hands.submit(_rehearsed, source)

    async def take(self, request: Request) -> Response:
        """The answer to one delivery."""
        began_at = time.monotonic()
        source = self._sources.get(request.path_params["source"])
        name = source.name if source else ""
        is_slow = False
        try:
            answer = await self._taken(request, source)
        except ClientDisconnect:
            answer = _answer(400, "The sender went away while it sent.")
        except HTTPException as error:
            is_slow = isinstance(error, SlowBodyError)
            hint = _HINTS.get(error.status_code, "")
            answer = _answer(error.status_code, error.detail, hint, headers=error.headers)
        except ImtkitError as error:
            answer = self._said(error, name)
        except Exception:  # the outermost frame: a fault of ours must not lose an alert
            log.exception("/alerts/%s: a delivery could not be taken in.", name)
            answer = _later()
        if answer.status_code != 202:
            self._tell(name, answer)
            if not is_slow:
                await read_the_rest(request, most=2 * self._most_body)
        outcome = _OUTCOMES.get(answer.status_code, str(answer.status_code))
        self._metrics.answered(name, "slow" if is_slow else outcome, time.monotonic() - began_at)
        return answer

    def close(self) -> None:
        """Let go of the threads."""
        self._hands.shutdown(wait=False, cancel_futures=True)

    async def _taken(self, request: Request, source: SourceSettings | None) -> Response:
        """Read, prove, parse, keep: in this order, so that strangers cost the least."""
        if source is None:
            asked = request.path_params["source"]
            raise NotFoundError.of("Alert source", asked, (), see="[alerts.sources] in imt.toml")
        now = datetime.now(UTC)
        if source.proof == "bearer":
            intake.prove(source, request.headers, b"", now=now)
        async with body_of(request, most=self._most_body, room=self._room) as body:
            posted = await self._read(source, request.headers, body, now)
            if posted.confirm:
                return await self._confirmed(source, posted)
            return await self._kept(posted)

    async def _read(
        self, source: SourceSettings, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Posted:
        """What was posted; where that may take a while it is found out beside the event loop."""

        def read() -> Posted:
            return intake.read(
                source,
                headers,
                body,
                now=now,
                certificates=self._certificates,
                silences=self._silences,
            )

        if len(body) <= _QUICK and source.kind != "sns":
            return read()  # sooner done than handed over
        return await asyncio.get_running_loop().run_in_executor(self._hands, read)

    async def _kept(self, posted: Posted) -> Response:
        kept = self._writer.offer(posted)
        if kept is None:
            raise HTTPException(503, "Too many deliveries wait to be kept.", RETRY)
        kept.add_done_callback(lambda one: one.cancelled() or one.exception())  # it may come late
        await asyncio.wait((kept,), timeout=KEEP_SECONDS)
        if not kept.done():
            raise HTTPException(503, "The log takes too long.", RETRY)
        place = kept.result()
        return JSONResponse({"delivery": place}, 202)

    async def _confirmed(self, source: SourceSettings, posted: Posted) -> Response:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._hands, self._confirm, source, posted)
        return JSONResponse({"confirmed": posted.topic}, 202)

    def _said(self, error: ImtkitError, name: str) -> Response:
        """What a sender is told of an error: of its own faults all, of ours that they are ours."""
        match error:
            case SignatureError():
                headers = {"WWW-Authenticate": 'Bearer, Basic realm="imtkit"'}
                return _answer(401, str(error), error.hint, headers=headers)
            case NotFoundError():
                return _answer(404, str(error), error.hint)
            case InputError():
                return _answer(400, str(error), error.hint)
        if self._may_tell(name, 500):
            log.error("/alerts/%s: %s %s", name, error, error.hint)
        return _later()

    def _tell(self, name: str, answer: Response) -> None:
        if self._may_tell(name, answer.status_code):
            said = one_line(bytes(answer.body).decode(), most=300)
            log.warning("/alerts/%s: %d %s", name or "…", answer.status_code, said)

    def _may_tell(self, name: str, status: int) -> bool:
        """Whether this was not said just now: a flood of requests must be none of lines."""
        now = time.monotonic()
        if now - self._told.get((name, status), -_TELL_SECONDS) < _TELL_SECONDS:
            return False
        self._told[name, status] = now
        return True


def _rehearsed(source: SourceSettings) -> None:
    with suppress(ImtkitError):
        intake.parse(source, b"{}", now=datetime.now(UTC))


def _later() -> Response:
    """What a sender is told of our own faults: nothing but to try again."""
    return _answer(503, "It cannot be kept at the moment.", "Send it again.", headers=RETRY)


def _answer(
    status: int, error: str, hint: str = "", *, headers: Mapping[str, str] | None = None
) -> Response:
    """A refusal. The connection ends with it: what is left of a body must not be awaited."""
    said = {"error": one_line(error, most=500), "hint": one_line(hint, most=500)}
    return JSONResponse(said, status, {**(headers or {}), "Connection": "close"})
