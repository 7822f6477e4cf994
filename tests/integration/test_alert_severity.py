"""How bad an alert came makes its incident worse: never better, and never over a person."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alert_bodies import delivery
from clocks import NOON, FixedClock
from hypothesis import given, settings
from hypothesis import strategies as st

from imtkit.alerts.payloads import delivery_from
from imtkit.config import Settings, load_settings, shipped
from imtkit.config.alerts import RuleSettings
from imtkit.contracts import Store
from imtkit.kit import Desk, alert_rules, alerts, incidents
from imtkit.kit.alerts import ALERTMANAGER, Arrival
from imtkit.model.words import sentence
from imtkit.store import open_store


def came(which: int, severity: str = "", name: str = "DiskFull", **more: Any) -> dict[str, Any]:
    """An alert of orders that came with this severity."""
    labels = {"alertname": name, "service": "orders"}
    told = {"labels": labels | ({"severity": severity} if severity else {})}
    return told | {"fingerprint": f"{which}"} | more


def take(desk: Desk, *told: dict[str, Any]) -> str:
    """The incident that these alerts come to."""
    return alerts.receive(desk, delivery(*told))[-1].incident


def with_rules(desk: Desk, *rules: RuleSettings) -> Desk:
    return replace(
        desk, settings=replace(desk.settings, alerts=replace(desk.settings.alerts, rules=rules))
    )


def of_severity(desk: Desk, incident_id: str, type_: str = "severity.changed") -> list[Any]:
    """What the incident's entries of this type say."""
    found = incidents.get(desk, incident_id).entries
    return [dict(entry.data) for entry in found if entry.type == type_]


def test_an_alert_that_joins_makes_its_incident_as_bad_as_it_came(desk: Desk):
    """The reason names the alert; the same again, and one that is less bad, change nothing."""
    incident_id = take(desk, came(1, "info"))
    assert incidents.get(desk, incident_id).severity == "sev4"
    for _ in range(2):
        take(desk, came(2, "Critical", name="DiskFull\u202e"))
    take(desk, came(3, "warning"), came(4, "page"))
    assert of_severity(desk, incident_id) == [
        {"from": "sev4", "to": "sev2", "reason": "the alert 'DiskFull⟨U+202E⟩' came as critical"}
    ]
    entries = incidents.get(desk, incident_id).entries
    changed = next(one for one in entries if one.type == "severity.changed")
    assert changed.key == "alert/alertmanager/2/2026-11-21T10:00:00+00:00/severity"
    assert changed.actor == "automation/alertmanager"
    assert sentence(changed) == (
        "Severity changed from sev4 to sev2: the alert 'DiskFull⟨U+202E⟩' came as critical"
    )


def test_who_comes_second_to_an_opening_that_a_person_changed_proposes_there(desk: Desk):
    """Another server opened the incident and a person set its severity, before this one's write:
    what is proposed is the incident's own, known by its id and no other name.
    """

    def meanwhile() -> None:
        incident_id = take(desk, came(1, "critical"))
        incidents.set_fields(desk, incident_id, {"severity": "sev4"})

    store: Any = Beaten(desk.store, meanwhile)
    take(replace(desk, store=store), came(2, "critical"))
    (summary,) = desk.store.incidents()
    incident = desk.store.incident(summary.id)
    assert (incident.severity, len(incident.alerts)) == ("sev4", 2)
    (proposed,) = (one for one in incident.entries if one.type == "severity.proposed")
    assert proposed.key is not None
    assert proposed.key.startswith(f"{incident.id}/severity/")


class Beaten:
    """A log in which somebody else does something right before an incident is opened here."""

    def __init__(self, store: Store, meanwhile: Callable[[], None]):
        self._store, self._meanwhile = store, [meanwhile]

    def __getattr__(self, name: str) -> Any:
        if name == "open_with":
            while self._meanwhile:
                self._meanwhile.pop()()
        return getattr(self._store, name)


def test_a_word_that_nobody_knows_makes_nothing_worse(desk: Desk):
    """Neither an unknown severity nor none: the default is for what is opened."""
    incident_id = take(desk, came(1, "info"))
    take(desk, came(2, "catastrophic"), came(3), came(4, "sev0"))
    incident = incidents.get(desk, incident_id)
    assert (incident.severity, len(incident.alerts)) == ("sev4", 4)
    assert of_severity(desk, incident_id) == []


def test_a_label_is_silent_where_a_rule_or_a_number_speaks(desk: Desk):
    """As when an incident is opened."""
    desk = with_rules(desk, RuleSettings("calm", ("alertname=Calm",), severity="sev3"))
    incident_id = take(desk, came(1, "info"))
    take(desk, came(2, "critical", name="Calm"))
    take(desk, came(3, "sev1", annotations={"measure_error_rate": "0.0001"}))
    assert [one["reason"] for one in of_severity(desk, incident_id)] == ["the rule 'calm' says so"]
    assert incidents.get(desk, incident_id).severity == "sev3"


