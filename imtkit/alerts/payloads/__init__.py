"""What alert senders post, read into one shape. Pure; everything in it is hostile text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from imtkit.config.alerts import SourceSettings
from imtkit.errors import NotFoundError, PayloadError

Status = Literal["firing", "resolved"]

_FINGERPRINT = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert as its sender tells it. Times are aware UTC; ``ended_at`` only when over.

    One episode of an alert is its fingerprint and start: a redelivery repeats both. ``group``
    is what its sender groups it under; empty when it does not say.
    """

    source: str
    fingerprint: str
    status: Status
    started_at: datetime
    ended_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    group: str = ""

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.labels.get("alertname") or "alert without a name"

    @property
    def service(self) -> str:
        """The service it speaks of; empty when it names none."""
        return self.labels.get("service") or self.labels.get("job") or ""

    @property
    def title(self) -> str:
        """A line for people: the sender's summary, else name and service."""
        said = self.annotations.get("summary") or self.annotations.get("title") or ""
        line = " ".join(said.split())[:200]
        return line or (f"{self.name}: {self.service}" if self.service else self.name)

    @property
    def measures(self) -> Mapping[str, float]:
        """Numbers for severities, from annotations such as ``measure_error_rate: "0.3"``."""
        found = {}
        for name, text in self.annotations.items():
            if name.startswith("measure_"):
                try:
                    found[name.removeprefix("measure_")] = float(text)
                except ValueError:
                    continue  # a template that had no value: no measure
        return {name: value for name, value in found.items() if abs(value) < 1e15}

    @property
    def episode(self) -> str:
        """What is the same in every message about this one occurrence."""
        return f"alert/{self.source}/{self.fingerprint}/{self.started_at.isoformat()}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one request held; ``left_out`` alerts the sender says it did not send."""

    notices: tuple[Notice, ...]
    left_out: int = 0


def delivery_from(source: SourceSettings, body: bytes) -> Delivery:
    """The alerts in a request's body; PayloadError says what is wrong with it."""
    if source.kind != "alertmanager":
        raise NotFoundError.of("Alert source", source.kind, ("alertmanager",))
    return delivery_from_alertmanager(body)


class _Alert(TypedDict):
    """One alert of Alertmanager's, under its own names."""

    status: Status
    labels: NotRequired[dict[str, str]]
    annotations: NotRequired[dict[str, str]]
    startsAt: datetime
    endsAt: NotRequired[datetime | None]
    generatorURL: NotRequired[str]
    fingerprint: str


class _Message(TypedDict):
    """Alertmanager's webhook message; fields we do not need are ignored."""

    version: Literal["4"]
    groupKey: NotRequired[str]
    alerts: list[_Alert]
    truncatedAlerts: NotRequired[int]


def delivery_from_alertmanager(body: bytes) -> Delivery:
    """A delivery from Alertmanager's webhook, version 4.

    Source: Alertmanager 0.34, template/template.go and notify/webhook/webhook.go.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        message = TypeAdapter(_Message).validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise _refused(f"{place}: {first['msg'].lower()}") from error
    group = message.get("groupKey", "")
    notices = tuple(_notice(alert, group) for alert in message["alerts"])
    return Delivery(notices, max(0, message.get("truncatedAlerts", 0)))


def _notice(alert: _Alert, group: str) -> Notice:
    fingerprint, started_at, ended_at = alert["fingerprint"], alert["startsAt"], alert.get("endsAt")
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise _refused(f"an alert's fingerprint is {fingerprint[:80]!r}")
    if started_at.tzinfo is None:
        raise _refused(f"startsAt {started_at.isoformat()} has no time zone")
    is_over = alert["status"] == "resolved"
    if ended_at is not None and (ended_at.year == 1 or ended_at.tzinfo is None or not is_over):
        ended_at = None  # year 1 is how Alertmanager writes "not yet"
    return Notice(
        source="alertmanager",
        fingerprint=fingerprint,
        status=alert["status"],
        started_at=started_at.astimezone(UTC),
        ended_at=ended_at.astimezone(UTC) if ended_at else None,
        labels=alert.get("labels", {}),
        annotations=alert.get("annotations", {}),
        url=alert.get("generatorURL", ""),
        group=group,
    )


def _refused(what: str) -> PayloadError:
    return PayloadError(
        f"This is not an Alertmanager message: {what}.",
        hint="Alertmanager posts JSON of version 4 with a list 'alerts'.",
    )
