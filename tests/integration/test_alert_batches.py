"""Alerts of several deliveries are considered and written together, and come to the same."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_bodies import delivery
from clocks import NOON, FixedClock
from hypothesis import given, settings
from hypothesis import strategies as st
from notebook_files import SOUND, code, write_notebook

from imtkit.alerts.payloads import delivery_from
from imtkit.config import Settings, load_settings, shipped
from imtkit.config.alerts import RuleSettings, SilenceSettings, SourceSettings
from imtkit.contracts import Store
from imtkit.errors import StoreError
from imtkit.kit import Desk, alerts, incidents
from imtkit.kit.alerts import Arrival
from imtkit.model.entries import WORKSPACE, Entry
from imtkit.store import open_store

MANY = SourceSettings("alertmanager", "alertmanager", proof="none")
TIMELESS = SourceSettings(
    "own",
    "mapped",
    proof="none",
    fields={"name": "t", "status": "s", "service": "v", "fingerprint": "t"},
)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A workspace whose rules raise, run within limits and give roles, and that is silent of n0."""
    root = tmp_path_factory.mktemp("workspace")
    shutil.copy(shipped("templates") / "imt.toml", root)
    for name in ("trial", "other"):
        cells = [code("p", "", "parameters"), code("a", "1")]
        write_notebook(root / "runbooks" / f"{name}.ipynb", cells, about=SOUND)
    found = load_settings(root)
    told = (
        RuleSettings("worse", ("severity=page",), ("other",), severity="sev2"),
        RuleSettings(
            "any",
            runbooks=("trial",),
            per_hour=4,
            at_once=2,
            assign={"owner": "Ann", "scribe": "Bo"},
        ),
    )
    silence = SilenceSettings("", ("instance=n0",), NOON - timedelta(hours=1), NOON)
    return replace(found, alerts=replace(found.alerts, rules=told, silences=(silence,)))


TOLD = st.builds(
    lambda which, hour, status, labels, annotations: {
        "fingerprint": which,
        "startsAt": f"2026-11-21T{hour:02}:00:00Z",
        "status": status,
        "endsAt": "2026-11-21T11:59:00Z",
        "labels": {"alertname": "OrdersFailing", **labels},
        "annotations": annotations,
    },
    st.sampled_from("abcd"),
    st.sampled_from([9, 10]),
    st.sampled_from(["firing", "firing", "resolved"]),
    st.fixed_dictionaries(
        {
            "service": st.sampled_from(["orders", "web", ""]),
            "severity": st.sampled_from(["critical", "page", "info", "sev1", "odd"]),
            "instance": st.sampled_from(["n0", "n1"]),
        }
    ),
    st.sampled_from([{}, {}, {"measure_error_rate": "0.4"}, {"measure_error_rate": "0.01"}]),
)
MESSAGES = st.builds(
    lambda told, group, left_out: (MANY, delivery(*told, group=group, left_out=left_out)),
    st.lists(TOLD, max_size=4),
    st.sampled_from(["", "g", "h"]),
    st.sampled_from([0, 0, 0, 3]),
)
WORDS = st.builds(
    lambda name, state, service: (
        TIMELESS,
        json.dumps({"t": name, "s": state, "v": service}).encode(),
    ),
    st.sampled_from("xy"),
    st.sampled_from(["bad", "ok"]),
    st.sampled_from(["orders", ""]),
)
POSTED = st.lists(MESSAGES | MESSAGES | WORDS, max_size=8)


def arrivals(posted: Sequence[tuple[SourceSettings, bytes]]) -> list[Arrival]:
    """Deliveries, each posted a second after the one before."""
    came = [NOON - timedelta(hours=1) + timedelta(seconds=n) for n in range(len(posted))]
    return [
        Arrival(source, delivery_from(source, body, at=at), at)
        for (source, body), at in zip(posted, came, strict=True)
    ]


