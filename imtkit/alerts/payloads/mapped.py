"""Anybody who posts JSON, by the dotted paths that imt.toml gives.

``fields`` says where things stand: ``alerts`` (the list of alerts; without it the body is one
alert, and ``.`` means that the body is the list), ``fingerprint``, ``status``, ``started_at``,
``ended_at``, ``title``, ``description``, ``service``, ``name``, ``severity``, ``url`` and
``group``. ``labels`` are further labels by their paths. A path leads through names and through
positions in lists (``targets.0.name``); what an alert does not hold, except its fingerprint, is
looked for in the body around it. A status among ``resolved`` means that it is over, any other
that it fires.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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


def delivery(source: SourceSettings, body: bytes, at: datetime) -> Delivery:
    """The alerts that the source's paths lead to."""
    form = Form(
        f"a message of '{source.name}'",
        f"imt.toml says in [alerts.sources.{source.name}.fields] where things stand in its JSON.",
    )
    message = form.read(object, body)
    if not isinstance(message, dict | list):
        raise form.refused("the body is neither an object nor a list")
    path = source.fields.get("alerts", "")
    alerts = _at(message, path) if path else [message]
    if not isinstance(alerts, list):
        raise form.refused(f"there is no list at {path}")
    told = (_Told(source, form, alert, message) for alert in alerts)
    return Delivery(tuple(_notice(one, at) for one in told))


@dataclass(frozen=True, slots=True)
class _Told:
    """One alert of a message, asked by the names of ``fields``, and the body around it."""

    source: SourceSettings
    form: Form
    alert: object
    around: object

    def get(self, name: str) -> object:
        """What the alert, else the body around it, holds for a field; None without a path."""
        path = self.source.fields.get(name, "")
        return self.found(path) if path else None

    def found(self, path: str) -> object:
        """What stands at a path in the alert, else in the body around it."""
        own = _at(self.alert, path)
        return _at(self.around, path) if own is None else own

    def moment(self, name: str) -> datetime | None:
        """A field that is a time."""
        return self.form.moment(self.get(name), self.source.fields.get(name, ""))

    def own(self, name: str) -> str:
        """A field that must be the alert's own; empty only without a path."""
        path = self.source.fields.get(name, "")
        said = text(_at(self.alert, path), most=MOST_ANNOTATION) if path else ""
        if path and not said:
            raise self.form.refused(f"an alert has nothing at {path} ({name})")
        return said

    def status(self) -> Status:
        """Whether it is over; without a path it fires."""
        path = self.source.fields.get("status", "")
        said = line(self.get("status")).casefold()
        if path and not said:
            raise self.form.refused(f"an alert has nothing at {path} (status)")
        over = {word.strip().casefold() for word in self.source.resolved}
        return "resolved" if said in over else "firing"


def _at(value: object, path: str) -> object:
    return value if path == "." else within(value, *path.split("."))


def _notice(told: _Told, at: datetime) -> Notice:
    status = told.status()
    started_at, ended_at = told.moment("started_at"), told.moment("ended_at")
    labels = _labels(told)
    fingerprint = told.own("fingerprint")
    summary = line(told.get("title"))
    if not fingerprint:
        # Not the severity: it may change while the alert stays the same.
        same = {key: said for key, said in labels.items() if "severity" not in key}
        fingerprint = mark(*(part for pair in sorted(same.items()) for part in pair), summary)
    is_over = status == "resolved"
    return Notice(
        source=told.source.name,
        fingerprint=mark(fingerprint),
        status=status,
        started_at=started_at or ended_at or at,
        ended_at=(ended_at or at) if is_over else None,
        labels=labels,
        annotations=words(
            {"summary": summary, "description": told.get("description")},
            most=MOST_ANNOTATION,
        ),
        url=link(told.get("url")),
        group=line(told.get("group")),
        # One that tells both times tells its episode; of one time alone nobody knows whether it
        # is the start or the moment of this message.
        has_episode=started_at is not None and (not is_over or ended_at is not None),
    )


def _labels(told: _Told) -> dict[str, str]:
    """The labels of ``labels``, and those that have a field of their own over them."""
    severity = line(told.get("severity"))
    named = {name: told.found(path) for name, path in told.source.labels.items()}
    ours = {
        "alertname": line(told.get("name")) or line(told.get("title")),
        "service": line(told.get("service")),
        "severity": severity_word(severity),
        "sender_severity": severity,
    }
    return words(named) | words(ours)
