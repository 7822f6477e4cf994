"""Log entries made by hand, for tests of what reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from imtkit.model.entries import Entry

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


def entry(n: int, type_: str, data: dict[str, Any], *, actor: str = "Ann") -> Entry:
    """Entry ``n`` of an incident, ``n`` minutes after noon; its hashes are empty."""
    at = START + timedelta(minutes=n)
    return Entry(n, "INC-1", n, type_, at, "UTC", at, actor, "cli", "internal", data, None, "", "")