def chains(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """What every chain holds, in order; the workspace's, whose order says nothing, is sorted."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for one in store.entries():
        data = {name: value for name, value in one.data.items() if name != "run"}
        said = (one.type, one.key or "", one.actor, json.dumps(data, sort_keys=True))
        key = said if one.key is None or not one.key.endswith("/proposal") else (one.type,)
        found.setdefault(one.incident, []).append(key)
    return {name: sorted(some) if name == WORKSPACE else some for name, some in found.items()}


def received(store: Store) -> Counter[str | None]:
    """Which alerts came, by their keys."""
    return Counter(one.key for one in store.entries() if one.type == "alert.received")


@settings(max_examples=20)
@given(POSTED, st.integers(1, 8), st.sampled_from(["", "", "sev3"]))
def test_together_they_come_to_what_each_comes_to_alone(
    rules: Settings, posted: list[tuple[SourceSettings, bytes]], at_once: int, chosen: str
):
    """The same entries in the same order, with limits, roles, severities (also one that a person
    chose) and silences, and the same is told of each; done once more, no alert is there twice.
    """
    came = arrivals(posted)
    ways: list[tuple[Any, ...]] = []
    for size in (1, at_once):
        with closing(open_store("sqlite://", clock=FixedClock())) as store:
            desk = Desk(rules, store, FixedClock(), "automation/serve", "web")
            if chosen:
                (first,) = alerts.receive(desk, delivery({"fingerprint": "first"}))
                incidents.set_fields(desk.acting_as("Ann"), first.incident, {"severity": chosen})
            book = alerts.playbook(rules)
            told = [
                (one.action, one.fingerprint, one.incident, len(one.requested), one.silenced)
                for first in range(0, len(came), size)
                for outcomes in alerts.receive_all(desk, came[first : first + size], book)
                for one in outcomes
            ]
            ways.append((told, chains(store)))
            before = received(store)
            alerts.receive_all(desk, came, alerts.playbook(rules))
            assert received(store) == before
            assert store.verify() == []
            assert store.stale_lists() == []
    assert ways[0] == ways[1]


class Failing:
    """A log that is down at its n-th write: before it, or after it is on disk."""

    def __init__(self, store: Store, at: int, *, is_after: bool):
        self._store, self._left, self._is_after = store, at, is_after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        writes = ("append", "append_each", "change", "open_with")
        return self._failing(method) if name in writes else method

    def _failing(self, write: Any) -> Any:
        def fail(*given: object) -> Any:
            self._left -= 1
            written = write(*given) if self._left or self._is_after else None
            if not self._left:
                raise StoreError("The log is down.")
            return written

        return fail


@settings(max_examples=20)
@given(POSTED, st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=3))
def test_who_dies_at_any_write_leaves_what_is_whole_when_done_again(
    rules: Settings,
    posted: list[tuple[SourceSettings, bytes]],
    deaths: list[tuple[int, bool]],
):
    """Each alert once, in one incident, no run twice, and within the limits of the rules."""
    came = [one for one in arrivals(posted) if one.source is MANY]
    with closing(open_store("sqlite://", clock=FixedClock())) as store:
        for writes, is_after in deaths:
            down: Any = Failing(store, writes, is_after=is_after)
            desk = Desk(rules, down, FixedClock(), "automation/serve", "web")
            try:
                alerts.receive_all(desk, came, alerts.playbook(rules))
            except StoreError:
                continue
        desk = Desk(rules, store, FixedClock(), "automation/serve", "web")
        alerts.receive_all(desk, came, alerts.playbook(rules))
        entries = list(store.entries())
        assert store.verify() == []
    keyed = Counter(one.key for one in entries if one.key)
    assert set(keyed.values()) <= {1}
    wanted = {
        f"{one.episode}/firing"
        for arrival in came
        for one in arrival.delivery.notices
        if one.status == "firing" and one.labels["instance"] != "n0"
    }
    assert {one.key for one in entries if one.type == "alert.received"} >= wanted
    assert_within_limits(entries)


def assert_within_limits(entries: Sequence[Entry]) -> None:
    """The rule 'any' asked for at most two runs of an incident, and four in its hour."""
    asked = [one for one in entries if one.type == "run.requested" and one.data["rule"] == "any"]
    assert max(Counter(one.incident for one in asked).values(), default=0) <= 2
    assert len(asked) <= 4


def test_two_servers_that_take_in_the_same_write_it_once(rules: Settings, workspace: Path):
    """Whoever looks before the other has written: each alert, its incident and its run are one."""
    told = [{"fingerprint": f"{n}", "labels": {"service": f"s{n % 3}", "x": "1"}} for n in range(9)]
    came = arrivals([(MANY, delivery(*told[n : n + 3])) for n in range(0, 9, 3)])
    with closing(open_store(f"sqlite:///{workspace / 'two.db'}", clock=FixedClock())) as store:
        other = Desk(rules, store, FixedClock(), "automation/serve", "web")
        first: Any = Ahead(store, lambda: alerts.receive_all(other, came, alerts.playbook(rules)))
        desk = Desk(rules, first, FixedClock(), "automation/serve", "web")
        outcomes = alerts.receive_all(desk, came, alerts.playbook(rules))
        entries = list(store.entries())
        assert store.verify() == []
    assert sum(one.type == "alert.received" for one in entries) == 9
    homes = {one.data["fingerprint"]: one.incident for one in entries if "fingerprint" in one.data}
    assert {one.fingerprint: one.incident for some in outcomes for one in some} == homes
    assert len(set(homes.values())) == 3
    assert_within_limits(entries)


class Ahead:
    """A log in which somebody else does the same, right before the first write here."""

    def __init__(self, store: Store, meanwhile: Any):
        self._store, self._meanwhile = store, [meanwhile]

    def __getattr__(self, name: str) -> Any:
        if name in ("append", "append_each", "change", "open_with"):
            while self._meanwhile:
                self._meanwhile.pop()()
        return getattr(self._store, name)


def test_a_storm_costs_few_statements_for_each_alert(rules: Settings):
    """A hundred alerts of ten messages are a handful of writes; the same again is none."""
    told = [{"fingerprint": f"{n}", "labels": {"service": f"s{n % 10}"}} for n in range(100)]
    came = arrivals([(MANY, delivery(*told[n::10])) for n in range(10)])
    with closing(open_store("sqlite://", clock=FixedClock())) as store:
        counted: Any = Counted(store)
        desk = Desk(replace(rules, alerts=replace(rules.alerts, rules=())), counted, FixedClock())
        desk = desk.acting_as("automation/serve", "web")
        book = alerts.playbook(desk.settings)
        alerts.receive_all(desk, came, book)
        assert counted.asked == {"found": 1, "incidents": 10, "find": 10, "open_with": 10}
        counted.asked.clear()
        assert {one.action for some in alerts.receive_all(desk, came, book) for one in some} == {
            "known"
        }
        assert counted.asked == {"found": 1}


class Counted:
    """A log that counts what is asked of it."""

    def __init__(self, store: Store):
        self._store = store
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self._store, name)
