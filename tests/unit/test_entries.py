"""Drafts, entries, and times as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import entry

from imtkit.errors import InputError
from imtkit.model.entries import (
    CATALOGUE,
    Draft,
    is_automation,
    superseded,
    utc_from_text,
    utc_text,
)

ZONES = st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))
FIRST, LAST = datetime(1, 1, 3), datetime(9999, 12, 29)  # noqa: DTZ001 # zones are drawn beside it


@given(st.datetimes(min_value=FIRST, max_value=LAST, timezones=ZONES))
def test_a_time_comes_back_from_its_text(moment: datetime) -> None:
    """To the microsecond, as UTC, in 27 characters whose order is the order of time."""
    text = utc_text(moment)
    assert len(text) == 27
    assert text.endswith("Z")
    assert utc_from_text(text) == moment
    assert utc_from_text(text).tzinfo is UTC
    assert utc_text(moment + timedelta(microseconds=1)) > text


@pytest.mark.parametrize(
    "text", ["2026-11-21T20:16:00Z", "2026-11-21 21:16+01:00", "20261121T151600-0500"]
)
def test_times_are_read_in_any_form_with_an_offset(text: str) -> None:
    """RFC 3339 and ISO 8601 texts of one moment are one time."""
    assert utc_from_text(text) == datetime(2026, 11, 21, 20, 16, tzinfo=UTC)


def test_a_time_without_a_zone_is_refused() -> None:
    """Nobody knows which moment it means."""
    with pytest.raises(InputError, match="no time zone") as caught:
        utc_from_text("2026-11-21T20:16:00")
    assert "2026-11-21T20:16:00Z" in caught.value.hint


def test_times_outside_the_calendar_are_refused() -> None:
    """The first and the last hours of all time, told in a far zone, are no time in UTC."""
    east, west = timezone(timedelta(hours=12)), timezone(-timedelta(hours=12))
    with pytest.raises(InputError, match="outside the years"):
        utc_text(datetime(1, 1, 1, tzinfo=east))
    with pytest.raises(InputError, match="outside the years"):
        utc_from_text(datetime.max.replace(tzinfo=west).isoformat())


class _Nowhere(tzinfo):
    """A time zone that does not know its own offset."""

    def utcoffset(self, _: datetime | None) -> None:
        return None


def test_a_draft_needs_an_aware_time() -> None:
    """A time without a zone, or with one that knows no offset, is refused at once."""
    for zone in (None, _Nowhere()):
        with pytest.raises(InputError, match=r"occurred_at of 'note.added' has no time zone"):
            Draft("note.added", occurred_at=datetime(2026, 11, 21, tzinfo=zone))


@pytest.mark.parametrize("name", ["type", "actor", "source", "zone", "key"])
@pytest.mark.parametrize("char", ["\x00", "\n", "\x1b", "\x1f"])
def test_control_characters_are_refused_in_names(name: str, char: str) -> None:
    """A name that could move a terminal's cursor is refused, and told escaped."""
    with pytest.raises(InputError, match=f"The {name} of an entry") as caught:
        Draft(**{"type": "note.added", name: f"a{char}b"})
    assert char not in str(caught.value)


def test_text_with_newlines_is_data() -> None:
    """What people write may hold anything."""
    assert Draft("note.added", {"text": "a\n\x1b[1mb"}).data["text"] == "a\n\x1b[1mb"


def test_only_an_earlier_position_can_be_superseded() -> None:
    """An entry that names itself, a later one, a bool or a text supersedes nothing."""
    rows = [
        entry(1, "note.added", {}),
        entry(2, "note.added", {"supersedes": 1}),
        entry(3, "note.added", {"supersedes": 3}),
        entry(4, "note.added", {"supersedes": 9}),
        entry(5, "note.added", {"supersedes": True}),
        entry(6, "note.added", {"supersedes": "2"}),
    ]
    assert superseded(rows) == {1}


def test_machines_are_known_by_their_name() -> None:
    """``automation/…`` is a machine; everybody else is a person."""
    assert is_automation("automation/alertmanager")
    assert not is_automation("Ann Example")
    assert not is_automation("Automation Annie")


def test_the_catalogue_tells_each_type_in_a_sentence() -> None:
    """Types are dotted past-tense facts, each with a line of prose."""
    for name, kind in CATALOGUE.items():
        assert kind.name == name
        assert name.count(".") == 1
        assert kind.prose.endswith(".")
