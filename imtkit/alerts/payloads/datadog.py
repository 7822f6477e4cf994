"""Datadog's webhooks, by the template that the documentation of imtkit recommends.

Source: docs.datadoghq.com, integrations/webhooks: the body is the team's own template of
variables. Ours names them ``id, alert_id, transition, type, title, body, priority, scope, status,
cycle, aggreg, tags, date, last_updated, org, link``; only ``transition`` must be there.
``cycle`` ($ALERT_CYCLE_KEY) is the same from the moment an alert triggers until it recovers.
"""

from __future__ import annotations

import re
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
    text,
    words,
)
from imtkit.alerts.payloads.shape import Delivery, Notice
from imtkit.config.alerts import SourceSettings

FORM = Form(
    "a Datadog message of the recommended template",
    'Its payload must hold "transition": "$ALERT_TRANSITION"; docs/alert-sources.md has it all.',
)

_FIRING = ("triggered", "warn", "no data", "renotify")
_PREFIX = re.compile(r"^\[(?:Re-)?(?:Triggered|Recovered|Warn|No Data|Renotify)[^\]]*\]\s*", re.I)
"""What Datadog puts before a monitor's name: it changes while the alert stays the same."""


class _Message(TypedDict):
    transition: object
    alert_id: NotRequired[object]
    type: NotRequired[object]
    title: NotRequired[object]
    body: NotRequired[object]
    priority: NotRequired[object]
    scope: NotRequired[object]
    status: NotRequired[object]
    cycle: NotRequired[object]
    aggreg: NotRequired[object]
    tags: NotRequired[object]
    date: NotRequired[object]
    last_updated: NotRequired[object]
    link: NotRequired[object]


def delivery(source: SourceSettings, body: bytes, at: datetime) -> Delivery:
    """The alert of one message; none when it is no monitor's, or its transition says neither."""
    message = FORM.read(_Message, body)
    transition = _said(message["transition"]).casefold().removeprefix("re-")
    is_over = transition.endswith("recovered")
    if not is_over and transition not in _FIRING:
        return Delivery()
    cycle = _said(message.get("cycle"))
    told_at = _said(message.get("date")) or _said(message.get("last_updated"))
    moment = FORM.moment(told_at, "date")
    monitor, scope = _said(message.get("alert_id")), _said(message.get("scope"))
    name = _PREFIX.sub("", _said(message.get("title")))
    notice = Notice(
        source=source.name,
        fingerprint=mark("monitor", monitor or name, scope or _said(message.get("aggreg"))),
        status="resolved" if is_over else "firing",
        started_at=moment or at,
        ended_at=(moment or at) if is_over else None,
        labels=_labels(message, name),
        annotations=words(
            {
                "summary": _said(message.get("title")),
                "description": text(message.get("body"), most=MOST_ANNOTATION),
                "reason": _said(message.get("status")),
            },
            most=MOST_ANNOTATION,
        ),
        url=link(message.get("link")),
        group=mark("monitor", monitor) if monitor else "",
        occurrence=mark(cycle) if cycle else "",
        has_episode=bool(cycle) or (moment is not None and not is_over),
    )
    return Delivery((notice,))


def _said(value: object) -> str:
    """A variable's value; empty when Datadog had none or did not know the variable."""
    said = line(value, most=1000)
    return "" if said == "null" or re.fullmatch(r"\$[A-Z_]+", said) else said


def _labels(message: _Message, name: str) -> dict[str, str]:
    """Tags of the form ``key:value`` as labels; the others together as ``tags``."""
    tags: dict[str, str] = {}
    bare = []
    for tag in text(message.get("tags"), most=20_000).split(","):
        key, _, value = tag.strip().partition(":")
        if not value:
            bare.append(key)
        else:
            tags[key] = f"{tags[key]},{value}" if key in tags else value
    priority, kind = _said(message.get("priority")), _said(message.get("type"))
    word = priority if re.fullmatch(r"P[1-5]", priority) else kind
    told = {
        "alertname": name,
        "service": tags.get("service") or tags.get("host", ""),
        "severity": severity_word("" if word == "success" else word),
        "priority": priority,
        "alert_type": kind,
        "monitor": _said(message.get("alert_id")),
        "scope": _said(message.get("scope")),
    }
    return words(tags) | words({"tags": ",".join(filter(None, bare))}) | words(told)
