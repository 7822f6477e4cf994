"""Recorded messages of every sender, where IMT_PAYLOADS names a folder of them."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from imtkit.alerts.payloads import Delivery, delivery_from
from imtkit.config.alerts import SourceSettings
from imtkit.kit import Desk, alerts, incidents
from imtkit.kit.alerts import Outcome
from imtkit.model.incident import Incident

PAYLOADS = Path(os.environ.get("IMT_PAYLOADS", ""))
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)

pytestmark = pytest.mark.skipif(
    not os.environ.get("IMT_PAYLOADS"), reason="IMT_PAYLOADS names no folder of real payloads"
)

AZURE_CLASSIC = {
    "fingerprint": "context.id",
    "status": "status",
    "name": "context.name",
    "title": "context.name",
    "description": "context.description",
    "service": "context.resourceName",
    "url": "context.portalLink",
}
AZURE = {name: f"data.{path}" for name, path in AZURE_CLASSIC.items()} | {
    "severity": "data.context.severity"
}
GOOGLE = {
    "fingerprint": "incident.incident_id",
    "status": "incident.state",
    "started_at": "incident.started_at",
    "ended_at": "incident.ended_at",
    "name": "incident.policy_name",
    "title": "incident.summary",
    "service": "incident.resource_name",
    "url": "incident.url",
}
NEWRELIC = {
    "fingerprint": "id",
    "status": "state",
    "started_at": "createdAt",
    "name": "condition_name",
    "title": "details",
    "service": "alertPolicyNames.0",
    "url": "issueUrl",
}
NEWRELIC_OLD = NEWRELIC | {
    "fingerprint": "incident_id",
    "status": "current_state",
    "started_at": "timestamp",
    "service": "policy_name",
    "severity": "severity",
    "url": "incident_url",
}

MAPPED = {
    "azure/azuremonitor_classic_metric_alert.json": AZURE_CLASSIC,
    "azure/azuremonitor_new_metric_alert.json": AZURE,
    "google/stackdriver_closed.json": GOOGLE,
    "google/stackdriver_open.json": GOOGLE,
    "newrelic/incident_active_new.json": NEWRELIC,
    "newrelic/new_relic_notification.json": NEWRELIC_OLD,
}

EXPECTED: dict[str, list[tuple[str, str, str]]] = {
    "azure/azuremonitor_classic_metric_alert.json": [
        ("firing", "Alert_1_runscope12", "helixtest1")
    ],
    "azure/azuremonitor_new_metric_alert.json": [("resolved", "CpuUtilHigh", "web01")],
    "google/stackdriver_closed.json": [("resolved", "Webserver Health", "webserver-85")],
    "google/stackdriver_open.json": [("firing", "Webserver Health", "webserver-85")],
    "grafana/alert_multiple_v8.json": [
        ("firing", "High memory usage", ""),
        ("firing", "High CPU usage", ""),
    ],
    "grafana/alert_values_v11.json": [("firing", "Memory (copy)", "")],
    "grafana/grafana_6.json": [("firing", "Testing -> Battery Voltage alert", "Physical")],
    "newrelic/incident_active_new.json": [("firing", "Server Down", "Test policy name")],
    "newrelic/new_relic_notification.json": [
        ("firing", "New Relic Alert - Test Condition", "New Relic Alert - Test Policy")
    ],
    "opsgenie/close.json": [("resolved", "test alert", "")],
    "opsgenie/create.json": [("firing", "another alert", "Server")],
    "pagerduty/resolved_v3.json": [("resolved", "Test Incident", "pig208")],
    "pagerduty/triggered_v3.json": [("firing", "Test Incident 3", "pig208")],
    "sentry/issue_created_for_exception.json": [
        ("firing", "Exception: Custom exception!", "zulip-integration-testing")
    ],
    "sentry/issue_resolved.json": [
        (
            "resolved",
            "Exception: program has entered an invalid state.",
            "zulip-integration-testing",
        )
    ],
    "sentry/sentry_payload_v9.json": [
        ("firing", "This is an example Python exception", "internal")
    ],
    "sns/cloudwatch_insufficient_data.json": [],
    "sns/cloudwatch_notification.json": [("firing", "bucketbytesAlarm", "try.alerta.io")],
    "sns/cloudwatch_subscription_confirmation.json": [],
    "zabbix/zabbix_alert.json": [
        (
            "firing",
            "Zabbix agent on www.example.com is unreachable for 5 minutes",
            "www.example.com",
        )
    ],
}
"""Status, name and service of every alert in every recording but Alertmanager's."""


