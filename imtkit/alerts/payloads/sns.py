"""CloudWatch alarms through Amazon SNS, and SNS's own messages about a subscription.

Source: the Amazon SNS developer guide, HTTP/HTTPS notification JSON; the alarm is a JSON text in
``Message`` (CloudWatch user guide, alarm notifications). ALARM fires, OK is over;
INSUFFICIENT_DATA says neither, and a message that is no alarm (a budget's, a person's) says
nothing to us.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from imtkit.alerts.payloads.reading import (
    MOST_ANNOTATION,
    Form,
    json_within,
    line,
    link,
    mark,
    within,
    words,
)
from imtkit.alerts.payloads.shape import Delivery, Notice, Status
from imtkit.config.alerts import SourceSettings

FORM = Form(
    "an SNS message",
    "SNS posts JSON with 'Type', 'TopicArn' and 'Message'; raw message delivery must be off.",
)

_STATES: dict[str, Status] = {"ALARM": "firing", "OK": "resolved"}
_SERVICES = (
    "ServiceName",
    "Service",
    "FunctionName",
    "DBClusterIdentifier",
    "DBInstanceIdentifier",
    "TableName",
    "QueueName",
    "TopicName",
    "BucketName",
    "ApiName",
    "LoadBalancer",
    "ClusterName",
    "AutoScalingGroupName",
    "InstanceId",
)
"""Dimensions that name a service, the most telling first."""


class _Message(TypedDict):
    Type: Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]
    TopicArn: str
    Message: str
    MessageId: NotRequired[object]
    Subject: NotRequired[object]
    SubscribeURL: NotRequired[object]
    Timestamp: NotRequired[object]


class _Alarm(TypedDict):
    AlarmName: str
    NewStateValue: Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
    AlarmDescription: NotRequired[object]
    AlarmArn: NotRequired[object]
    AWSAccountId: NotRequired[object]
    Region: NotRequired[object]
    NewStateReason: NotRequired[object]
    StateChangeTime: NotRequired[object]
    Trigger: NotRequired[object]


def delivery(source: SourceSettings, body: bytes, at: datetime) -> Delivery:
    """The alarm of one notification, or the address that confirms a subscription."""
    message = FORM.read(_Message, body)
    topic = line(message["TopicArn"])
    if message["Type"] == "SubscriptionConfirmation":
        if not (confirm := link(message.get("SubscribeURL"))):
            raise FORM.refused("SubscribeURL is no address")
        return Delivery(confirm=confirm, topic=topic)
    if message["Type"] == "UnsubscribeConfirmation":  # its SubscribeURL would subscribe again
        return Delivery(topic=topic)
    told = json_within(message["Message"])
    if not (isinstance(told, Mapping) and "AlarmName" in told and "NewStateValue" in told):
        return Delivery(topic=topic)
    alarm = FORM.check(_Alarm, told, "Message")
    status = _STATES.get(alarm["NewStateValue"])
    if status is None:
        return Delivery(topic=topic)
    changed_at = FORM.moment(alarm.get("StateChangeTime"), "Message.StateChangeTime")
    moment = changed_at or FORM.moment(message.get("Timestamp"), "Timestamp") or at
    notice = _notice(source.name, alarm, message, status, moment)
    return Delivery((notice,), topic=topic, is_named=bool(line(message.get("MessageId"))))


def _notice(
    source: str, alarm: _Alarm, message: _Message, status: Status, moment: datetime
) -> Notice:
    """An alarm tells the moment of its last change only: an OK, not since when it was ALARM."""
    place = (alarm.get("AWSAccountId"), alarm.get("Region"), alarm["AlarmName"])
    arn = line(alarm.get("AlarmArn"), most=2000)
    annotations = {
        "summary": line(message.get("Subject")) or line(alarm["AlarmName"]),
        "description": alarm.get("AlarmDescription"),
        "reason": alarm.get("NewStateReason"),
    }
    return Notice(
        source=source,
        fingerprint=mark(arn) if arn else mark(*place),
        status=status,
        started_at=moment,
        ended_at=moment if status == "resolved" else None,
        labels=_labels(alarm),
        annotations=words(annotations, most=MOST_ANNOTATION),
        group=line(message["TopicArn"]),
        has_episode=status == "firing",
    )


def _labels(alarm: _Alarm) -> dict[str, str]:
    """A metric's dimensions under their own names, and what we name over them."""
    trigger = alarm.get("Trigger")
    listed = within(trigger, "Dimensions")
    dimensions = {
        line(within(one, "name")): line(within(one, "value"))
        for one in (listed if isinstance(listed, list) else [])
    }
    told = {
        "alertname": line(alarm["AlarmName"]),
        "service": next((dimensions[name] for name in _SERVICES if dimensions.get(name)), ""),
        "account": alarm.get("AWSAccountId"),
        "region": alarm.get("Region"),
        "namespace": within(trigger, "Namespace"),
        "metric": within(trigger, "MetricName"),
    }
    return words(dimensions) | words(told)
