"""From each sender's first word of an alert to its last: one incident, whose end is proposed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alert_messages import (
    MAPPED,
    alertmanager,
    body,
    datadog,
    grafana,
    grafana_legacy,
    mapped,
    opsgenie,
    pagerduty,
    sentry_event,
    sentry_issue,
    sentry_metric,
    sns,
    source,
    zabbix,
)

from imtkit.kit import Desk, alerts, incidents

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
OVER = {"status": "resolved", "endsAt": "2026-11-21T09:30:00Z"}
LATER = "2026-11-21T09:30:00.000+0000"

STORIES: list[tuple[str, Any, list[dict], dict]] = [
    ("alertmanager", source("alertmanager"), [alertmanager()], alertmanager(**OVER)),
    ("grafana", source("grafana"), [grafana()], grafana(**OVER)),
    ("grafana-legacy", source("grafana"), [grafana_legacy()], grafana_legacy(state="ok")),
    (
        "pagerduty",
        source("pagerduty"),
        [pagerduty(), pagerduty("incident.acknowledged")],
        pagerduty("incident.resolved"),
    ),
    ("sns", source("sns"), [sns()], sns(NewStateValue="OK", StateChangeTime=LATER)),
    (
        "datadog",
        source("datadog"),
        [datadog(), datadog(transition="Re-Triggered", date="1795252000000")],
        datadog(transition="Recovered", date="1795253400000"),
    ),
    ("sentry-issue", source("sentry"), [sentry_issue()], sentry_issue("resolved")),
    (
        "sentry-event",
        source("sentry"),
        [sentry_event(), sentry_event(datetime="2026-11-21T09:40:00Z")],
        sentry_issue("resolved"),
    ),
    (
        "sentry-metric",
        source("sentry"),
        [sentry_metric("warning"), sentry_metric()],
        sentry_metric("resolved"),
    ),
    ("opsgenie", source("opsgenie"), [opsgenie(), opsgenie("AddNote")], opsgenie("Close")),
    ("zabbix", source("zabbix"), [zabbix(), zabbix(update="1")], zabbix(status="RESOLVED")),
    ("mapped", MAPPED, [mapped()], mapped(state="closed")),
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story[0])
def test_an_alert_is_one_episode_from_its_first_message_to_its_last(desk: Desk, story):
    """The first opens an incident, later ones and repeats are known, the last ends it."""
    _, sender, firing, over = story
    actions = []
    incident_ids = set()
    messages = [*firing, firing[0], over]
    for minute, message in enumerate(messages):
        at = NOON + timedelta(minutes=minute)
        for outcome in alerts.receive(desk, body(message), source=sender, at=at):
            actions.append(outcome.action)
            incident_ids.add(outcome.incident)
    assert actions[0] == "opened"
    assert actions[-1] == "resolved"
    assert set(actions[1:-1]) == {"known"}
    (incident_id,) = incident_ids
    incident = incidents.get(desk, incident_id)
    assert incident.services == ("orders",)
    assert [alert.status for alert in incident.alerts] == ["resolved"]
    assert "resolution.proposed" in [entry.type for entry in incident.entries]
    assert desk.store.verify() == []


def test_an_incident_of_pagerdutys_that_is_reopened_is_ended_again(desk: Desk):
    """Its second episode is another alert, and the second resolution is of that one."""
    sender = source("pagerduty")
    kinds = ("triggered", "resolved", "reopened", "resolved")
    for hour, kind in enumerate(kinds):
        message = pagerduty(f"incident.{kind}")
        message["event"]["occurred_at"] = f"2026-11-21T{10 + hour}:00:00Z"
        (outcome,) = alerts.receive(desk, body(message), source=sender, at=NOON)
        assert outcome.action in (("resolved",) if kind == "resolved" else ("opened", "joined"))
    told = incidents.get(desk, outcome.incident).alerts
    assert [alert.status for alert in told] == ["resolved"] * len(told)
