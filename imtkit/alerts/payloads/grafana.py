"""Grafana's alerting webhook, and that of its alerting before version 8.

Source: grafana/alerting, the webhook receiver: Alertmanager's message with version 1 and more
fields; Grafana's documentation of legacy alert notifications.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from imtkit.alerts.payloads import alertmanager
from imtkit.alerts.payloads.reading import (
    MOST_ANNOTATION,
    Form,
    line,
    link,
    mark,
    text,
    within,
    words,
)
from imtkit.alerts.payloads.shape import Delivery, Notice, Status
from imtkit.config.alerts import SourceSettings

FORM = Form(
    "a Grafana message", "A webhook contact point of Grafana posts JSON with a list 'alerts'."
)

_LEGACY: dict[str, Status] = {"alerting": "firing", "no_data": "firing", "ok": "resolved"}
"""What states of legacy alerting mean; 'paused' and 'pending' say nothing."""


class _Message(TypedDict):
    version: NotRequired[Literal["1", "4"]]  # 4 is Grafana Cloud's own Alertmanager
    groupKey: NotRequired[object]
    alerts: NotRequired[list[object]]
    truncatedAlerts: NotRequired[int | None]
    state: NotRequired[object]
    ruleId: NotRequired[object]
    ruleName: NotRequired[object]
    ruleUrl: NotRequired[object]
    orgId: NotRequired[object]
    title: NotRequired[object]
    message: NotRequired[object]
    tags: NotRequired[object]


def delivery(source: SourceSettings, body: bytes, at: datetime) -> Delivery:
    """The alerts of one message."""
    message = FORM.read(_Message, body)
    if "alerts" not in message:
        return _legacy(source.name, message, at)
    group = text(message.get("groupKey"))
    told = FORM.each(alertmanager.Alert, message["alerts"], "alerts")
    notices = tuple(
        _with_more(
            alertmanager.notice(alert, place, form=FORM, source=source.name, group=group, at=at),
            more,
        )
        for (place, alert), more in zip(told, message["alerts"], strict=True)
    )
    return Delivery(notices, alertmanager.left_out(message.get("truncatedAlerts")))


def _with_more(notice: Notice, alert: object) -> Notice:
    """An alert with what Grafana alone says of it; what the rule's author wrote goes first."""
    panel = link(within(alert, "panelURL"))
    more = {
        "dashboard_url": link(within(alert, "dashboardURL")),
        "panel_url": panel,
        "silence_url": link(within(alert, "silenceURL")),
        "image_url": link(within(alert, "imageURL")),
        "values": within(alert, "valueString"),
    }
    annotations = words(more, most=MOST_ANNOTATION) | dict(notice.annotations)
    return replace(notice, annotations=annotations, url=notice.url or panel)


def _legacy(source: str, message: _Message, at: datetime) -> Delivery:
    """One rule's state; it tells no time and no occurrence."""
    if "ruleName" not in message:
        raise FORM.refused("it has neither 'alerts' nor 'ruleName'")
    status = _LEGACY.get(line(message.get("state")))
    if status is None:
        return Delivery()
    name = line(message["ruleName"])
    notice = Notice(
        source=source,
        fingerprint=mark("rule", message.get("orgId"), message.get("ruleId"), name),
        status=status,
        started_at=at,
        ended_at=at if status == "resolved" else None,
        labels=words(message.get("tags")) | words({"alertname": name}),
        annotations=words(
            {"summary": line(message.get("title")), "description": message.get("message")},
            most=MOST_ANNOTATION,
        ),
        url=link(message.get("ruleUrl")),
        has_episode=False,
    )
    return Delivery((notice,))
