"""What alerts would come to is what they come to: tried on a log that nothing is written to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alert_bodies import delivery
from clocks import NOON, FixedClock
from hypothesis import given, settings
from hypothesis import strategies as st
from notebook_files import SOUND, code, write_notebook

from imtkit.config import Service
from imtkit.config.alerts import RuleSettings
from imtkit.contracts import Query
from imtkit.errors import InputError, NotFoundError
from imtkit.kit import Desk, alert_rules, alerts, incidents
from imtkit.kit.rehearsal import rehearsed
from imtkit.model.incident import Incident
from imtkit.store import open_store

RULES = (
    RuleSettings("pay", ("service=pay",), ("trial",), severity="sev1", at_once=1),
    RuleSettings("all", (), ("trial",), assign={"lead": "Lea"}, per_hour=2),
)


@pytest.fixture
def at_work(desk: Desk, workspace: Path) -> Desk:
    """The desk in a workspace of limits, roles and a runbook."""
    cells = [code("p", "", "parameters"), code("a", "1")]
    write_notebook(workspace / "runbooks/trial.ipynb", cells, about=SOUND)
    told = replace(desk.settings.alerts, rules=RULES)
    services = {"pay": Service("pay", "payments", ("shop",), {"scribe": "Sam"})}
    return replace(desk, settings=replace(desk.settings, alerts=told, services=services))


def told_of(number: int, service: str, status: str, severity: str) -> dict[str, Any]:
    """An alert; the number makes it another."""
    labels = {"alertname": f"A{number}", "severity": severity}
    labels |= {"service": service} if service else {}
    over = {"endsAt": "2026-11-21T10:30:00Z"} if status == "resolved" else {}
    return {"labels": labels, "fingerprint": f"{number:016x}", "status": status, **over}


ALERTS = st.builds(
    told_of,
    st.integers(1, 5),
    st.sampled_from(["pay", "orders", ""]),
    st.sampled_from(["firing", "firing", "resolved"]),
    st.sampled_from(["critical", "info"]),
)
DELIVERIES = st.lists(st.lists(ALERTS, min_size=1, max_size=4), min_size=1, max_size=4)


@given(before=DELIVERIES, after=DELIVERIES)
@settings(max_examples=10)
def test_what_is_tried_is_what_comes_of_it(
    at_work: Desk, before: list[list[dict[str, Any]]], after: list[list[dict[str, Any]]]
) -> None:
    """On any log, of any deliveries: each alert's fate, its roles, and what runs within limits."""
    clock = FixedClock(NOON)
    with replace(at_work, store=open_store("sqlite://", clock=clock), clock=clock) as desk:
        for one in before:
            alerts.receive(desk, delivery(*one, group="g"))
        tried, count = rehearsed(desk), len(list(desk.store.entries()))
        foretold = [
            told for one in after for told in alert_rules.explain(tried, delivery(*one, group="g"))
        ]
        assert len(list(desk.store.entries())) == count
        homes = {told.outcome.incident for told in foretold if told.outcome.incident}
        there = {home: as_told(tried.store.incident(home)) for home in homes}
        done = [told for one in after for told in alerts.receive(desk, delivery(*one, group="g"))]
        named: dict[str, str] = {}
        for expected, found in zip(foretold, done, strict=True):
            assert expected.outcome.action == found.action
            assert expected.outcome.rules == found.rules
            home = named.setdefault(expected.outcome.incident, found.incident)
            assert home == found.incident
            if found.action in ("opened", "joined"):
                runs = [book for book in expected.runbooks if book.is_run]
                assert len(runs) == len(found.requested)
        for tried_as, home in named.items():
            if home:
                assert as_told(desk.store.incident(home)) == there[tried_as]


def as_told(incident: Incident) -> tuple[object, ...]:
    """What alerts make of an incident."""
    types = tuple(entry.type for entry in incident.entries)
    return (incident.severity, incident.roles, incident.owner, incident.tags, types)


def test_a_rehearsal_keeps_to_itself_what_is_written(at_work: Desk) -> None:
    """Its lists, incidents and keys know it; the log does not, and neither does a second one."""
    (opened,) = alerts.receive(at_work, delivery(told_of(1, "pay", "firing", "info")))
    tried = rehearsed(at_work)
    assert rehearsed(tried) is tried
    incidents.set_fields(tried, opened.incident, {"severity": "sev2", "title": "Tried"})
    alert_rules.explain(tried, delivery(told_of(2, "orders", "firing", "info")))
    assert [one.id for one in tried.store.incidents(Query())] == ["NEW-1", opened.incident]
    assert [one.id for one in tried.store.incidents(Query(severities=("sev2",)))] == [
        opened.incident
    ]
    assert tried.store.incidents(Query(severities=("sev1",))) == []
    assert tried.store.incidents(Query(service="orders", limit=1))[0].id == "NEW-1"
    assert at_work.store.incident(opened.incident).title != "Tried"
    assert [one.id for one in at_work.store.incidents(Query())] == [opened.incident]
    assert [one.id for one in rehearsed(at_work).store.incidents(Query())] == [opened.incident]
    with pytest.raises(NotFoundError):
        tried.store.incident("NEW-7")


def test_what_the_log_would_refuse_is_refused(at_work: Desk) -> None:
    """A number that has no exact form is no entry here either."""
    tried = rehearsed(at_work)
    draft = tried.acting_as("Ann").draft("incident.opened", {"measures": {"x": 2**60}})
    with pytest.raises(InputError, match="cannot be kept exactly"):
        tried.store.open_incident(draft)
    assert json.dumps(tried.store.incidents()) == "[]"
