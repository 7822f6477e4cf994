"""Recorded messages of every sender, where IMT_PAYLOADS names a folder of them."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imtkit.alerts.payloads import Delivery, delivery_from
from imtkit.config.alerts import SourceSettings

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


def delivery_of(recording: str) -> Delivery:
    """A recording, read as the sender that its folder names."""
    folder = recording.partition("/")[0].removesuffix("-captured")
    kind = "mapped" if recording in MAPPED else folder
    fields = MAPPED.get(recording, {})
    over = ("closed", "deactivated")
    source = SourceSettings(folder, kind, proof="none", fields=fields, resolved=over)
    return delivery_from(source, (PAYLOADS / recording).read_bytes(), at=AT)


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
