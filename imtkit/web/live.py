"""What is new in the log: asked for once, for everybody who waits."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from imtkit.errors import InputError
from imtkit.kit import Desk
from imtkit.model.entries import Entry
from imtkit.model.words import one_line, sentence
from imtkit.web.asked import Asked, Works
from imtkit.web.drawing import GUARDED

if TYPE_CHECKING:
    from starlette.responses import Response

WAIT_SECONDS = 10.0
"""How long a browser's question is held before it is told that nothing is new."""

_LOOK_SECONDS = 0.4
_KEPT = 1000
"""How many of the newest entries are remembered; who is further behind is told to look."""


class Tail:
    """The end of the log. However many wait, the log is asked once in 0.4 s, and only then.

    ``changed`` has, by incident, the newest entry's ``seq`` since somebody first looked.
    """

    def __init__(self, office: Works) -> None:
        self._office = office
        self._newest: int | None = None
        self._forgotten = 0
        self._recent: deque[Entry] = deque(maxlen=_KEPT)
        self._lock = asyncio.Lock()
        self._looked_at = float("-inf")
        self.changed: dict[str, int] = {}

    async def newest(self) -> int:
        """The ``seq`` of the newest entry now."""
        return await self._look(at_most_old=0.0)

    async def news(self, after: int, incident: str, asked: Asked) -> tuple[int, list[Entry]] | None:
        """The newest ``seq`` and what is new past ``after``, of one incident or ('') of all.

        It is waited for; None when nothing came, or nobody waits any more.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + WAIT_SECONDS
        while True:
            newest = await self._look(at_most_old=_LOOK_SECONDS)
            found = [
                entry
                for entry in self._recent
                if entry.seq > after and incident in ("", entry.incident)
            ]
            if found or after < self._forgotten:
                return newest, found
            if loop.time() >= ends_at or await asked.request.is_disconnected():
                return None
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self, *, at_most_old: float) -> int:
        loop = asyncio.get_running_loop()
        async with self._lock:
            if self._newest is not None and loop.time() - self._looked_at < at_most_old:
                return self._newest
            if self._newest is None:
                self._newest = await self._office.work(_end_of, actor="")
                self._forgotten = self._newest
            newest = self._newest
            fresh = await self._office.work(
                lambda desk: list(desk.store.entries(after=newest, limit=_KEPT)), actor=""
            )
            for entry in fresh:
                if len(self._recent) == _KEPT:
                    self._forgotten = self._recent[0].seq
                is_delivery = entry.type.startswith("delivery.")  # of up to 10 MB, shown nowhere
                self._recent.append(replace(entry, data={}) if is_delivery else entry)
                self.changed[entry.incident] = entry.seq
                self._newest = entry.seq
            self._looked_at = loop.time()
            return self._newest


async def news(asked: Asked, tail: Tail) -> Response:
    """``/news?after=SEQ&incident=ID``: waits for entries; 204 when none came meanwhile."""
    from starlette.responses import JSONResponse
    from starlette.responses import Response as Plain

    told = asked.query("after")
    if not (told.isascii() and told.isdigit() and len(told) < 19):
        raise InputError("'after' is the place in the log up to which is known: a number.")
    found = await tail.news(int(told), asked.query("incident"), asked)
    if found is None:
        return Plain(status_code=204, headers=dict(GUARDED))
    newest, entries = found
    said = [one_line(sentence(entry), most=160) for entry in entries if _is_told(entry)]
    return JSONResponse({"after": newest, "said": said[-3:]}, headers=dict(GUARDED))


def _is_told(entry: Entry) -> bool:
    """Whether it is read out to who cannot see it arrive: steps are too many."""
    return not entry.type.startswith(("step.", "deliver"))


def _end_of(desk: Desk) -> int:
    """The ``seq`` of the newest entry, found in few looks however long the log is."""

    def is_past(seq: int) -> bool:
        return not any(desk.store.entries(after=seq, limit=1))

    high = 1
    while not is_past(high):
        high *= 2
    low = -1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_past(middle) else (middle, high)
    return high
