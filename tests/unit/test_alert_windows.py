"""Windows of time that come again: Alertmanager's words, the clocks of a place, DST among them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imtkit.config.windows import Window, window_from_table
from imtkit.errors import ConfigError

BERLIN = "Europe/Berlin"
MINUTE = timedelta(minutes=1)


def window(**told: object) -> Window:
    """The window that a table tells of."""
    found = window_from_table(told, "imt.toml: here")
    assert found is not None
    return found


def at(text: str, zone: str = "UTC", fold: int = 0) -> datetime:
    """A time that a place's clocks show; the second one of two where ``fold`` is 1."""
    there = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return there.astimezone(UTC)


NIGHT = {"weekdays": ["sunday"], "times": ["02:00-04:00"], "location": BERLIN}


@pytest.mark.parametrize(
    ("told", "time", "is_on"),
    [
        (NIGHT, at("2026-11-22T02:00", BERLIN), True),
        (NIGHT, at("2026-11-22T03:59:59", BERLIN), True),
        (NIGHT, at("2026-11-22T04:00", BERLIN), False),
        (NIGHT, at("2026-11-22T01:59:59", BERLIN), False),
        (NIGHT, at("2026-11-23T02:00", BERLIN), False),
        (NIGHT, at("2026-11-22T02:30"), True),
        (NIGHT, at("2026-07-26T02:30"), False),
        (NIGHT, at("2026-07-26T00:30"), True),
        ({"times": ["22:00-24:00"]}, at("2026-11-22T23:59"), True),
        ({"times": ["22:00-24:00"]}, at("2026-11-23T00:00"), False),
        ({"times": [{"start_time": "22:00", "end_time": "24:00"}]}, at("2026-11-22T23:59"), True),
        ({"weekdays": ["Monday:Friday"]}, at("2026-11-20T10:00"), True),
        ({"weekdays": ["monday:friday"]}, at("2026-11-21T10:00"), False),
        ({"weekdays": ["sunday:monday"]}, at("2026-11-22T10:00"), True),
        ({"days_of_month": ["-1"]}, at("2026-02-28T10:00"), True),
        ({"days_of_month": ["-1"]}, at("2028-02-28T10:00"), False),
        ({"days_of_month": ["-3:-1"]}, at("2026-11-28T10:00"), True),
        ({"days_of_month": ["-3:-1"]}, at("2026-11-27T10:00"), False),
        ({"days_of_month": ["20:-1"]}, at("2026-11-30T10:00"), True),
        ({"days_of_month": ["29:31"]}, at("2026-02-28T10:00"), False),
        ({"days_of_month": [1, "15"]}, at("2026-11-01T10:00"), True),
        ({"months": ["november:december", 2]}, at("2026-02-01T10:00"), True),
        ({"months": ["november:december", 2]}, at("2026-03-01T10:00"), False),
        ({"years": ["2027:2030"]}, at("2026-12-31T23:59"), False),
        ({"years": [2026], "location": "Asia/Tokyo"}, at("2026-12-31T15:00"), False),
    ],
)
def test_a_window_is_on_by_the_clocks_of_its_place(
    told: dict[str, object], time: datetime, is_on: bool
) -> None:
    """First and last day of a span are in it, the end of a time is not; all of it must hold."""
    assert window(**told).is_on(time) is is_on


def test_the_hour_that_comes_twice_counts_twice() -> None:
    """When Berlin's clocks go back, two to four o'clock lasts three hours."""
    night = window(**NIGHT)
    begin, end = at("2026-10-25T00:00"), at("2026-10-25T03:00")
    assert not night.is_on(begin - MINUTE)
    assert night.is_on(begin)
    assert night.is_on(at("2026-10-25T02:30", BERLIN, fold=1))
    assert night.ends_after(begin) == end
    assert end - begin == timedelta(hours=3)


def test_the_hour_that_does_not_come_is_left_out() -> None:
    """When they go forward, two to four lasts one hour, and two to three never is."""
    night = window(**NIGHT)
    begin = at("2026-03-29T01:00")
    assert not night.is_on(begin - MINUTE)
    assert night.is_on(begin)
    assert night.ends_after(begin) == begin + timedelta(hours=1)
    gone = window(**{**NIGHT, "times": ["02:00-03:00"]})
    hours = [begin + number * MINUTE for number in range(-120, 120)]
    assert not any(map(gone.is_on, hours))


def test_an_end_in_the_hour_that_comes_twice_comes_twice() -> None:
    """One to half past two is off for the rest of the first hour, and on again in the second."""
    early = window(**{**NIGHT, "times": ["01:00-02:30"]})
    first = at("2026-10-25T01:00", BERLIN)
    assert early.ends_after(first) == at("2026-10-25T02:30", BERLIN)
    again = at("2026-10-25T02:00", BERLIN, fold=1)
    assert not early.is_on(again - MINUTE)
    assert early.is_on(again)
    assert early.ends_after(again) == at("2026-10-25T02:30", BERLIN, fold=1)


