"""Zabbix's webhook media type, by the parameters that the documentation of imtkit recommends.

Source: the Zabbix manual, media types, webhook, and supported macros: the body is what the
media type's script makes of its parameters. Ours are ``event_id`` {EVENT.ID}, ``trigger_id``
{TRIGGER.ID}, ``status`` {EVENT.STATUS}, ``name`` {EVENT.NAME}, ``host`` {HOST.NAME}, ``severity``
{EVENT.SEVERITY}, ``started_at`` {EVENT.TIMESTAMP}, ``ended_at`` {EVENT.RECOVERY.TIMESTAMP},
``opdata`` {EVENT.OPDATA}, ``tags`` {EVENT.TAGSJSON}, ``update`` {EVENT.UPDATE.STATUS}, ``link``.
Common names (hostname, trigger, item) are understood too. PROBLEM fires; RESOLVED and OK are
over; an update (1: somebody commented or acknowledged) is no news of an alert.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NotRequired
from urllib.parse import parse_qs, urlsplit

from typing_extensions import TypedDict

from imtkit.alerts.payloads.reading import (
    MOST_ANNOTATION,
    Form,
    json_within,
    line,
    link,
    mark,
    severity_word,
    within,
    words,
)
from imtkit.alerts.payloads.shape import Delivery, Notice, Status
from imtkit.config.alerts import SourceSettings

FORM = Form(
    "a Zabbix message of the recommended parameters",
    "The media type must post 'status' {EVENT.STATUS}; docs/alert-sources.md has it all.",
)

_STATES: dict[str, Status] = {"PROBLEM": "firing", "RESOLVED": "resolved", "OK": "resolved"}
_SEVERITIES = {
    "disaster": "critical",
    "high": "error",
    "average": "warning",
    "warning": "warning",
    "information": "info",
    "not classified": "info",
}


class _Message(TypedDict):
    status: str
    event_id: NotRequired[object]
    trigger_id: NotRequired[object]
    name: NotRequired[object]
    trigger: NotRequired[object]
    item: NotRequired[object]
    host: NotRequired[object]
    hostname: NotRequired[object]
    severity: NotRequired[object]
    started_at: NotRequired[object]
    ended_at: NotRequired[object]
    opdata: NotRequired[object]
    tags: NotRequired[object]
    update: NotRequired[object]
    link: NotRequired[object]


def delivery(source: SourceSettings, body: bytes, at: datetime) -> Delivery:
    """The alert of one message; none when it is an update of one."""
    message = FORM.read(_Message, body)
    status = _STATES.get(message["status"].strip().upper())
    if status is None or _said(message.get("update")) == "1":
        return Delivery()
    asked = _asked(message.get("link"))
    event = _said(message.get("event_id")) or asked.get("eventid", "")
    trigger = _said(message.get("trigger_id")) or asked.get("triggerid", "")
    host = _said(message.get("host")) or _said(message.get("hostname"))
    name = _said(message.get("name")) or _said(message.get("trigger"))
    started_at = FORM.moment(_said(message.get("started_at")), "started_at")
    ended_at = FORM.moment(_said(message.get("ended_at")), "ended_at")
    notice = Notice(
        source=source.name,
        fingerprint=mark("trigger", trigger or f"{host} {name}"),
        status=status,
        started_at=started_at or at,
        ended_at=(ended_at or at) if status == "resolved" else None,
        labels=_labels(message, name, host),
        annotations=words(
            {
                "summary": f"{host}: {name}" if host and host not in name else name,
                "description": _said(message.get("opdata")) or _said(message.get("item")),
            },
            most=MOST_ANNOTATION,
        ),
        url=link(message.get("link")),
        group=host,
        occurrence=mark("event", event) if event else "",
        has_episode=bool(event) or started_at is not None,
    )
    return Delivery((notice,))


def _said(value: object) -> str:
    """A macro's value; empty when Zabbix had none or did not know the macro."""
    said = line(value, most=1000)
    return "" if said == "*UNKNOWN*" or re.fullmatch(r"\{[A-Z0-9.]+\}", said) else said


def _asked(address: object) -> dict[str, str]:
    """What a link to an event names: its trigger and its event."""
    try:
        named = parse_qs(urlsplit(link(address)).query, max_num_fields=20)
    except ValueError:
        return {}  # too many fields: no link of Zabbix's
    return {name: values[0] for name, values in named.items()}


def _labels(message: _Message, name: str, host: str) -> dict[str, str]:
    """An event's tags, and what we name over them."""
    tags = _tags(message.get("tags"))
    severity = _said(message.get("severity"))
    told = {
        "alertname": name,
        "service": line(tags.get("service")) or host,
        "host": host,
        "severity": _SEVERITIES.get(severity.casefold(), severity_word(severity)),
        "sender_severity": severity,
        "item": _said(message.get("item")),
    }
    return words(tags) | words(told)


def _tags(told: object) -> dict[str, object]:
    """Tags as {EVENT.TAGSJSON} writes them: a list, or the JSON text of one, of tag and value."""
    if isinstance(told, str):
        told = json_within(told)
    listed = told if isinstance(told, list) else []
    return {line(within(one, "tag")): within(one, "value") for one in listed}
