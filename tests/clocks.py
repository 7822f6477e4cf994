"""A clock that stands where a test puts it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class FixedClock:
    """Tells one time until it is moved on."""

    def __init__(self, moment: datetime = NOON) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def move(self, **span: float) -> datetime:
        """Go on by a timedelta's arguments, such as ``minutes=5``; the new time."""
        self.moment += timedelta(**span)
        return self.moment
