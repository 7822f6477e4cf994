"""What people type after a verb."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from imtkit.cli.arguments import (
    INCIDENT,
    PAIR,
    measures_from_pairs,
    moment_from_text,
    span_from_text,
)
from imtkit.errors import InputError

HERE = timezone(timedelta(hours=1))
NOW = datetime(2026, 11, 21, 14, 30, 15, tzinfo=HERE)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("14:05", datetime(2026, 11, 21, 14, 5, tzinfo=HERE)),
        ("14:05:30", datetime(2026, 11, 21, 14, 5, 30, tzinfo=HERE)),
        ("23:50", datetime(2026, 11, 20, 23, 50, tzinfo=HERE)),
        ("10m", NOW - timedelta(minutes=10)),
        ("2 h ago", NOW - timedelta(hours=2)),
        ("45s", NOW - timedelta(seconds=45)),
        ("1d", NOW - timedelta(days=1)),
        ("2026-11-21T14:05:00+01:00", datetime(2026, 11, 21, 14, 5, tzinfo=HERE)),
        (" 2026-11-21T13:05:00Z ", datetime(2026, 11, 21, 13, 5, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_responders_type_them(typed: str, meant: datetime) -> None:
    """A clock time is the last one that was, a span is that long ago, RFC 3339 is itself."""
    assert moment_from_text(typed, NOW) == meant


@pytest.mark.parametrize(
    "typed", ["", "soon", "25:00", "12:99", "2026-13-01T00:00:00Z", "9" * 30 + "d", "-5m"]
)
def test_what_is_no_time_is_refused_with_examples(typed: str) -> None:
    """Nonsense is named, and the hint shows what can be written."""
    with pytest.raises(InputError) as refused:
        moment_from_text(typed, NOW)
    assert "14:05" in refused.value.hint


def test_a_time_without_a_zone_is_refused() -> None:
    """Nobody guesses what zone a full date was meant in."""
    with pytest.raises(InputError, match="has no time zone"):
        moment_from_text("2026-11-21T14:05:00", NOW)


def test_measures_take_numbers_and_percentages() -> None:
    """``30%`` and ``0.3`` are the same measure."""
    measured = measures_from_pairs((("error_rate", "30%"), ("latency_p95_seconds", "4.5")))
    assert measured == {"error_rate": 0.3, "latency_p95_seconds": 4.5}


@pytest.mark.parametrize("text", ["much", "", "nan", "inf", "-inf", "%"])
def test_a_measure_that_is_no_number_is_refused(text: str) -> None:
    """What thresholds cannot be held against never reaches the log."""
    with pytest.raises(InputError, match="error_rate"):
        measures_from_pairs((("error_rate", text),))


def test_ids_may_be_typed_in_any_case() -> None:
    """``inc-2026-0042`` is INC-2026-0042."""
    assert INCIDENT.convert(" inc-2026-0042 ", None, None) == "INC-2026-0042"


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    """A value may hold '=' itself and keeps its spaces; a name may not be empty."""
    assert PAIR.convert("cause = a=b ", None, None) == ("cause", " a=b ")
    for wrong in ("cause", "=x", " =x"):
        with pytest.raises(click.BadParameter, match="name=value"):
            PAIR.convert(wrong, None, None)


def test_spans_are_read_as_responders_type_them() -> None:
    """A number and a unit; anything else is refused with examples."""
    assert span_from_text(" 90 min ") == timedelta(minutes=90)
    for wrong in ("", "10", "soon", "9" * 30 + "d"):
        with pytest.raises(InputError, match="is not a span"):
            span_from_text(wrong)
