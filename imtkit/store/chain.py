"""The hash chain: SHA-256 over an entry's canonical JSON (RFC 8785) with ``prev`` inside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import rfc8785

from imtkit.errors import InputError
from imtkit.model.entries import Entry, utc_text

FIELDS = (
    "seq",
    "incident",
    "n",
    "type",
    "occurred_at",
    "zone",
    "recorded_at",
    "actor",
    "source",
    "visibility",
    "data",
    "key",
    "prev",
)
"""What is hashed: every column but the hash itself."""

_DEEPEST = 100
"""Data nested deeper could be written from one place and be unreadable from another."""

_EXACT = 2**53
"""Whole numbers nearer to 0 are the same as a float."""

_plain = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def canonical(value: Mapping[str, Any], what: str) -> bytes:
    """Canonical JSON; InputError when a value has no exact JSON form (NaN, 2**60, bytes …)."""
    table = dict(value)
    try:
        text = _plain(table).encode() if _is_plain(table) else rfc8785.dumps(table)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise InputError(
            f"The data of '{what}' cannot be kept exactly: {error}",
            hint="Use text, booleans, finite numbers up to 2**53, lists and tables.",
        ) from error
    if text.count(b"{") + text.count(b"[") > _DEEPEST and _depth(value) > _DEEPEST:
        raise InputError(f"The data of '{what}' is nested more than {_DEEPEST} deep.")
    return text


def _is_plain(value: object) -> bool:
    """Whether plain JSON with sorted names is RFC 8785's form of a value: it has no numbers but
    whole ones that are exact, and ASCII names, whose order is the same in every encoding.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return -_EXACT < value < _EXACT  # type: ignore[operator]
    if kind is dict:
        table: dict[object, object] = value  # type: ignore[assignment]
        return all(
            type(name) is str and name.isascii() and _is_plain(one) for name, one in table.items()
        )
    return kind in (list, tuple) and all(map(_is_plain, value))  # type: ignore[call-overload]


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [inner for outer in level for inner in _inside(outer)]
    return depth


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def hash_of(row: Mapping[Any, Any]) -> str:
    """The hash of a row of the log, whose ``data`` is canonical text.

    ValueError or TypeError when a value cannot stand in a log's row.
    """
    # Everything but ``data`` is text and whole numbers under ASCII names: there plain JSON with
    # sorted names is RFC 8785's form, in a tenth of the time. A test holds the two together.
    before = _plain({"actor": row["actor"]})
    after = _plain({name: row[name] for name in FIELDS if name not in ("actor", "data")})
    text = f'{before[:-1]},"data":{row["data"]},{after[1:]}'
    return hashlib.sha256(text.encode()).hexdigest()


def line_of(entry: Entry) -> bytes:
    """One entry as a line of canonical JSON with its hash: what a record's log holds."""
    body: dict[str, Any] = {name: getattr(entry, name) for name in (*FIELDS, "hash")}
    body["occurred_at"] = utc_text(entry.occurred_at)
    body["recorded_at"] = utc_text(entry.recorded_at)
    return canonical(body, entry.type)