def source_of(recording: str) -> SourceSettings:
    """The sender that a recording's folder names."""
    folder = recording.partition("/")[0].removesuffix("-captured")
    kind = "mapped" if recording in MAPPED else folder
    fields = MAPPED.get(recording, {})
    over = ("closed", "deactivated")
    return SourceSettings(folder, kind, proof="none", fields=fields, resolved=over)


def delivery_of(recording: str) -> Delivery:
    """A recording, read as the sender that its folder names."""
    return delivery_from(source_of(recording), (PAYLOADS / recording).read_bytes(), at=AT)


def test_no_recording_is_left_out():
    """What is added to the folder is expected to say something."""
    recorded = {path.relative_to(PAYLOADS).as_posix() for path in PAYLOADS.glob("*/*.json")}
    assert {one for one in recorded if not one.startswith("alertmanager-captured/")} == {*EXPECTED}


@pytest.mark.parametrize("recording", EXPECTED)
def test_a_recording_says_what_it_said(recording: str):
    """Status, name and service of each alert; the times lie where the recording's do."""
    delivery = delivery_of(recording)
    told = [(notice.status, notice.name, notice.service) for notice in delivery.notices]
    assert told == EXPECTED[recording]
    for notice in delivery.notices:
        assert notice.title
        assert notice.started_at.year < 2026 or notice.started_at == AT
        assert (notice.ended_at is None) == (notice.status == "firing")


def test_what_is_recorded_of_one_alert_is_one_episode():
    """Google's closed incident is the one that was open."""
    (fired,) = delivery_of("google/stackdriver_open.json").notices
    (over,) = delivery_of("google/stackdriver_closed.json").notices
    assert fired.episode == over.episode
    assert over.started_at == datetime(2017, 7, 6, 19, 10, 14, tzinfo=UTC)
    assert over.ended_at == datetime(2017, 7, 6, 19, 20, 36, tzinfo=UTC)


def test_the_recorded_subscription_waits_to_be_confirmed():
    """The address is Amazon's, and the topic is told."""
    delivery = delivery_of("sns/cloudwatch_subscription_confirmation.json")
    assert delivery.confirm.startswith("https://sns.eu-west-1.amazonaws.com/?Action=Confirm")
    assert delivery.topic == "arn:aws:sns:eu-west-1:1234567890:alerta-test"


def test_captured_traffic_of_alertmanager_is_read_whole():
    """Every alert of every request, with its labels as they were and how many were left out."""
    bodies = sorted(PAYLOADS.glob("alertmanager-captured/*.body.json"))
    assert bodies
    for path in bodies:
        posted = json.loads(path.read_bytes())
        delivery = delivery_of(f"alertmanager-captured/{path.name}")
        assert delivery.left_out == posted["truncatedAlerts"]
        assert [notice.fingerprint for notice in delivery.notices] == [
            alert["fingerprint"] for alert in posted["alerts"]
        ]
        for notice, alert in zip(delivery.notices, posted["alerts"], strict=True):
            assert notice.labels == alert["labels"]
            assert notice.annotations == alert["annotations"]
            assert notice.status == alert["status"]


def received(desk: Desk, *recordings: str) -> list[Outcome]:
    """What becomes of recordings that come one after the other."""
    told: list[Outcome] = []
    for one in recordings:
        told += alerts.receive(desk, (PAYLOADS / one).read_bytes(), source=source_of(one), at=AT)
    return told


def incidents_in(desk: Desk) -> list[Incident]:
    """All incidents."""
    return [incidents.get(desk, one.id) for one in desk.store.incidents()]


def told_of(incident: Incident) -> tuple[object, ...]:
    """Title, severity, services, and each alert's name and status."""
    named = {(alert.name, alert.status) for alert in incident.alerts}
    return incident.title, incident.severity, incident.services, named


