"""Alertmanager's webhook, version 4.

Source: Alertmanager 0.34, template/template.go and notify/webhook/webhook.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from imtkit.alerts.payloads.reading import MARK, MOST_ANNOTATION, Form, line, link, text, words
from imtkit.alerts.payloads.shape import Delivery, Notice, Status
from imtkit.config.alerts import SourceSettings

FORM = Form("an Alertmanager message", "Alertmanager posts JSON of version 4 with a list 'alerts'.")
MOST_LEFT_OUT = 1_000_000_000


class Alert(TypedDict):
    """One alert under the names that Alertmanager and Grafana share."""

    status: Status
    labels: NotRequired[dict[str, object] | None]
    annotations: NotRequired[dict[str, object] | None]
    startsAt: object
    endsAt: NotRequired[object]
    generatorURL: NotRequired[object]
    fingerprint: str


class _Message(TypedDict):
    version: Literal["4"]
    groupKey: NotRequired[object]
    alerts: list[object]
    truncatedAlerts: NotRequired[int | None]


def delivery(source: SourceSettings, body: bytes, at: datetime) -> Delivery:
    """The alerts of one message."""
    message = FORM.read(_Message, body)
    group = text(message.get("groupKey"))
    notices = tuple(
        notice(alert, place, form=FORM, source=source.name, group=group, at=at)
        for place, alert in FORM.each(Alert, message["alerts"], "alerts")
    )
    return Delivery(notices, left_out(message.get("truncatedAlerts")))


def left_out(count: int | None) -> int:
    """How many alerts the sender says it did not send."""
    return min(max(0, count or 0), MOST_LEFT_OUT)


def notice(
    alert: Alert, place: str, *, form: Form, source: str, group: str, at: datetime
) -> Notice:
    """One alert; its labels are texts, and its times say their zone."""
    if not MARK.fullmatch(alert["fingerprint"]):
        raise form.refused(f"{place}.fingerprint is '{line(alert['fingerprint'], most=80)}'")
    started_at = form.moment(alert["startsAt"], f"{place}.startsAt", zoned=True)
    ended_at = form.moment(alert.get("endsAt"), f"{place}.endsAt")
    labels = alert.get("labels") or {}
    for name, value in labels.items():
        if isinstance(value, list | Mapping):
            raise form.refused(f"{place}.labels: '{line(name, most=80)}' is not a text")
    is_over = alert["status"] == "resolved"
    return Notice(
        source=source,
        fingerprint=alert["fingerprint"],
        status=alert["status"],
        started_at=started_at or at,
        ended_at=ended_at if is_over else None,
        labels=words(labels),
        annotations=words(alert.get("annotations"), most=MOST_ANNOTATION),
        url=link(alert.get("generatorURL")),
        group=group,
        has_episode=started_at is not None,
    )