def test_what_a_person_set_a_label_leaves(desk: Desk):
    """The worse one is proposed, once for each choice of a person; a rule still raises."""
    desk = with_rules(desk, RuleSettings("rule", ("alertname=Ruled",), severity="sev2"))
    incident_id = take(desk, came(1, "critical"))
    incidents.set_fields(desk, incident_id, {"severity": "sev4"}, reason="a drill of theirs")
    take(desk, came(2, "critical"))
    take(desk, came(3, "page"), came(4, "critical"))
    assert incidents.get(desk, incident_id).severity == "sev4"
    grounds = ["the alert 'DiskFull' came as critical", "a person set sev4"]
    proposed = {"severity": "sev2", "grounds": grounds, "alert": "DiskFull"}
    assert of_severity(desk, incident_id, "severity.proposed") == [proposed]
    entries = incidents.get(desk, incident_id).entries
    said = [sentence(one) for one in entries if one.type == "severity.proposed"]
    assert said == [f"An alert asks for severity sev2: {', '.join(grounds)}"]
    incidents.set_fields(desk, incident_id, {"severity": "sev3"})
    take(desk, came(5, "critical"))
    assert len(of_severity(desk, incident_id, "severity.proposed")) == 2
    take(desk, came(6, name="Ruled"), came(7, "sev1"))
    assert incidents.get(desk, incident_id).severity == "sev1", "a machine's, as the rule's was"


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A workspace as it is begun, with four severities."""
    root = tmp_path_factory.mktemp("workspace")
    shutil.copy(shipped("templates") / "imt.toml", root)
    return load_settings(root)


def arrivals(words: Sequence[str]) -> list[Arrival]:
    bodies = [delivery(came(which, word)) for which, word in enumerate(words)]
    return [Arrival(ALERTMANAGER, delivery_from(ALERTMANAGER, one), NOON) for one in bodies]


def log_of(store: Store) -> list[tuple[str, str | None, Any]]:
    return [(one.type, one.key, dict(one.data)) for one in store.entries()]


RANKS = {"sev1": 1, "page": 2, "error": 3, "info": 4, "odd": 5, "": 5}


@settings(max_examples=25)
@given(st.lists(st.sampled_from(sorted(RANKS)), min_size=1, max_size=12), st.integers(2, 12))
def test_any_order_ends_at_the_worst(levels: Settings, words: list[str], at_once: int):
    """By one change for each that is worse than all before; in whatever batches, and once more."""
    logs = []
    for size in (1, at_once):
        with closing(open_store("sqlite://", clock=FixedClock())) as store:
            desk = Desk(levels, store, FixedClock(), "automation/serve", "web")
            book = alerts.Playbook()
            told = arrivals(words)
            for first in range(0, len(told), size):
                alerts.receive_all(desk, told[first : first + size], book)
            logs.append(log_of(store))
            alerts.receive_all(desk, told, book)
            assert log_of(store) == logs[-1]
            (listed,) = store.incidents()
            assert store.verify() == []
            assert store.stale_lists() == []
    assert logs[0] == logs[1]
    opened = min(RANKS[words[0]], 5)
    default = levels.severities.rank(levels.severities.default)
    ranks = [default if opened == 5 else opened, *(RANKS[word] for word in words[1:])]
    assert levels.severities.rank(listed.severity) == min(ranks)
    steps = sum(rank < min(ranks[:place]) for place, rank in enumerate(ranks) if place)
    assert sum(type_ == "severity.changed" for type_, _, _ in logs[0]) == steps


class Counted:
    """A log that counts how often an incident is looked into."""

    def __init__(self, store: Store):
        self._store, self.looks = store, 0

    def __getattr__(self, name: str) -> Any:
        self.looks += name in ("change", "incident")
        return getattr(self._store, name)


def test_a_storm_looks_into_its_incident_once(desk: Desk):
    """For the alert that makes it worse, and not for those after it; nor where a person chose."""
    incident_id = take(desk, came(0, "info"))
    counted: Any = Counted(desk.store)
    book, there = alerts.playbook(desk.settings), replace(desk, store=counted)
    alerts.receive_all(there, arrivals(["", *["critical"] * 20]), book)
    assert counted.looks == 1
    alerts.receive_all(there, arrivals(["critical"] * 40)[21:], book)
    assert counted.looks == 1
    incidents.set_fields(desk, incident_id, {"severity": "sev3"})
    for some in (60, 80):
        alerts.receive_all(there, arrivals(["critical"] * some)[some - 20 :], book)
    assert counted.looks == 1
    assert incidents.get(desk, incident_id).severity == "sev3"
    assert len(of_severity(desk, incident_id, "severity.proposed")) == 1


def test_explain_tells_what_an_alert_does_to_the_severity(desk: Desk, workspace: Path):
    """Of one that joins: which it would be and why, or why it would only be proposed."""
    incident_id = take(desk, came(1, "info"))
    worse, same = alert_rules.explain(desk, delivery(came(2, "page"), came(3, "page")))
    assert (worse.severity, worse.grounds) == ("sev2", "the alert 'DiskFull' came as page")
    assert (same.severity, same.grounds) == ("", "")
    assert of_severity(desk, incident_id) == []
    incidents.set_fields(desk, incident_id, {"severity": "sev3"})
    (held,) = alert_rules.explain(desk, delivery(came(2, "page")))
    assert (held.severity, held.grounds) == (
        "",
        "the alert 'DiskFull' came as page; a person set sev3",
    )
