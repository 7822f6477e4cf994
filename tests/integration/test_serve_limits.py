"""What ``imt serve`` has no room for is told to come later, and there is room again afterwards."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from servers import until
from serving import message, serving, with_sources
from starlette.exceptions import HTTPException
from starlette.requests import Request

from imtkit.config import load_settings
from imtkit.kit.intake import Posted
from imtkit.web.bodies import Room, body_of
from imtkit.web.metrics import Metrics
from imtkit.web.office import Office
from imtkit.web.writer import Writer


def request_of(body: bytes, size: int = 4) -> Request:
    """A request whose body comes in parts."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def test_bodies_that_are_received_share_their_memory():
    """While one holds what there is, another is told 503; then it is taken."""
    room = Room(10)

    async def both() -> None:
        async with body_of(request_of(b"12345678"), most=10, room=room) as first:
            assert first == b"12345678"
            with pytest.raises(HTTPException) as caught:
                async with body_of(request_of(b"abc"), most=10, room=room):
                    pass
            assert caught.value.status_code == 503
            assert caught.value.headers == {"Retry-After": "5"}
        async with body_of(request_of(b"abcdefghij"), most=10, room=room) as second:
            assert second == b"abcdefghij"

    asyncio.run(both())
    assert room.take(10), "what a refused body took was not given back"


def test_deliveries_that_wait_take_no_more_memory_than_they_may(workspace: Path):
    """One is always taken, however large; more only while all together are within the limit."""
    with closing(Office(load_settings(workspace))) as office:
        writer = Writer(office, Metrics(), most=10, most_bytes=100, on_kept=lambda _: None)

        async def offered() -> list[bool]:
            sizes = (60, 60, 40, 1)
            posted = [Posted("open", "x" * size, f"{n:064x}") for n, size in enumerate(sizes)]
            return [writer.offer(one) is not None for one in posted]

        assert asyncio.run(offered()) == [True, False, True, False]
        assert writer.waiting == 2
        writer.close(0)


def test_connections_beyond_the_limit_are_told_to_come_later(workspace: Path):
    """503 while others hold all there are, and the alert is taken when one of them went."""
    with_sources(workspace)
    with serving(workspace, most_connections=3) as one:
        place = urlsplit(one.url)
        with ExitStack() as idle:
            for _ in range(2):
                idle.enter_context(socket.create_connection((place.hostname, place.port)))
            answer = one.post("open", message())
            assert answer.status_code == 503
        until(lambda: one.post("open", message()).status_code == 202)
