"""The hash chain: SHA-256 over an entry's canonical JSON (RFC 8785) with ``prev`` inside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
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


def canonical(value: Mapping[str, Any], what: str) -> bytes:
    """Canonical JSON; InputError when a value has no exact JSON form (NaN, 2**60, bytes …)."""
    try:
        return rfc8785.dumps(dict(value))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise InputError(
            f"The data of '{what}' cannot be kept exactly: {error}",
            hint="Use text, booleans, finite numbers up to 2**53, lists and tables.",
        ) from error


def hash_of(row: Mapping[str, Any]) -> str:
    """The hash of a row of the log; its ``data`` may be the table or its canonical text."""
    body = {name: row[name] for name in FIELDS}
    if isinstance(body["data"], str):
        body["data"] = json.loads(body["data"])
    return hashlib.sha256(canonical(body, str(row["type"]))).hexdigest()


def line_of(entry: Entry) -> bytes:
    """One entry as a line of canonical JSON with its hash: what a record's log holds."""
    body: dict[str, Any] = {name: getattr(entry, name) for name in (*FIELDS, "hash")}
    body["occurred_at"] = utc_text(entry.occurred_at)
    body["recorded_at"] = utc_text(entry.recorded_at)
    return canonical(body, entry.type)
