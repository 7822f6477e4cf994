"""PagerDuty's webhooks, version 3.

Source: PagerDuty/developer-docs, docs/webhooks. A triggered or reopened incident fires, a
resolved one is over; every other event (acknowledged, annotated, pagey.ping …) is no news of an
alert.
"""

from __future__ import annotations

from datetime import datetime
from typing import NotRequired

from typing_extensions import TypedDict

from imtkit.alerts.payloads.reading import (
    MOST_ANNOTATION,
    Form,
    line,
    link,
    mark,
    severity_word,
    within,
    words,
)
from imtkit.alerts.payloads.shape import Delivery, Notice
from imtkit.config.alerts import SourceSettings

FORM = Form(
    "a PagerDuty message", "A V3 webhook subscription of PagerDuty posts JSON with an 'event'."
)

_FIRING = ("incident.triggered", "incident.reopened")
_RESOLVED = "incident.resolved"
_URGENCIES = {"high": "critical", "low": "warning"}
"""High urgency pages somebody at night, low urgency does not."""


class _Event(TypedDict):
    event_type: str
    id: NotRequired[object]
    occurred_at: NotRequired[object]
    data: NotRequired[object]


class _Message(TypedDict):
    event: _Event


class _Incident(TypedDict):
    id: str
    number: NotRequired[object]
    title: NotRequired[object]
    urgency: NotRequired[object]
    priority: NotRequired[object]
    service: NotRequired[object]
    escalation_policy: NotRequired[object]
    teams: NotRequired[object]
    incident_type: NotRequired[object]
    html_url: NotRequired[object]
    created_at: NotRequired[object]


def delivery(source: SourceSettings, body: bytes, at: datetime) -> Delivery:
    """The alert of one event; none when it is no news of one."""
    event = FORM.read(_Message, body)["event"]
    kind = event["event_type"]
    if kind not in (*_FIRING, _RESOLVED):
        return Delivery()
    incident = FORM.check(_Incident, event.get("data"), "event.data")
    happened_at = FORM.moment(event.get("occurred_at"), "event.occurred_at")
    created_at = FORM.moment(incident.get("created_at"), "event.data.created_at")
    is_over = kind == _RESOLVED
    # A reopened incident keeps its creation: its second episode begins when it is reopened, and
    # a resolution does not say which of them it ends.
    began_at = created_at if kind == "incident.triggered" else None
    started_at = began_at or happened_at
    notice = Notice(
        source=source.name,
        fingerprint=mark(incident["id"]),
        status="resolved" if is_over else "firing",
        started_at=started_at or at,
        ended_at=(happened_at or at) if is_over else None,
        labels=_labels(incident),
        annotations=words({"summary": incident.get("title")}, most=MOST_ANNOTATION),
        url=link(incident.get("html_url")),
        group=line(within(incident, "service", "id")),
        has_episode=started_at is not None and not is_over,
    )
    return Delivery((notice,), is_named=bool(line(event.get("id"))))


def _labels(incident: _Incident) -> dict[str, str]:
    priority = line(within(incident, "priority", "summary"))
    urgency = line(incident.get("urgency"))
    severity = severity_word(priority) if priority else _URGENCIES.get(urgency, urgency)
    told = {
        "alertname": line(incident.get("title")),
        "service": line(within(incident, "service", "summary")),
        "severity": severity,
        "priority": priority,
        "urgency": urgency,
        "number": incident.get("number"),
        "team": within(incident, "teams", "0", "summary"),
        "escalation_policy": within(incident, "escalation_policy", "summary"),
        "incident_type": within(incident, "incident_type", "name"),
    }
    return words(told)
