"""The ASGI application of ``imt serve``: alerts in, health, metrics, pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imtkit.config import Settings
from imtkit.contracts import Query
from imtkit.errors import ConfigError, StoreError
from imtkit.kit import Desk, requests
from imtkit.kit.outputs import SENDER
from imtkit.kit.sender import Sender
from imtkit.model.lifecycle import GOING_ON
from imtkit.runs.queue import Queue
from imtkit.web import astray, entrance, pages
from imtkit.web.bodies import RETRY
from imtkit.web.consumer import Consumer
from imtkit.web.metrics import Metrics
from imtkit.web.office import Office
from imtkit.web.probe import Probe
from imtkit.web.receiver import Receiver
from imtkit.web.writer import Writer

_LAST = {"Connection": "close"}
_STORE_SECONDS = 3.0
"""How long the log may take to answer whoever asks whether it does."""

_PROBED_SECONDS = 2.0
"""How long it is known whether the log takes entries: anybody may ask, as often as they like."""

_FAULT_SECONDS = 3.0
"""How long a fault that kept something from being stored counts, whatever a probe says."""

_ENDING_SECONDS = 1.2
"""How long each of the threads has to end what it does."""


@dataclass(slots=True)
class House:
    """What is behind the addresses: one log, who writes to it, who works through it."""

    settings: Settings
    office: Office = field(init=False)
    metrics: Metrics = field(init=False)
    writer: Writer = field(init=False)
    queue: Queue | None = field(init=False)
    consumer: Consumer = field(init=False)
    receiver: Receiver = field(init=False)
    sender: Sender = field(init=False)
    probe: Probe = field(init=False)

    def __post_init__(self) -> None:
        serve = self.settings.serve
        self.office = Office(self.settings)
        self.metrics = Metrics()
        self.queue = _queue(self.settings)
        self.consumer = Consumer(self.office, self.metrics, self.queue)
        self.writer = Writer(
            self.office,
            self.metrics,
            most=serve.most_waiting,
            most_bytes=max(8 * serve.most_body_mb, 64) * 10**6,
            on_kept=self.consumer.wake,
        )
        self.receiver = Receiver(self.settings, self.writer, self.metrics)
        self.sender = Sender(lambda task: self.office.now(task, actor=SENDER))
        self.probe = Probe(self.office, patience=_STORE_SECONDS)

    def start(self) -> None:
        """Begin to keep, and to work through what is kept."""
        self.writer.start()
        self.consumer.start()
        self.receiver.start()
        self.sender.start(self.settings)  # records that are built here

    def close(self) -> None:
        """Keep what was accepted, and let go of everything."""
        self.receiver.close()
        self.probe.close()
        self.writer.close(_ENDING_SECONDS)
        self.consumer.close(_ENDING_SECONDS)
        self.sender.stop(_ENDING_SECONDS)
        if self.queue is not None:
            self.queue.close()
        self.office.close()


def application(settings: Settings, token: str) -> Starlette:
    """The application for a workspace; its threads begin and end with it.

    ``token`` opens all but what machines ask for: alerts, health.
    """
    house = House(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        house.start()
        try:
            yield
        finally:
            await asyncio.to_thread(house.close)

    health = Health(house)
    return Starlette(
        routes=[
            Route("/alerts/{source}", house.receiver.take, methods=["POST"]),
            Route("/healthz", health.lives),
            Route("/readyz", health.ready),
            Route("/metrics", health.metrics),
            *pages.routes(house.office),
        ],
        middleware=[
            Middleware(Farewell),
            Middleware(entrance.Entrance, settings=settings, token=token),
        ],
        exception_handlers=astray.handlers(),
        lifespan=lifespan,
    )


class Farewell:
    """Answers 503 for what the server's end cuts short: whoever asked may ask its successor."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_begun = False

        async def noted(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:  # uvicorn cancels at its end alone, and awaits nothing then
            if scope["type"] == "http" and not is_begun:
                answer = PlainTextResponse("The server ends.\n", 503, {**RETRY, **_LAST})
                await answer(scope, receive, send)


class Health:
    """How the server is, for machines that watch it."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._probing = asyncio.Lock()
        self._probed_at, self._fault = float("-inf"), ""

    async def lives(self, _: Request) -> Response:
        """The process lives and answers."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """200 while alerts can be kept and become incidents; else 503. Says how far behind it is,
        which alone is no reason to send alerts elsewhere.
        """
        house = self._house
        consumer = house.consumer.state
        store = await self._store_fault()
        is_ready = not store and consumer.is_well and house.writer.is_alive
        said = {
            "status": "ready" if is_ready else "not ready",
            "store": store or "ok",
            "consumer": consumer.fault or ("ok" if consumer.is_alive else "ended"),
            "waiting": house.writer.waiting,
            "unhandled": consumer.unhandled,
            "lag_seconds": round(consumer.lag, 3),
        }
        return JSONResponse(said, 200 if is_ready else 503)

    async def metrics(self, request: Request) -> Response:
        """Everything counted, as OpenMetrics text."""
        house = self._house
        consumer = house.consumer.state
        now: dict[str, float] = {
            "waiting": house.writer.waiting,
            "unhandled": consumer.unhandled,
            "lag": consumer.lag,
            "faults": consumer.faults,
        }
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                now |= await house.office.work(_from_log, actor="")
        except (StoreError, TimeoutError):
            pass  # unknown is shown as NaN: what is counted here must be seen all the same
        text, media_type = house.metrics.text(now, request.headers.get("accept", ""))
        return Response(text, media_type=media_type)

    async def _store_fault(self) -> str:
        """Why the log takes no entries: what its writers just met, else what a probe meets."""
        async with self._probing:
            if time.monotonic() - self._probed_at > _PROBED_SECONDS:
                self._fault = await self._house.probe.fault()
                self._probed_at = time.monotonic()
            return self._house.office.fault_within(_FAULT_SECONDS) or self._fault


def _from_log(desk: Desk) -> Mapping[str, float]:
    query = Query(statuses=GOING_ON, modes=("live",), limit=100_000)
    runs = [run.status for run in desk.store.runs((*GOING_ON, "resolved"))]
    return {
        "incidents": len(desk.store.incidents(query)),
        "queued": runs.count("queued"),
        "running": runs.count("running"),
    }


def _queue(settings: Settings) -> Queue | None:
    """The queue of runs; none for a log in memory, which no worker sees."""
    try:
        return requests.open_queue(settings)
    except ConfigError:
        return None
