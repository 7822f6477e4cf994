"""Messages of every alert sender, written for the tests by the senders' documentation.

Each function returns one that is sound and takes what is changed of its inner part.
"""

from __future__ import annotations

import json
from typing import Any

from imtkit.config.alerts import SourceSettings

Json = dict[str, Any]

ARN = "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:orders-5xx"
TOPIC = "arn:aws:sns:eu-central-1:111122223333:alarms"


def source(kind: str, **settings: Any) -> SourceSettings:
    """A sender of this kind that proves nothing, under a name of its own."""
    return SourceSettings(f"our-{kind}", kind, proof="none", **settings)


def body(message: object) -> bytes:
    """A message as it is posted."""
    return json.dumps(message).encode()


def alertmanager(**changed: Any) -> Json:
    """Alertmanager 0.34, template/template.go, with one alert."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "OrdersFailing", "service": "orders", "severity": "critical"},
        "annotations": {"summary": "Orders fail", "measure_error_rate": "0.3"},
        "startsAt": "2026-11-21T10:00:00+01:00",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://127.0.0.1:9090/graph",
        "fingerprint": "0d451372052d4ee0",
    }
    return {
        "version": "4",
        "status": "firing",
        "receiver": "imt",
        "groupKey": '{}:{alertname="OrdersFailing"}',
        "truncatedAlerts": 0,
        "alerts": [alert | changed],
    }


def grafana(**changed: Any) -> Json:
    """Grafana's webhook contact point, with one alert."""
    message = alertmanager()
    mine = {
        "panelURL": "https://grafana.example/d/orders?viewPanel=2",
        "silenceURL": "https://grafana.example/alerting/silence/new",
        "dashboardURL": "",
        "valueString": "[ var='B' labels={} value=0.3 ]",
        "generatorURL": "",
    }
    return message | {"version": "1", "alerts": [message["alerts"][0] | mine | changed]}


def grafana_legacy(**changed: Any) -> Json:
    """A notification of Grafana's alerting before version 8."""
    sound = {
        "orgId": 1,
        "ruleId": 12,
        "ruleName": "Orders fail",
        "ruleUrl": "https://grafana.example/d/orders?panelId=2",
        "state": "alerting",
        "title": "[Alerting] Orders fail",
        "message": "More than 5 % fail",
        "tags": {"service": "orders"},
        "evalMatches": [{"value": 7.5, "metric": "5xx", "tags": None}],
    }
    return sound | changed


def pagerduty(event_type: str = "incident.triggered", **changed: Any) -> Json:
    """A PagerDuty V3 event about an incident."""
    incident = {
        "id": "PQ1ORDERS",
        "type": "incident",
        "number": 7,
        "status": "triggered",
        "title": "Orders fail",
        "urgency": "high",
        "priority": {"id": "PPRIO", "type": "priority_reference", "summary": "P2"},
        "service": {"id": "PSERVICE", "type": "service_reference", "summary": "orders"},
        "teams": [{"summary": "shop", "type": "team_reference"}],
        "escalation_policy": {"summary": "Default", "type": "escalation_policy_reference"},
        "html_url": "https://acme.example/incidents/PQ1ORDERS",
        "created_at": "2026-11-21T09:00:00Z",
    }
    event = {
        "id": "01ORDERSEVENT",
        "event_type": event_type,
        "resource_type": "incident",
        "occurred_at": "2026-11-21T09:30:00.500Z",
        "data": incident | changed,
    }
    return {"event": event}


def sns(**changed: Any) -> Json:
    """A CloudWatch alarm in an SNS notification."""
    alarm = {
        "AlarmName": "orders-5xx",
        "AlarmDescription": "Orders fail",
        "AWSAccountId": "111122223333",
        "AlarmArn": ARN,
        "NewStateValue": "ALARM",
        "OldStateValue": "OK",
        "NewStateReason": "Threshold crossed",
        "StateChangeTime": "2026-11-21T09:00:00.250+0000",
        "Region": "EU (Frankfurt)",
        "Trigger": {
            "MetricName": "5XXError",
            "Namespace": "AWS/Lambda",
            "Dimensions": [{"name": "FunctionName", "value": "orders"}],
            "Threshold": 0.05,
        },
    }
    return {
        "Type": "Notification",
        "MessageId": "c0ffee00-0000-4000-8000-000000000001",
        "TopicArn": TOPIC,
        "Subject": 'ALARM: "orders-5xx" in EU (Frankfurt)',
        "Message": json.dumps(alarm | changed),
        "Timestamp": "2026-11-21T09:00:01.000Z",
        "SignatureVersion": "2",
    }


def sns_subscription(**changed: Any) -> Json:
    """SNS asks whether its topic may post here."""
    sound = {
        "Type": "SubscriptionConfirmation",
        "MessageId": "c0ffee00-0000-4000-8000-000000000002",
        "Token": "2336412f37",
        "TopicArn": TOPIC,
        "Message": "You have chosen to subscribe",
        "SubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription",
        "Timestamp": "2026-11-21T09:00:01.000Z",
    }
    return sound | changed


def datadog(**changed: Any) -> Json:
    """Datadog's webhook, by the template that we recommend."""
    sound = {
        "id": "70001",
        "alert_id": "1234",
        "transition": "Triggered",
        "type": "error",
        "title": "[Triggered on {host:shop-1}] Orders fail",
        "body": "More than 5 % fail @webhook-imt",
        "priority": "P2",
        "scope": "host:shop-1",
        "status": "5xx over host:shop-1 was > 5",
        "cycle": "5551112223334445556",
        "aggreg": "9bd4ac313a4d1e8f",
        "tags": "service:orders,host:shop-1,team:a,team:b,monitor",
        "date": "1795251600000",
        "last_updated": "1795251600000",
        "org": "42",
        "link": "https://app.datadog.example/monitors/1234",
    }
    return sound | changed