def test_a_window_goes_on_over_midnight_and_over_months() -> None:
    """It ends where the first thing that was told does not hold any more, or not in sight."""
    over = window(times=["22:00-24:00", "00:00-02:00"])
    assert over.ends_after(at("2026-11-22T23:00")) == at("2026-11-23T02:00")
    freeze = window(months=["december"], location="America/New_York")
    assert freeze.ends_after(at("2026-12-24T12:00")) == at("2027-01-01T05:00")
    assert window(weekdays=["sunday:saturday"]).ends_after(at("2026-11-22T10:00")) is None


def test_what_it_shows_is_what_people_there_see() -> None:
    """Weekday, date and time of its place; and its text tells all that was written."""
    night = window(**NIGHT)
    assert night.shown(at("2026-11-21T23:30")) == "sunday 2026-11-22 00:30"
    assert night.text == "sunday, 02:00-04:00 (Europe/Berlin)"
    assert window_from_table({"reason": "x"}, "here") is None


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ({"times": ["22:00-02:00"]}, "times '22:00-02:00' does not end after it begins"),
        ({"times": ["02:00-02:00"]}, "does not end after it begins"),
        ({"times": ["24:00-24:00"]}, "does not end after it begins"),
        ({"times": ["2:00-04:00"]}, "times '2:00-04:00' is no span of times"),
        ({"times": ["02:00-24:01"]}, "no span of times"),
        ({"times": ["02:00"]}, "no span of times"),
        ({"times": [5]}, "times '5' is no span of times"),
        ({"times": [{"start_time": "02:00"}]}, "has not the two it takes"),
        ({"times": [{"start_time": 2, "end_time": "04:00"}]}, "no span of times"),
        ({"times": "02:00-04:00"}, "is no list of times"),
        ({"times": []}, "is no list of times"),
        ({"weekdays": ["sun"]}, "weekdays 'sun' cannot be meant: 'sun'"),
        ({"weekdays": ["saturday:sunday"]}, "'saturday:sunday' ends before it begins"),
        ({"days_of_month": ["0"]}, "days_of_month '0' cannot be meant"),
        ({"days_of_month": ["32"]}, "cannot be meant"),
        ({"days_of_month": ["5:1"]}, "ends before it begins"),
        ({"days_of_month": ["-1:-3"]}, "ends before it begins"),
        ({"days_of_month": ["-3:1"]}, "ends before it begins"),
        ({"days_of_month": ["25:-10"]}, "ends before it begins"),
        ({"months": ["13"]}, "months '13' cannot be meant"),
        ({"months": ["december:january"]}, "ends before it begins"),
        ({"years": ["2027:2026"]}, "ends before it begins"),
        ({"years": ["soon"]}, "years 'soon' cannot be meant"),
        ({"location": BERLIN}, "says where, but not when"),
        ({"times": ["02:00-04:00"], "location": "Berlin"}, "location = 'Berlin' is no time zone"),
        ({"times": ["02:00-04:00"], "location": "../x"}, "is no time zone"),
        ({"times": ["02:00-04:00"], "location": "Europe"}, "is no time zone"),
        ({"times": ["02:00-04:00"], "location": 1}, "is no time zone"),
    ],
)
def test_what_cannot_be_meant_is_refused(told: dict[str, object], what: str) -> None:
    """With the place, what stands there, and how it is written."""
    with pytest.raises(ConfigError, match=r"imt\.toml: here") as refused:
        window(**told)
    assert what in str(refused.value)
    assert refused.value.hint


TIMES = st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda two: two[0] < two[1])
DAYS = st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda two: two[0] <= two[1])
CHANGES = st.sampled_from(
    [
        (BERLIN, datetime(2026, 10, 24, 20, tzinfo=UTC)),
        (BERLIN, datetime(2026, 3, 28, 20, tzinfo=UTC)),
        ("America/Sao_Paulo", datetime(2018, 11, 3, 20, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 8, tzinfo=UTC)),
        ("Pacific/Apia", datetime(2011, 12, 30, 4, tzinfo=UTC)),
    ]
)


@given(
    st.lists(TIMES, max_size=3),
    st.lists(DAYS, max_size=2),
    CHANGES,
    st.integers(0, 14 * 60),
)
@settings(max_examples=60)
def test_the_end_is_the_first_minute_at_which_it_is_off(
    times: list[tuple[int, int]],
    days: list[tuple[int, int]],
    change: tuple[str, datetime],
    minutes: int,
) -> None:
    """Counted minute by minute over days on which clocks change, at midnight or by half an hour."""
    zone, begin = change
    spans = tuple((first, end - 1) for first, end in times)
    one = Window("", ZoneInfo(zone), spans, tuple(days))
    start = begin + minutes * MINUTE
    if one.is_on(start):
        counted = (start + number * MINUTE for number in range(1, 2 * 24 * 60))
        expected = next((moment for moment in counted if not one.is_on(moment)), None)
        found = one.ends_after(start)
        assert found == expected or (
            expected is None and (found is None or found > start + timedelta(days=2) - MINUTE)
        )
