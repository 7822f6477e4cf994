"""Bodies of requests, read within limits of size, time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

RETRY = {"Retry-After": "5"}

_BODY_SECONDS = 10.0
"""How long a body may take to arrive."""

_REST_SECONDS = 1.0
"""How long the rest of a refused body is read, so that its sender comes to hear why."""


class SlowBodyError(HTTPException):
    """A body took too long: what is left of it is not waited for either."""


class Room:
    """The memory that all bodies share which are being read. For one event loop."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, size: int) -> bool:
        """Take so many bytes, if there are as many left."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        """Make room again."""
        self._left += size


@asynccontextmanager
async def body_of(request: Request, *, most: int, room: Room) -> AsyncIterator[bytes]:
    """A request's body of at most ``most`` bytes, which takes its room until this is left.

    HTTPException 413 for a larger one; 503 for a slow one, as it may be us who are slow and
    senders give up on a 408, and while there is no room.
    """
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or len(declared) > 18 or int(declared) > most:
        raise _too_large(most)
    body = bytearray()
    try:
        try:
            async with asyncio.timeout(_BODY_SECONDS), aclosing(request.stream()) as stream:
                async for part in stream:
                    if len(body) + len(part) > most:
                        raise _too_large(most)
                    if not room.take(len(part)):
                        raise HTTPException(503, "Too much is being received at once.", RETRY)
                    body += part
        except TimeoutError:
            said = f"The body did not arrive within {_BODY_SECONDS:.0f} seconds."
            raise SlowBodyError(503, said, RETRY) from None
        yield bytes(body)
    finally:
        room.give_back(len(body))


async def read_the_rest(request: Request, *, most: int) -> None:
    """Read what is left of a refused body, and drop it: for a moment, and not without end.

    A connection that is closed on a sender who still sends takes our answer with it.
    """
    size = 0
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: it was all read
        async with asyncio.timeout(_REST_SECONDS), aclosing(request.stream()) as stream:
            async for part in stream:
                size += len(part)
                if size > most:
                    return


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"The body is larger than {most:,} bytes.")