def sentry_issue(action: str = "created", **changed: Any) -> Json:
    """Sentry tells of an issue."""
    issue = {
        "id": "900100",
        "shortId": "ORDERS-7",
        "title": "KeyError: 'price'",
        "culprit": "orders.views in pay",
        "level": "fatal",
        "status": "unresolved",
        "platform": "python",
        "project": {"id": "5", "slug": "orders", "name": "Orders"},
        "firstSeen": "2026-11-21T09:00:00.250000Z",
        "lastSeen": "2026-11-21T09:30:00Z",
        "web_url": "https://acme.sentry.example/issues/900100/",
    }
    return {
        "action": action,
        "installation": {"uuid": "c0ffee00"},
        "data": {"issue": issue | changed},
        "actor": {"type": "application", "id": "sentry", "name": "Sentry"},
    }


def sentry_event(kind: str = "event", **changed: Any) -> Json:
    """A Sentry issue alert (``event``) or the ``error`` resource."""
    event = {
        "event_id": "e4874d664c3540c1a32eab185f12c5ab",
        "issue_id": "900100",
        "title": "KeyError: 'price'",
        "culprit": "orders.views in pay",
        "level": "error",
        "datetime": "2026-11-21T09:31:00.000000Z",
        "platform": "python",
        "project": 5,
        "url": "https://sentry.example/api/0/projects/acme/orders/events/e4874d66/",
        "web_url": "https://sentry.example/organizations/acme/issues/900100/events/e4874d66/",
        "tags": [["environment", "production"], ["level", "error"]],
    }
    data: Json = {kind: event | changed}
    if kind == "event":
        data["triggered_rule"] = "Payment is broken"
    return {"action": "triggered" if kind == "event" else "created", "data": data}


def sentry_metric(action: str = "critical", **changed: Any) -> Json:
    """A Sentry metric alert."""
    alert = {
        "id": "4",
        "identifier": "2",
        "title": "Too many errors",
        "status": 20,
        "projects": ["orders"],
        "alert_rule": {"id": "7", "name": "Errors of orders", "environment": "production"},
        "date_started": "2026-11-21T09:00:00Z",
        "date_closed": None,
    }
    return {
        "action": action,
        "data": {
            "metric_alert": alert | changed,
            "description_title": "Critical: Too many errors",
            "description_text": "1000 events in the last 10 minutes",
            "web_url": "https://acme.sentry.example/alerts/rules/details/2/",
        },
    }


def opsgenie(action: str = "Create", **changed: Any) -> Json:
    """Opsgenie's webhook integration."""
    alert = {
        "alertId": "7c0ffee0-0000-4000-8000-000000000003",
        "tinyId": "23",
        "alias": "orders-5xx",
        "message": "Orders fail",
        "description": "More than 5 % fail",
        "tags": ["shop", "eu"],
        "entity": "orders",
        "source": "nagios",
        "priority": "P1",
        "details": {"region": "eu", "attempts": 3},
        "createdAt": 1795251600250,
        "updatedAt": 1795253400250000110,
    }
    return {
        "source": {"name": "", "type": "web"},
        "alert": alert | changed,
        "action": action,
        "integrationId": "c0ffee",
        "integrationName": "imt",
    }


def zabbix(**changed: Any) -> Json:
    """Zabbix's webhook, by the parameters that we recommend."""
    sound = {
        "event_id": "10528",
        "trigger_id": "14032",
        "status": "PROBLEM",
        "name": "Orders fail on shop-1",
        "host": "shop-1",
        "severity": "Disaster",
        "started_at": "1795251600",
        "ended_at": "{EVENT.RECOVERY.TIMESTAMP}",
        "opdata": "5xx: 7.5 %",
        "tags": '[{"tag":"service","value":"orders"},{"tag":"scope","value":"availability"}]',
        "update": "0",
        "link": "https://zabbix.example/tr_events.php?triggerid=14032&eventid=10528",
    }
    return sound | changed


def mapped(**changed: Any) -> Json:
    """What a house's own monitor may post; ``MAPPED`` reads it."""
    alert = {
        "id": 17,
        "state": "open",
        "opened_at": "2026-11-21T09:00:00Z",
        "closed_at": None,
        "what": {"title": "Orders fail", "more": "More than 5 % fail"},
        "where": ["orders", "eu"],
        "level": "CRIT",
        "href": "https://monitor.example/17",
    }
    return {"team": "shop", "items": [alert | changed]}


MAPPED = source(
    "mapped",
    fields={
        "alerts": "items",
        "fingerprint": "id",
        "status": "state",
        "started_at": "opened_at",
        "ended_at": "closed_at",
        "title": "what.title",
        "description": "what.more",
        "service": "where.0",
        "name": "what.title",
        "severity": "level",
        "url": "href",
        "group": "team",
    },
    labels={"region": "where.1", "team": "team"},
)

SOUND: tuple[tuple[SourceSettings, Json], ...] = (
    (source("alertmanager"), alertmanager()),
    (source("grafana"), grafana()),
    (source("grafana"), grafana_legacy()),
    (source("pagerduty"), pagerduty()),
    (source("sns"), sns()),
    (source("sns"), sns_subscription()),
    (source("datadog"), datadog()),
    (source("sentry"), sentry_issue()),
    (source("sentry"), sentry_event()),
    (source("sentry"), sentry_event("error")),
    (source("sentry"), sentry_metric()),
    (source("opsgenie"), opsgenie()),
    (source("zabbix"), zabbix()),
    (MAPPED, mapped()),
)
"""Every form of message that is understood, and the sender to read it as."""
