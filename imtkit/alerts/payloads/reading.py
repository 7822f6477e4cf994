"""How hostile JSON becomes text, times and addresses; every sender's module reads with this.

Text is kept as it is told, with these exceptions. Lone surrogates, NUL and other control
characters become U+FFFD, as neither UTF-8, PostgreSQL nor a terminal can be trusted with them;
an alert is not lost for one broken character. Line ends become line feeds. Marks that turn the
direction of writing are data and stay. What is too long ends in an ellipsis.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from imtkit.errors import PayloadError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

Read = TypeVar("Read")

MOST_LABEL = 1_000
MOST_ANNOTATION = 10_000
MOST_MENDED = 2_000_000
"""The largest body, in bytes, that is mended: that costs up to half a second for each million."""
MOST_WORDS = 200
"""The most labels, or annotations, that one alert may have."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MARK = re.compile(r"[\x21-\x7e]{1,200}")
"""What a fingerprint looks like: it stands in keys of the log."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NUMBER = re.compile(r"-?[0-9]{1,25}(\.[0-9]{1,9})?")
_SURROGATES = re.compile(
    rb"(?:[^\\]++|\\(?!u[dD][89a-fA-F])[\s\S]"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})++"
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""JSON's text up to the next surrogate without its other half, or such a one."""
_BLANKED = bytes(32 if code < 32 else code for code in range(256))


@dataclass(frozen=True, slots=True)
class Form:
    """What one sender's messages look like, and what is said of one that does not."""

    name: str
    hint: str

    def refused(self, what: str) -> PayloadError:
        """The error for a message in which ``what`` is wrong."""
        return PayloadError(f"This is not {self.name}: {what}.", hint=self.hint)

    def read(self, shape: type[Read], body: bytes) -> Read:
        """The message of this shape in a body; what is JSON but for single characters is read
        without them.
        """
        from pydantic import ValidationError

        adapter = _adapter(shape)
        try:
            try:
                return adapter.validate_json(body)
            except ValidationError as error:
                if _first(error)[0] != "json_invalid" or len(body) > MOST_MENDED:
                    raise
                return adapter.validate_json(_mended(body))
        except ValidationError as error:
            raise self.refused(_first(error)[1]) from error

    def check(self, shape: type[Read], value: object, place: str) -> Read:
        """A part of a message, of this shape."""
        from pydantic import ValidationError

        try:
            return _adapter(shape).validate_python(value)
        except ValidationError as error:
            raise self.refused(f"{place}.{_first(error)[1]}") from error

    def each(
        self, shape: type[Read], values: Sequence[object], place: str
    ) -> Iterator[tuple[str, Read]]:
        """A list's parts with their places; one by one, so that a million wrong ones are one."""
        for index, value in enumerate(values):
            where = f"{place}.{index}"
            yield where, self.check(shape, value, where)

    def moment(self, value: object, place: str, *, zoned: bool = False) -> datetime | None:
        """The time that is told; None when there is none. ``zoned``: it must say its zone."""
        try:
            return moment(value, zoned=zoned)
        except (TypeError, ValueError) as error:
            what = line(value, most=80)
            raise self.refused(f"{place}: '{what}' is not a time, or has no time zone") from error


def _adapter(shape: type[Read]) -> TypeAdapter[Read]:
    """What reads a shape."""
    return _made(cast("Hashable", shape))


@cache
def _made(shape: type) -> TypeAdapter[Any]:
    """Made at its first use: that takes a moment, and pydantic."""
    from pydantic import TypeAdapter

    return TypeAdapter(shape)


def json_within(said: str) -> object:
    """The JSON that a text holds; None when it is prose."""
    try:
        return Form("JSON", "").read(object, said.encode("utf-8", "replace"))
    except PayloadError:
        return None


