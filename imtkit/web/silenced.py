"""What silences hold back: where somebody looks who asks why nobody was told."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING

from imtkit.kit import Desk
from imtkit.kit.intake import silences_of
from imtkit.model.entries import Entry
from imtkit.model.entry_data import table_of, text_of, time_of
from imtkit.model.incident import Alert
from imtkit.web.alerts import AlertCard
from imtkit.web.asked import Asked
from imtkit.web.live import Tail

if TYPE_CHECKING:
    from starlette.responses import Response

_TYPE = "alert.silenced"
_LATELY = timedelta(days=1)
_LOOKED_BACK = 50_000
"""How many of the log's entries from before the server began are looked through."""
_KEPT = 1_000
"""How many alerts that were held back are remembered, the newest."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """A silence, and the alerts it holds back or held back lately, newest first.

    ``is_on``: now, ``until`` when, None with no end in sight. ``matchers`` are imt.toml's.
    """

    name: str
    is_on: bool = False
    until: datetime | None = None
    matchers: tuple[str, ...] = ()
    alerts: tuple[AlertCard, ...] = ()


class Silenced:
    """Remembers what was held back: each time only what the log has more of is read."""

    def __init__(self) -> None:
        self._through: int | None = None
        self._held: deque[Entry] = deque(maxlen=_KEPT)
        self._lock = Lock()

    def silences(self, desk: Desk, newest: int) -> list[Quiet]:
        """The silences that are on, in imt.toml's order, then those that held something back in
        the last day. ``newest`` is the ``seq`` up to which the log goes.
        """
        now, held = desk.clock.now(), self._read(desk, newest)
        found = [
            Quiet(
                one.name,
                True,
                one.until(now),
                one.settings.match,
                tuple(_cards(held, one.name, now, is_on=True)),
            )
            for one in silences_of(desk.settings)
            if one.is_on(now)
        ]
        known = {one.name for one in found}
        names = dict.fromkeys(text_of(entry, "silence") for entry in held)
        past = [
            Quiet(name, alerts=tuple(_cards(held, name, now)))
            for name in names
            if name not in known
        ]
        return [*found, *(one for one in past if one.alerts)]

    def count(self, desk: Desk, newest: int) -> int:
        """How many alerts ``silences`` tells of."""
        return sum(len(one.alerts) for one in self.silences(desk, newest))

    def _read(self, desk: Desk, newest: int) -> list[Entry]:
        """What was held back, newest first, as far as it is remembered."""
        with self._lock:
            after = max(newest - _LOOKED_BACK, 0) if self._through is None else self._through
            if self._through is None or newest > after:
                self._held.extend(list(desk.store.entries(after=after, types=(_TYPE,))))
                self._through = max([newest, *(one.seq for one in self._held)])
            return list(reversed(self._held))


async def listed(asked: Asked, tail: Tail, silenced: Silenced) -> Response:
    """``/silenced``: the silences that are on, and what they and others held back lately."""
    after = await tail.newest()
    found = await asked.work(lambda desk: silenced.silences(desk, after))
    return asked.page("silenced.html", silences=found, after=after)


def _cards(
    held: Sequence[Entry], silence: str, now: datetime, *, is_on: bool = False
) -> Iterator[AlertCard]:
    """What this silence held back in the last day, and what it holds back still."""
    for entry in held:
        if text_of(entry, "silence") != silence:
            continue
        until = time_of(entry, "until")
        is_still = is_on and (until is None or until > now)
        if is_still or now - entry.recorded_at < _LATELY:
            yield AlertCard(_alert(entry))


def _alert(entry: Entry) -> Alert:
    return Alert(
        fingerprint=text_of(entry, "fingerprint"),
        name=text_of(entry, "name"),
        status="silenced",
        source=text_of(entry, "source"),
        started_at=time_of(entry, "started_at") or entry.occurred_at,
        labels=table_of(entry, "labels"),
        annotations=table_of(entry, "annotations"),
    )
