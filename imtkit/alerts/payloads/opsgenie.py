"""Opsgenie's webhook integration, as far as an alert's beginning and end; it ends in April 2027.

Source: opsgenie/opsgenie-integration. Create fires; Close and Delete are over; every other action
(Acknowledge, AddNote, AssignOwnership, Escalate …) is no news of an alert.
"""

from __future__ import annotations

from datetime import datetime
from typing import NotRequired

from typing_extensions import TypedDict

from imtkit.alerts.payloads.reading import (
    MOST_ANNOTATION,
    Form,
    line,
    mark,
    severity_word,
    text,
    within,
    words,
)
from imtkit.alerts.payloads.shape import Delivery, Notice, Status
from imtkit.config.alerts import SourceSettings

FORM = Form(
    "an Opsgenie message", "A webhook integration of Opsgenie posts JSON of 'action' and 'alert'."
)

_ACTIONS: dict[str, Status] = {"Create": "firing", "Close": "resolved", "Delete": "resolved"}


class _Message(TypedDict):
    action: str
    alert: NotRequired[object]


class _Alert(TypedDict):
    alertId: str
    message: NotRequired[object]
    description: NotRequired[object]
    alias: NotRequired[object]
    entity: NotRequired[object]
    source: NotRequired[object]
    priority: NotRequired[object]
    tags: NotRequired[object]
    details: NotRequired[object]
    createdAt: NotRequired[object]
    updatedAt: NotRequired[object]


def delivery(source: SourceSettings, body: bytes, at: datetime) -> Delivery:
    """The alert of one action; none when it neither begins nor ends one."""
    message = FORM.read(_Message, body)
    status = _ACTIONS.get(message["action"])
    if status is None:
        return Delivery()
    alert = FORM.check(_Alert, message.get("alert"), "alert")
    started_at = FORM.moment(alert.get("createdAt"), "alert.createdAt")
    updated_at = FORM.moment(alert.get("updatedAt"), "alert.updatedAt")
    number = mark(alert["alertId"])
    notice = Notice(
        source=source.name,
        fingerprint=number,
        status=status,
        started_at=started_at or at,
        ended_at=(updated_at or at) if status == "resolved" else None,
        labels=_labels(alert),
        annotations=words(
            {"summary": alert.get("message"), "description": alert.get("description")},
            most=MOST_ANNOTATION,
        ),
        occurrence=number,  # an alert that was closed is never opened again under its id
    )
    return Delivery((notice,))


def _labels(alert: _Alert) -> dict[str, str]:
    """An alert's own details, and what we name over them."""
    priority = line(alert.get("priority"))
    if priority in ("1", "2", "3", "4", "5"):
        priority = f"P{priority}"
    tags = alert.get("tags")
    told = {
        "alertname": line(alert.get("message")),
        "service": line(within(alert.get("details"), "service")) or line(alert.get("entity")),
        "severity": severity_word(priority),
        "priority": priority,
        "alias": alert.get("alias"),
        "tags": ",".join(text(tag) for tag in tags[:100]) if isinstance(tags, list) else "",
        "sender": alert.get("source"),
    }
    return words(alert.get("details")) | words(told)