# The expected titles and severities were read in the recordings by hand: PagerDuty's urgency
# "high" pages somebody, Opsgenie's priority 3 and Zabbix's "Average" are warnings, New Relic says
# INFO, Sentry "error"; who says nothing gets imt.toml's default.
INCIDENTS = {
    "azure/azuremonitor_classic_metric_alert.json": ("Alert_1_runscope12", "sev3"),
    "google/stackdriver_open.json": (
        "CPU (agent) for webserver-85 is above the threshold of 1% with a value of 28.5%",
        "sev3",
    ),
    "grafana/alert_multiple_v8.json": ("This alert was triggered for zone us-1", "sev3"),
    "grafana/alert_values_v11.json": ("High memory usage", "sev3"),
    "grafana/grafana_6.json": ("[Alerting] TEST -> Battery Voltage alert", "sev3"),
    "newrelic/incident_active_new.json": ("Violation description test.", "sev3"),
    "newrelic/new_relic_notification.json": ("I am a test Violation", "sev4"),
    "opsgenie/create.json": ("another alert", "sev3"),
    "pagerduty/triggered_v3.json": ("Test Incident 3", "sev2"),
    "sentry/issue_created_for_exception.json": ("Exception: Custom exception!", "sev3"),
    "sentry/sentry_payload_v9.json": ("This is an example Python exception", "sev3"),
    "sns/cloudwatch_notification.json": ('ALARM: "bucketbytesAlarm" in EU (Ireland)', "sev3"),
    "zabbix/zabbix_alert.json": (
        "Zabbix agent on www.example.com is unreachable for 5 minutes",
        "sev3",
    ),
}


@pytest.mark.parametrize("recording", EXPECTED)
def test_a_recording_is_the_incident_that_it_tells_of(desk: Desk, recording: str):
    """Title, severity, services and alerts; what is over or no alert opens none, twice is once."""
    alerts_told = EXPECTED[recording]
    if recording not in INCIDENTS:
        assert {one.action for one in received(desk, recording)} <= {"unknown"}
        assert incidents_in(desk) == []
        return
    services = tuple({service for _, _, service in alerts_told} - {""})
    expected = (
        *INCIDENTS[recording],
        services,
        {(name, status) for status, name, _ in alerts_told},
    )
    received(desk, recording)
    assert [told_of(one) for one in incidents_in(desk)] == [expected]
    assert {one.action for one in received(desk, recording)} == {"known"}
    assert [told_of(one) for one in incidents_in(desk)] == [expected]


def test_an_incident_that_was_recorded_open_and_closed_is_one(desk: Desk):
    """Google's two recordings: one incident whose alert is over, and nobody has resolved it."""
    received(desk, "google/stackdriver_open.json", "google/stackdriver_closed.json")
    (incident,) = incidents_in(desk)
    assert [(one.name, one.status) for one in incident.alerts] == [("Webserver Health", "resolved")]
    assert not incident.is_over


WORDS = {"critical": "sev2", "warning": "sev3", "info": "sev4", "none": "sev4"}
"""What the recorded rules say in the label severity, and our level for it."""


def test_captured_traffic_of_alertmanager_is_the_incidents_that_it_tells_of(desk: Desk):
    """All of it in order, redelivered and mixed as it was: by its own fields, read anew here."""
    names = sorted(path.name for path in PAYLOADS.glob("alertmanager-captured/*.body.json"))
    received(desk, *(f"alertmanager-captured/{name}" for name in names))
    expected: dict[str, tuple[Any, ...]] = {}
    homes: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
    for name in names:
        posted = json.loads((PAYLOADS / "alertmanager-captured" / name).read_bytes())
        for alert in posted["alerts"]:
            labels, episode = alert["labels"], (alert["fingerprint"], alert["startsAt"])
            service = labels.get("service") or labels.get("job", "")
            if episode not in homes and alert["status"] == "firing":
                home = service or posted["groupKey"]
                title = alert["annotations"].get("summary") or labels["alertname"]
                severity = WORDS[labels["severity"]]
                services = (service,) if service else ()
                first = (" ".join(title.split()), severity, services, {})
                title, worst, services, alerts = expected.get(home, first)
                expected[home] = (title, min(worst, severity), services, alerts)
                told = expected[home]
                homes[episode] = told[3]
                told[3][alert["fingerprint"]] = labels["alertname"], "firing"
            elif episode in homes and alert["status"] == "resolved":
                homes[episode][alert["fingerprint"]] = labels["alertname"], "resolved"
    found = [
        (*told_of(one)[:3], {a.fingerprint: (a.name, a.status) for a in one.alerts})
        for one in incidents_in(desk)
    ]
    assert sorted(found, key=repr) == sorted(expected.values(), key=repr)
    assert len(found) > 1
