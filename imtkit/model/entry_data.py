"""What an entry's data holds, read without trust: what is not of the type is as if not there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from imtkit.errors import InputError
from imtkit.model.entries import Entry, utc_from_text


def text_of(entry: Entry, name: str, default: str = "") -> str:
    """A text of an entry's data; ``default`` where there is none."""
    value = entry.data.get(name, default)
    return value if isinstance(value, str) else default


def texts_of(entry: Entry, name: str) -> tuple[str, ...]:
    """A list of texts of an entry's data; empty where there is none."""
    value = entry.data.get(name, ())
    return tuple(str(one) for one in value) if isinstance(value, (list, tuple)) else ()


def table_of(entry: Entry, name: str) -> Mapping[str, Any]:
    """A table of an entry's data; empty where there is none."""
    value = entry.data.get(name)
    return value if isinstance(value, Mapping) else {}


def time_of(entry: Entry, name: str) -> datetime | None:
    """A time of an entry's data; None where there is none with a zone."""
    try:
        return utc_from_text(text_of(entry, name))
    except (ValueError, InputError):
        return None


def number_of(entry: Entry, name: str) -> int | None:
    """A whole number of an entry's data; None where there is none."""
    value = entry.data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