def _first(error: ValidationError) -> tuple[str, str]:
    """The kind of a message's first fault, and where and what it is."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the body"
    return first["type"], f"{place}: {first['msg'].lower()}"


def _mended(body: bytes) -> bytes:
    """A body without a byte order mark, bad UTF-8, raw control characters, lone surrogates."""
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    return _SURROGATES.sub(
        lambda found: rb"\ufffd" if found["lone"] else found[0], text.encode().translate(_BLANKED)
    )


def text(value: object, *, most: int = MOST_LABEL) -> str:
    """Any value as text: nothing is empty, lists and tables are JSON."""
    match value:
        case None:
            said = ""
        case str():
            said = value
        case bool():
            said = "true" if value else "false"
        case int() | float():
            said = str(value)
        case _:
            said = json.dumps(value, ensure_ascii=False, default=str)
    clean = said[: most + 1].replace("\r\n", "\n").replace("\r", "\n")
    clean = _CONTROL.sub("\ufffd", clean)
    return clean if len(said) <= most else clean[: most - 1] + "…"


def line(value: object, *, most: int = 200) -> str:
    """The same on one line."""
    return " ".join(text(value, most=most).split())


def words(table: object, *, most: int = MOST_LABEL) -> dict[str, str]:
    """Labels or annotations as text; those that say nothing are left out.

    Where there are more than ``MOST_WORDS``, the one named ``…`` says how many are missing.
    """
    if not isinstance(table, Mapping):
        return {}
    said = {line(name): text(value, most=most) for name, value in [*table.items()][:MOST_WORDS]}
    found = {name: value for name, value in said.items() if name and value}
    if len(table) > MOST_WORDS:
        found["…"] = f"{len(table) - MOST_WORDS} more were left out"
    return found


def within(value: object, *path: str) -> object:
    """What stands at a path of names and positions; None when nothing does."""
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isascii() and part.isdigit() and len(part) < 10:
            value = value[int(part)] if int(part) < len(value) else None
        else:
            return None
    return value


def moment(value: object, *, zoned: bool = False) -> datetime | None:
    """A time from ISO 8601 or from seconds, milli-, micro- or nanoseconds since 1970.

    Without a zone it is UTC, unless ``zoned``. None for what means 'none': nothing, 0, Go's year
    1, and years after 2999. TypeError or ValueError for what is no time.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        said = value.strip()
        if not _NUMBER.fullmatch(said):
            return _from_iso(said, zoned=zoned)
        value = float(said)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("neither a number nor a text")
    return _from_number(value)


def _from_iso(said: str, *, zoned: bool) -> datetime | None:
    if len(said) > 60:
        raise ValueError("too long for a time")
    found = datetime.fromisoformat(said) if said else EPOCH
    if found.tzinfo is None:
        if zoned:
            raise ValueError("no time zone")
        found = found.replace(tzinfo=UTC)
    return found.astimezone(UTC) if 1970 < found.year < 3000 else None


def _from_number(value: float) -> datetime | None:
    seconds = float(value) if abs(value) < 1e20 else math.nan
    if math.isnan(seconds):
        raise ValueError("no number of seconds")
    while seconds >= 1e11:  # in seconds that is the year 5138
        seconds /= 1000
    found = EPOCH + timedelta(seconds=max(0.0, seconds))
    return found if 1970 < found.year < 3000 else None


def link(value: object) -> str:
    """An address of the web; empty when it is anything else."""
    said = value.strip() if isinstance(value, str) else ""
    if not said.isprintable() or " " in said or len(said) > 2000:
        return ""
    try:
        parts = urlsplit(said)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return ""
    return said if is_web else ""


def mark(*parts: object) -> str:
    """A fingerprint of parts: themselves where that can stand in a key, else their digest."""
    told = [text(part, most=sys.maxsize - 1) for part in parts]
    said = "/".join(told)
    if MARK.fullmatch(said):
        return said
    return sha256(json.dumps(told).encode()).hexdigest()[:32]


_SEVERITIES = {
    "critical": "critical crit fatal disaster emergency emerg panic page p1",
    "error": "error err high major p2",
    "warning": "warning warn average medium moderate minor p3",
    "info": "info information informational low notice debug p4 p5",
}


def severity_word(word: str) -> str:
    """A sender's word for how bad it is as one of critical, error, warning, info.

    A word that is not in common use stays: it may be a level of the team's own.
    """
    plain = word.strip().casefold()
    for ours, theirs in _SEVERITIES.items():
        if plain in theirs.split():
            return ours
    return plain
