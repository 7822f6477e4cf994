"""Windows of time that come again, in the words of Alertmanager's ``time_intervals``.

Source: Alertmanager's documentation, "Configuration", under "time_interval", and its code, which
says what the page leaves open. A window is on by what the clocks of its location show: an hour
that comes twice when they go back counts twice, and one that is left out when they go forward
does not come.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from imtkit.errors import ConfigError, suggestion

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

Span = tuple[int, int]
"""The first and the last value, both part of it."""

NAMES = ("weekdays", "times", "days_of_month", "months", "years", "location")
"""What says in imt.toml when a window is on."""

_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_MINUTE, _DAY = timedelta(minutes=1), 24 * 60
_LOOKED_AHEAD = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Window:
    """When something is on: all of what is told must hold; of what is empty, nothing is asked.

    ``times`` are minutes of the day; of ``weekdays`` sunday is 0; ``days_of_month`` below 0 count
    from the month's end. ``text`` is all of it, as the team wrote it.
    """

    text: str
    zone: ZoneInfo
    times: tuple[Span, ...] = ()
    weekdays: tuple[Span, ...] = ()
    days_of_month: tuple[Span, ...] = ()
    months: tuple[Span, ...] = ()
    years: tuple[Span, ...] = ()

    def is_on(self, at: datetime) -> bool:
        """Whether it is on at this time, which is aware."""
        there = at.astimezone(self.zone)
        return (
            _is_in(self.times, _minute_of(there))
            and _is_in(self.weekdays, there.isoweekday() % 7)
            and _is_in(_days_of(there, self.days_of_month), there.day)
            and _is_in(self.months, there.month)
            and _is_in(self.years, there.year)
        )

    def ends_after(self, at: datetime) -> datetime | None:
        """When it is next off, being on now; None when that is more than a year ahead."""
        moment = at
        while moment - at < _LOOKED_AHEAD:
            moment = self._next_end(moment)
            if not self.is_on(moment):
                return moment
        return None

    def shown(self, at: datetime) -> str:
        """What clock and calendar of its location show: ``sunday 2026-03-29 02:30``."""
        there = at.astimezone(self.zone)
        return f"{_WEEKDAYS[there.isoweekday() % 7]} {there:%Y-%m-%d %H:%M}"

    def _next_end(self, at: datetime) -> datetime:
        """The next time at which one of its times or the day ends, or the clocks change."""
        minute = _minute_of(at.astimezone(self.zone))
        ends = (*(last + 1 for _, last in self.times), _DAY)
        ahead = min(end for end in ends if end > minute) - minute
        begin = at.replace(second=0, microsecond=0)
        told = begin.astimezone(self.zone).utcoffset()

        def is_changed(minutes: int) -> bool:
            return (begin + minutes * _MINUTE).astimezone(self.zone).utcoffset() != told

        if is_changed(ahead):
            ahead = bisect_left(range(ahead), x=True, key=is_changed)
        return begin + ahead * _MINUTE


def window_from_table(table: Mapping[str, object], place: str) -> Window | None:
    """The window that a table of imt.toml tells of, if any; ConfigError for what cannot be meant.

    Weekdays, days of the month, months and years are a value or ``first:last``. Times are
    ``02:00-04:00`` or ``{ start_time = "02:00", end_time = "04:00" }``; their end is not part of
    them, and may be 24:00. Without a ``location`` they are UTC.
    """
    told = {name: table[name] for name in NAMES if name in table}
    if not told:
        return None
    zone = _zone(told.pop("location", "UTC"), place)
    if not told:
        hint = 'Say when: weekdays = ["sunday"], times = ["02:00-04:00"]'
        raise ConfigError(f"{place} says where, but not when, it is on.", hint=hint)
    lists = {name: _listed(value, name, place) for name, value in told.items()}
    spans = {name: _SPANS[name](one, f"{place}: {name}") for name, one in lists.items()}
    words = (_written(one) for name in NAMES for one in lists.get(name, ()))
    return Window(f"{', '.join(words)} ({zone.key})", zone, **spans)


def _minute_of(there: datetime) -> int:
    return there.hour * 60 + there.minute


def _is_in(spans: Iterable[Span], value: int) -> bool:
    """Whether the value is in any of the spans; where there are none, nothing is asked."""
    asked = tuple(spans)
    return not asked or any(first <= value <= last for first, last in asked)


def _days_of(there: datetime, spans: Iterable[Span]) -> list[Span]:
    """Spans of days as the month has them, counted from its first day."""
    length = monthrange(there.year, there.month)[1]
    return [
        (first if first > 0 else length + 1 + first, last if last > 0 else length + 1 + last)
        for first, last in spans
    ]


def _zone(name: object, place: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo

    hint = 'Name a zone of the IANA\'s: location = "Europe/Berlin"'
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{place}: location = {name!r} is no time zone.", hint=hint)
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:  # no zone, no name of one, a folder of them
        raise ConfigError(f"{place}: location = {name!r} is no time zone.", hint=hint) from error


def _listed(value: object, name: str, place: str) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        hint = 'Write it as a list that holds something: ["…"]'
        raise ConfigError(f"{place}: {name} = {value!r} is no list of {name}.", hint=hint)
    return value


def _written(one: object) -> str:
    if isinstance(one, Mapping):
        return f"{one.get('start_time')}-{one.get('end_time')}"
    return str(one)


def _times(told: Sequence[object], place: str) -> tuple[Span, ...]:
    found = []
    for one in told:
        first, last = _both_times(one, place)
        if first >= last:
            raise ConfigError(
                f"{place} {_written(one)!r} does not end after it begins.",
                hint="Over midnight, write two silences: one until 24:00, and one from 00:00 of "
                "the day after.",
            )
        found.append((first, last - 1))
    return tuple(found)


def _both_times(one: object, place: str) -> Span:
    if isinstance(one, Mapping):
        if set(one) != {"start_time", "end_time"}:
            hint = 'Write { start_time = "02:00", end_time = "04:00" }'
            raise ConfigError(f"{place} {dict(one)!r} has not the two it takes.", hint=hint)
        first, dash, last = one["start_time"], "-", one["end_time"]
    else:
        first, dash, last = str(one).partition("-")
    minutes = []
    for text in (first, last):
        clock = _TIME.fullmatch(text) if isinstance(text, str) and dash else None
        if clock is None:
            hint = 'Write two times of the day, from 00:00 to 24:00: "02:00-04:00"'
            raise ConfigError(f"{place} {_written(one)!r} is no span of times.", hint=hint)
        minutes.append(_DAY if clock[1] is None else int(clock[1]) * 60 + int(clock[2]))
    return minutes[0], minutes[1]


def _days_of_month(told: Sequence[object], place: str) -> tuple[Span, ...]:
    spans = _spans(told, place, lambda text: _number(text, range(-31, 32)), "1 to 31, or -1 to -31")
    for one, (first, last) in zip(told, spans, strict=True):
        longest = last if last > 0 else 32 + last
        if (first < 0 < last) or (first if first > 0 else 32 + first) > longest:
            hint = 'From the first to the last day: "1:5", "-3:-1", "20:-1"'
            raise ConfigError(f"{place} {one!r} ends before it begins.", hint=hint)
    return spans


def _weekdays(told: Sequence[object], place: str) -> tuple[Span, ...]:
    def number(text: str) -> int | None:
        return _WEEKDAYS.index(text) if text in _WEEKDAYS else None

    hint = 'The week begins with sunday: write ["saturday", "sunday"]'
    return _ordered(told, _spans(told, place, number, _WEEKDAYS), place, hint)


def _months(told: Sequence[object], place: str) -> tuple[Span, ...]:
    def number(text: str) -> int | None:
        return _MONTHS.index(text) + 1 if text in _MONTHS else _number(text, range(1, 13))

    hint = 'Over the new year, write two: ["november:december", "january"]'
    return _ordered(told, _spans(told, place, number, _MONTHS), place, hint)


def _years(told: Sequence[object], place: str) -> tuple[Span, ...]:
    spans = _spans(told, place, lambda text: _number(text, range(1, 10_000)), "1 to 9999")
    return _ordered(told, spans, place, 'Write the earlier one first: "2026:2028"')


def _ordered(
    told: Sequence[object], spans: tuple[Span, ...], place: str, hint: str
) -> tuple[Span, ...]:
    for one, (first, last) in zip(told, spans, strict=True):
        if first > last:
            raise ConfigError(f"{place} {one!r} ends before it begins.", hint=hint)
    return spans


def _spans(
    told: Sequence[object],
    place: str,
    value_of: Callable[[str], int | None],
    known: str | Sequence[str],
) -> tuple[Span, ...]:
    """The values of ``first:last`` or of one alone, upper or lower case."""
    found = []
    for one in told:
        first, colon, last = str(one).strip().lower().partition(":")
        values = []
        for text in (first.strip(), last.strip() if colon else first.strip()):
            value = value_of(text)
            if value is None:
                hint = f"It takes {known}." if isinstance(known, str) else suggestion(text, known)
                raise ConfigError(f"{place} {one!r} cannot be meant: {text!r}.", hint=hint)
            values.append(value)
        found.append((values[0], values[1]))
    return tuple(found)


def _number(text: str, known: range) -> int | None:
    """The number that a text writes in digits, if it is one of these; 0 never is."""
    if not re.fullmatch(r"-?[0-9]{1,4}", text):
        return None
    number = int(text)
    return number if number in known and number else None


_SPANS: Mapping[str, Callable[[Sequence[object], str], tuple[Span, ...]]] = {
    "weekdays": _weekdays,
    "times": _times,
    "days_of_month": _days_of_month,
    "months": _months,
    "years": _years,
}
