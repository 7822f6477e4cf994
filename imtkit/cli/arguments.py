"""What people type after a verb: incident ids, times, and name=value pairs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from imtkit.errors import ImtkitError, InputError
from imtkit.model.entries import utc_from_text

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_AGO = re.compile(r"(\d+)\s*(s|m|min|h|d)(?:\s*ago)?")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"}


class IncidentId(click.ParamType[str]):
    """An incident's id; shells complete it with the newest ones."""

    name = "incident"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return value.strip().upper()

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The ids of the newest incidents that begin as typed; none when there is no log."""
        from click.shell_completion import CompletionItem

        from imtkit.cli.face import Face
        from imtkit.contracts import Query
        from imtkit.model.words import one_line

        try:
            with ctx.ensure_object(Face).desk() as desk:
                rows = desk.store.incidents(Query(limit=200))
        except ImtkitError:
            return []
        return [
            CompletionItem(row.id, help=one_line(f"{row.status}: {row.title}", most=60))
            for row in rows
            if row.id.startswith(incomplete.upper())
        ]


class Moment(click.ParamType[datetime]):
    """When it happened: ``14:05`` (here, at most a day ago), ``10m``, or RFC 3339."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return moment_from_text(value, datetime.now(UTC).astimezone())
        except InputError as error:
            self.fail(f"{error} {error.hint}", param, ctx)


class Pair(click.ParamType[tuple[str, str]]):
    """``name=value``; the name and the value without the spaces around them."""

    name = "name=value"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, separator, text = value.partition("=")
        if not separator or not name.strip():
            self.fail(f"'{value}' is not name=value.", param, ctx)
        return name.strip(), text


def span_from_text(text: str) -> timedelta:
    """A duration as responders type it: 30s, 10m, 2h, 1d."""
    match = _AGO.fullmatch(text.strip().lower())
    if match is None or len(match[1]) > 6:
        raise InputError(f"'{text}' is not a span of time.", hint="Write 30s, 10m, 2h or 1d.")
    return _span(match)


def _span(match: re.Match[str]) -> timedelta:
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def moment_from_text(text: str, now: datetime) -> datetime:
    """A time as responders type it, before ``now`` (aware, in the zone they are in)."""
    plain = text.strip().lower()
    ago, clock = _AGO.fullmatch(plain), _CLOCK.fullmatch(plain)
    try:
        if ago:
            return now - _span(ago)
        if clock:
            hour, minute, second = (int(part or 0) for part in clock.groups())
            today = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
            return today if today <= now else today - timedelta(days=1)
        utc_from_text(text.strip())
        return datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"'{text}' is not a time.",
            hint="Write 14:05, 10m (ten minutes ago), or 2026-11-21T14:05:00+01:00.",
        ) from error


def table_from_pairs(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Values by name; InputError when a name is given twice, as one of the two would be lost."""
    made: dict[str, str] = {}
    for name, text in pairs:
        if name in made:
            raise InputError(f"'{name}' is given twice.", hint="Give each name once.")
        made[name] = text
    return made


def measures_from_pairs(pairs: tuple[tuple[str, str], ...]) -> dict[str, float]:
    """Numbers by name; ``30%`` is 0.3. InputError when a name is given twice."""
    made: dict[str, float] = {}
    for name, text in table_from_pairs(pairs).items():
        number = text.strip()
        try:
            value = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
        except ValueError:
            value = float("nan")
        if not abs(value) < float("inf"):
            raise InputError(
                f"The measure {name}={text} is not a number.",
                hint="Write --measure error_rate=0.3, or 30%.",
            )
        made[name] = value
    return made


INCIDENT = IncidentId()
MOMENT = Moment()
PAIR = Pair()
