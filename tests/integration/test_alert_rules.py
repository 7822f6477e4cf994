"""Rules and silences: read from imt.toml, held against alerts, as Alertmanager does it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imtkit.alerts.rules import matcher_from_text, rulebook_from_settings
from imtkit.config import load_settings
from imtkit.config.alerts import CANNOT_SIGN, AlertSettings, RuleSettings, SilenceSettings
from imtkit.config.windows import window_from_table
from imtkit.errors import ConfigError

AMTOOL = shutil.which("amtool")

CASES = [
    'x="a"', "x=a", 'x!="a"', 'x=~"a.*"', 'x!~"a.*"', 'x=~"a|b"', 'x=""', 'x!=""', 'x=~""',
    'x=~".+"', 'x!~".+"', r'x=~"a\\.b"', r'x="a\"b"', r'x="a\\b"', 'x=~"(?i)A"',
    'x=~"[[:alpha:]]+"', 'x=~"a{2}"', 'x=~"^a$"', 'x=~"("', 'x="a', "x", 'x=~"(?=a)"',
]  # fmt: skip
SAID = ["", "a", "b", "ab", "aa", "a.b", 'a"b', "a\\b", "axb"]


@pytest.mark.skipif(not AMTOOL, reason="amtool (Debian's prometheus-alertmanager) is not here")
def test_amtool_agrees(tmp_path: Path) -> None:
    """Alertmanager's own program takes and refuses the same, and routes the same alerts.

    But for 'a)|(b', which it takes, and which is no expression.
    """
    taken = []
    for case in CASES:
        route = {"receiver": "no", "routes": [{"receiver": "yes", "matchers": [case]}]}
        config = {"route": route, "receivers": [{"name": "no"}, {"name": "yes"}]}
        path = tmp_path / "alertmanager.json"
        path.write_text(json.dumps(config))
        checked = subprocess.run(
            [AMTOOL, "check-config", path], capture_output=True, check=False, text=True
        )
        try:
            matcher = matcher_from_text(case)
        except ConfigError:
            assert checked.returncode != 0, case
            continue
        assert checked.returncode == 0, (case, checked.stderr)
        taken.append((case, matcher))
    routes = [
        {"receiver": str(n), "matchers": [c], "continue": True} for n, (c, _) in enumerate(taken)
    ]
    names = ["none", *(one["receiver"] for one in routes)]
    config = {
        "route": {"receiver": "none", "routes": routes},
        "receivers": [{"name": name} for name in names],
    }
    path.write_text(json.dumps(config))
    for said in SAID:
        label = "y=1" if not said else f"x={json.dumps(said)}"
        words = [AMTOOL, "config", "routes", "test", f"--config.file={path}", label]
        shown = subprocess.run(words, capture_output=True, check=True, text=True).stdout
        agreed = [str(n) for n, (_, one) in enumerate(taken) if one.does_match({"x": said})]
        assert shown.strip().split(",") == (agreed or ["none"]), said


def clock(start: str, end: str) -> dict[str, list[dict[str, str]]]:
    """Times as Alertmanager writes them."""
    return {"times": [{"start_time": start, "end_time": end}]}


WINDOWS: list[dict] = [
    clock("02:00", "04:00"), clock("22:00", "24:00"), {"weekdays": ["monday:friday", "Sunday"]},
    {"weekdays": ["sunday:saturday"]}, {"days_of_month": ["1:5", "-3:-1", "20:-1", "-31"]},
    {"months": ["january:march", "12", "may:8", "DECEMBER"]}, {"years": ["2020:2022", "2030"]},
    clock("02:00", "04:00") | {"location": "Europe/Berlin"},
]  # fmt: skip
NO_WINDOWS: list[dict] = [
    clock("22:00", "02:00"), clock("02:00", "02:00"), clock("2:00", "04:00"),
    clock("24:00", "24:00"), clock("00:00", "24:01"), {"weekdays": ["saturday:sunday"]},
    {"weekdays": ["sun"]}, {"weekdays": ["monday:tuesday:friday"]}, {"days_of_month": ["25:-10"]},
    {"days_of_month": ["0"]}, {"days_of_month": ["32"]}, {"days_of_month": ["5:1"]},
    {"days_of_month": ["-1:-3"]}, {"days_of_month": ["-3:1"]}, {"months": ["december:january"]},
    {"months": ["jan"]}, {"years": ["2022:2020"]}, {"years": ["x"]},
    clock("02:00", "04:00") | {"location": "Nowhere/Here"},
]  # fmt: skip


@pytest.mark.skipif(not AMTOOL, reason="amtool (Debian's prometheus-alertmanager) is not here")
def test_amtool_agrees_on_windows(tmp_path: Path) -> None:
    """What Alertmanager's own program takes as a time interval is a window here, and no more.

    But for months beyond 12, which it takes, and for the 31st to the last, which it does not.
    """
    for windows in (WINDOWS, *([one] for one in NO_WINDOWS)):
        intervals = [{"name": "x", "time_intervals": windows}]
        config = {"route": {"receiver": "no"}, "receivers": [{"name": "no"}]}
        path = tmp_path / "alertmanager.json"
        path.write_text(json.dumps(config | {"time_intervals": intervals}))
        checked = subprocess.run([AMTOOL, "check-config", path], capture_output=True, check=False)
        if windows is WINDOWS:
            assert all(window_from_table(one, "here") for one in windows)
            assert checked.returncode == 0, checked.stderr
            continue
        assert checked.returncode != 0, windows
        with pytest.raises(ConfigError):
            window_from_table(windows[0], "here")


NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rulebook(workspace: Path, **alerts):
    """The rulebook of a workspace with these rules and silences."""
    return rulebook_from_settings(replace(load_settings(workspace), alerts=AlertSettings(**alerts)))


@pytest.mark.parametrize(
    ("alerts", "what"),
    [
        ({"rules": (RuleSettings("pay", ("x=~(",)),)}, r"\[\[alerts.rules\]\] 'pay': .*unclosed"),
        ({"rules": (RuleSettings("pay", severity="sev9"),)}, "'pay': Severity 'sev9' not found"),
        ({"rules": (RuleSettings("pay", per_hour=-1),)}, "per_hour = -1"),
        ({"rules": (RuleSettings("pay", runbooks=("a\nb",)),)}, "can have no such name"),
        ({"rules": (RuleSettings(" "),)}, "no name that can be read"),
        (
            {"silences": (SilenceSettings("move", ("x",), NOON, NOON + HOUR),)},
            r"\[\[alerts.silences\]\] 'move': 'x' is no matcher",
        ),
        ({"silences": (SilenceSettings("", (), NOON, NOON + HOUR),)}, "'1' does not say which"),
        ({"silences": (SilenceSettings("", ("x=a",), NOON, NOON),)}, "ends before it begins"),
    ],
)
def test_what_cannot_be_meant_is_named_by_its_place(
    workspace: Path, alerts: dict, what: str
) -> None:
    """The message names imt.toml, the table and the rule."""
    with pytest.raises(ConfigError, match=what) as refused:
        rulebook(workspace, **alerts)
    assert str(workspace / "imt.toml") in str(refused.value)


@pytest.mark.parametrize("kind", CANNOT_SIGN)
def test_who_has_no_signature_is_not_asked_for_one(workspace: Path, kind: str) -> None:
    """imt.toml is refused, with what to do instead, before a sender is."""
    secret = 'secrets = ["secret://env/TOKEN"]'
    with (workspace / "imt.toml").open("a") as file:
        file.write(f'\n[alerts.sources.own]\nkind = "{kind}"\nproof = "signature"\n{secret}\n')
    with pytest.raises(ConfigError, match=rf"alerts.sources.own\] asks .* '{kind}'") as refused:
        load_settings(workspace)
    assert "bearer" in refused.value.hint


def test_a_silence_counts_from_its_start_until_its_end(workspace: Path) -> None:
    """At its end it is over; what it says of itself is the same."""
    one = SilenceSettings("move", ("x=a",), NOON, NOON + HOUR)
    (silence,) = rulebook(workspace, silences=(one,)).silences
    times = (NOON - HOUR, NOON, NOON + HOUR)
    assert [silence.is_on(at) for at in times] == [False, True, False]
    assert [silence.time_verdict(at).is_met for at in times] == [False, True, False]
    assert silence.time_verdict(NOON + HOUR).reason == "it is over"
