"""Sentry's webhooks: issues, issue alerts, metric alerts and errors.

Source: docs.sentry.io, integration-platform/webhooks, and getsentry/integration-platform-example;
besides, the older WebHooks plugin, which posts an event with its project. An issue that is
created or unresolved, an alert that is triggered and an error fire; what is resolved is over;
assigned, ignored, comments and installations are no news of an alert. Issue alerts and errors
are episodes of their issue, so that resolving it ends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NotRequired
from urllib.parse import urlsplit

from typing_extensions import TypedDict

from imtkit.alerts.payloads.reading import (
    MOST_ANNOTATION,
    Form,
    line,
    link,
    mark,
    severity_word,
    text,
    within,
    words,
)
from imtkit.alerts.payloads.shape import Delivery, Notice, Status
from imtkit.config.alerts import SourceSettings

FORM = Form("a Sentry message", "An integration of Sentry posts JSON with 'action' and 'data'.")

_ISSUES: dict[str, Status] = {
    "created": "firing",
    "unresolved": "firing",
    "resolved": "resolved",
}
_METRICS: dict[str, Status] = {
    "critical": "firing",
    "warning": "firing",
    "resolved": "resolved",
}


class _Message(TypedDict):
    action: str
    data: dict[str, object]


class _Plugin(TypedDict):
    id: object
    event: dict[str, object]
    message: NotRequired[object]
    level: NotRequired[object]
    url: NotRequired[object]
    culprit: NotRequired[object]
    project_slug: NotRequired[object]


def delivery(source: SourceSettings, body: bytes, at: datetime) -> Delivery:
    """The alert of one message; none when it is no news of one."""
    told = FORM.read(dict[str, object], body)
    if "event" in told and "action" not in told:
        return Delivery((_by_plugin(source.name, FORM.check(_Plugin, told, "the body"), at),))
    message = FORM.check(_Message, told, "the body")
    action, data = message["action"], message["data"]
    if "metric_alert" in data:
        return _metric_alert(source.name, action, data, at)
    if "issue" in data and "comment" not in data:
        return _issue(source.name, action, data["issue"], at)
    for kind in ("event", "error"):
        if kind in data:
            return _event(source.name, data[kind], text(data.get("triggered_rule")), at)
    return Delivery()


def _issue(source: str, action: str, issue: object, at: datetime) -> Delivery:
    """An issue's own story; its first sight is its start until it comes back."""
    if (status := _ISSUES.get(action)) is None:
        return Delivery()
    number = _known(within(issue, "id"), "data.issue.id")
    first_at = FORM.moment(within(issue, "firstSeen"), "data.issue.firstSeen")
    last_at = FORM.moment(within(issue, "lastSeen"), "data.issue.lastSeen")
    # Which of its episodes a resolution ends, and when, Sentry does not say.
    started_at = {"created": first_at, "unresolved": last_at}.get(action)
    level = line(within(issue, "level"))
    told = {
        "alertname": line(within(issue, "title")),
        "service": within(issue, "project", "slug"),
        "severity": severity_word(level),
        "level": level,
        "platform": within(issue, "platform"),
        "short_id": within(issue, "shortId"),
        "issue": number,
    }
    notice = Notice(
        source=source,
        fingerprint=mark("issue", number),
        status=status,
        started_at=started_at or at,
        ended_at=at if status == "resolved" else None,
        labels=words(told),
        annotations=_annotations(within(issue, "title"), within(issue, "culprit")),
        url=link(within(issue, "web_url")) or link(within(issue, "permalink")),
        has_episode=started_at is not None,
    )
    return Delivery((notice,))


def _event(source: str, event: object, rule: str, at: datetime) -> Delivery:
    """An event that an issue alert or the error resource tells."""
    issue = within(event, "issue_id") or within(event, "groupID")
    number = _known(issue or within(event, "event_id"), "data.event.issue_id")
    happened_at = FORM.moment(
        within(event, "datetime") or within(event, "timestamp"), "data.event.datetime"
    )
    level = line(within(event, "level"))
    title = line(within(event, "title"))
    told = {
        **_tags(within(event, "tags")),
        "alertname": line(rule) or title,
        "service": _project(event),
        "severity": severity_word(level),
        "level": level,
        "platform": within(event, "platform"),
        "issue": number,
    }
    notice = Notice(
        source=source,
        fingerprint=mark("issue", number),
        status="firing",
        started_at=happened_at or at,
        labels=words(told),
        annotations=_annotations(title, within(event, "culprit")),
        url=link(within(event, "web_url")),
        has_episode=False,
    )
    return Delivery((notice,))


def _metric_alert(source: str, action: str, data: Mapping[str, object], at: datetime) -> Delivery:
    """An alert on a number; Sentry calls each of its episodes an incident, with an id."""
    if (status := _METRICS.get(action)) is None:
        return Delivery()
    alert = data["metric_alert"]
    number = _known(within(alert, "id"), "data.metric_alert.id")
    started_at = FORM.moment(within(alert, "date_started"), "data.metric_alert.date_started")
    closed_at = FORM.moment(within(alert, "date_closed"), "data.metric_alert.date_closed")
    title = line(data.get("description_title")) or line(within(alert, "title"))
    told = {
        "alertname": line(within(alert, "alert_rule", "name")) or line(within(alert, "title")),
        "service": within(alert, "projects", "0"),
        "severity": severity_word(action) if status == "firing" else "",
        "level": action,
        "environment": within(alert, "alert_rule", "environment"),
        "metric_alert": number,
    }
    notice = Notice(
        source=source,
        fingerprint=mark("metric", number),
        status=status,
        started_at=started_at or at,
        ended_at=(closed_at or at) if status == "resolved" else None,
        labels=words(told),
        annotations=_annotations(title, data.get("description_text")),
        url=link(data.get("web_url")),
        occurrence=mark(number),
    )
    return Delivery((notice,))


def _by_plugin(source: str, message: _Plugin, at: datetime) -> Notice:
    event, level = message["event"], line(message.get("level"))
    happened_at = FORM.moment(event.get("timestamp") or event.get("received"), "event.timestamp")
    number = _known(message["id"], "id")
    title = line(message.get("message")) or line(event.get("title"))
    told = {
        **_tags(event.get("tags")),
        "alertname": title,
        "service": message.get("project_slug"),
        "severity": severity_word(level),
        "level": level,
        "issue": number,
    }
    return Notice(
        source=source,
        fingerprint=mark("issue", number),
        status="firing",
        started_at=happened_at or at,
        labels=words(told),
        annotations=_annotations(title, message.get("culprit")),
        url=link(message.get("url")),
        has_episode=False,
    )


def _annotations(title: object, more: object) -> dict[str, str]:
    return words({"summary": line(title), "description": more}, most=MOST_ANNOTATION)


def _known(value: object, place: str) -> str:
    """An id, which must be there."""
    if not isinstance(value, str | int) or not (said := line(value)):
        raise FORM.refused(f"{place} is missing")
    return said


def _tags(pairs: object) -> dict[str, object]:
    """Tags as Sentry sends them: a list of pairs."""
    found: dict[str, object] = {}
    for pair in pairs if isinstance(pairs, list) else []:
        if isinstance(pair, list) and len(pair) == 2:
            found[line(pair[0])] = pair[1]
    return found


def _project(event: object) -> str:
    """The project's short name: an event's own field is a number, its API address names it."""
    try:
        parts = urlsplit(text(within(event, "url"))).path.split("/")
    except ValueError:
        parts = []
    named = parts[parts.index("projects") + 2 :][:1] if "projects" in parts else []
    return line(named[0] if named else within(event, "project"))
