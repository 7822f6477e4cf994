"""What imt.toml says of alerts: who may post them, what they start, and when they are held back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from imtkit.config import windows
from imtkit.config.shapes import table_of
from imtkit.config.windows import Window
from imtkit.errors import ConfigError, suggestion
from imtkit.model.words import one_line

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

KINDS = (
    "alertmanager",
    "grafana",
    "pagerduty",
    "sns",
    "datadog",
    "sentry",
    "opsgenie",
    "zabbix",
    "mapped",
)
"""Who is understood. ``mapped`` is anybody who posts JSON, by the paths that imt.toml gives."""

CANNOT_SIGN = ("alertmanager", "datadog", "opsgenie")
"""Kinds that have no signature; a Zabbix media type's script can make one."""

FIELDS = (
    "alerts",
    "fingerprint",
    "status",
    "started_at",
    "ended_at",
    "title",
    "description",
    "service",
    "name",
    "severity",
    "url",
    "group",
)
"""What can be told of a mapped sender's JSON: where the alerts are, and where in each what is."""

Proof = Literal["bearer", "signature", "none"]

_SIGNING = ("pagerduty", "sns", "sentry")
"""Kinds that sign what they post, unless imt.toml says otherwise."""

_LONGEST_NAME = 100
"""Characters of a role or of a person's name."""

_ALWAYS = datetime(1, 1, 2, tzinfo=UTC)
NEVER = datetime(9999, 12, 30, tzinfo=UTC)
"""The end of a silence that has none: only its window says when it is on."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A sender of alerts: the last part of the address it posts to, and how it is known.

    ``secrets`` are references; any of them will do, so that one can be replaced without a gap.
    ``topics`` are the SNS topics that may be confirmed and heard. ``header`` and
    ``timestamp_header`` are where Grafana puts its signature and, if it signs that too, the time.
    ``fields``, ``labels`` (dotted paths into the JSON) and ``resolved`` (the values of the status
    that mean that it is over) are a mapped sender's.
    """

    name: str
    kind: str
    proof: Proof = "bearer"
    secrets: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    header: str = ""
    timestamp_header: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    resolved: tuple[str, ...] = ("resolved", "ok", "closed", "recovered")


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What alerts start. ``match`` holds matchers as Alertmanager writes them; all must hold.

    Without ``runbooks`` it is those that say they answer the alert. ``run``: they are run, not
    only proposed. ``parameters``: a value, or where it is taken from (``label:NAME``,
    ``annotation:NAME``), by the runbook's parameter. ``assign``: who gets which role of the
    incident, where nobody has it. ``per_hour`` and ``at_once`` are the most runs that this rule
    starts in an hour of the clock and has going in one incident; 0 sets no limit.
    """

    name: str
    match: tuple[str, ...] = ()
    runbooks: tuple[str, ...] = ()
    severity: str = ""
    run: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)
    assign: Mapping[str, str] = field(default_factory=dict)
    per_hour: int = 0
    at_once: int = 0

    @property
    def is_unlimited(self) -> bool:
        """Whether each new alert that it speaks of starts a run, be they ten thousand."""
        return self.run and not (self.per_hour or self.at_once)


@dataclass(frozen=True, slots=True)
class SilenceSettings:
    """Alerts that are written down and start nothing for a while. Times are aware UTC.

    With a ``window`` only while that is on, from its start to its end.
    """

    reason: str
    match: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """All that imt.toml says of alerts.

    ``group_minutes``: an alert joins the incident of its service or group that was heard of
    within this many minutes, and is not over.
    """

    sources: Mapping[str, SourceSettings] = field(default_factory=dict)
    rules: tuple[RuleSettings, ...] = ()
    silences: tuple[SilenceSettings, ...] = ()
    group_minutes: int = 1440


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Where ``imt serve`` listens, and how people are known there.

    ``token`` is a reference; empty: one is made up at each start and printed. ``user_header`` is
    the header in which the proxies of ``proxies`` (addresses) name the person.
    """

    host: str = "127.0.0.1"
    port: int = 8787
    token: str = ""
    user_header: str = ""
    proxies: tuple[str, ...] = ()
    most_body_mb: int = 10
    most_waiting: int = 1000


def alert_tables() -> dict[str, CoreSchema]:
    """What ``[alerts]`` may hold."""
    from pydantic_core import core_schema as core

    text, number = core.str_schema(strict=True), core.int_schema(strict=True)
    texts = core.list_schema(text, strict=True)
    words = core.dict_schema(text, text, strict=True)
    given = core.union_schema([text, core.bool_schema(strict=True), number, core.float_schema()])
    moment = core.datetime_schema(strict=True)
    flag = core.bool_schema(strict=True)
    source = table_of(
        kind=text,
        proof=core.literal_schema(["bearer", "signature", "none"]),
        secrets=texts,
        topics=texts,
        header=text,
        timestamp_header=text,
        fields=words,
        labels=words,
        resolved=texts,
    )
    rule = table_of(
        "name",
        name=text,
        match=texts,
        runbooks=texts,
        severity=text,
        run=flag,
        parameters=core.dict_schema(text, given, strict=True),
        assign=words,
        per_hour=number,
        at_once=number,
    )
    when = dict.fromkeys(windows.NAMES, core.any_schema())  # windows says what is wrong there
    silence = table_of(reason=text, match=texts, starts_at=moment, ends_at=moment, **when)
    return {
        "sources": core.dict_schema(text, source, strict=True),
        "rules": core.list_schema(rule, strict=True),
        "silences": core.list_schema(silence, strict=True),
        "group_minutes": number,
    }


def serve_tables() -> dict[str, CoreSchema]:
    """What ``[serve]`` may hold."""
    from pydantic_core import core_schema as core

    text, number = core.str_schema(strict=True), core.int_schema(strict=True)
    texts = core.list_schema(text, strict=True)
    numbers = dict.fromkeys(("port", "most_body_mb", "most_waiting"), number)
    return {"host": text, "token": text, "user_header": text, "proxies": texts, **numbers}


def alert_settings(table: Mapping[str, Any], path: Path) -> AlertSettings:
    """The settings of a checked ``[alerts]``; ConfigError for what cannot be meant."""
    rules = tuple(_rule(one, path) for one in table.get("rules", ()))
    names = [rule.name for rule in rules]
    for name in {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"{path}: two of [[alerts.rules]] are called '{name}'.")
    sources = {name: _source(name, one, path) for name, one in table.get("sources", {}).items()}
    silences = tuple(
        _silence(one, f"{path}: [[alerts.silences]] '{one_line(one.get('reason', '')) or number}'")
        for number, one in enumerate(table.get("silences", ()), start=1)
    )
    rest = {name: table[name] for name in ("group_minutes",) if name in table}
    return AlertSettings(sources, rules, silences, **rest)


def serve_settings(table: Mapping[str, Any], path: Path) -> ServeSettings:
    """The settings of a checked ``[serve]``."""
    settings = ServeSettings(**_tuples(table))
    if not 0 <= settings.port <= 65535:
        raise ConfigError(f"{path}: [serve] port = {settings.port} is not from 0 to 65535.")
    return settings


def _source(name: str, table: Mapping[str, Any], path: Path) -> SourceSettings:
    place = f"{path}: [alerts.sources.{name}]"
    kind = table.get("kind", name)
    if kind not in KINDS:
        hint = suggestion(kind, KINDS) or f"One of: {', '.join(KINDS)}."
        raise ConfigError(f"{place} is of the kind '{kind}', which is not known.", hint=hint)
    for field_name in table.get("fields", {}):
        if field_name not in FIELDS:
            hint = suggestion(field_name, FIELDS)
            raise ConfigError(f"{place} has a field '{field_name}', which is not known.", hint=hint)
    proof = table.get("proof", "signature" if kind in _SIGNING else "bearer")
    if proof == "signature" and kind in CANNOT_SIGN:
        raise ConfigError(
            f"{place} asks for a signature, which the kind '{kind}' has none of.",
            hint='Give the sender a bearer token: proof = "bearer".',
        )
    source = SourceSettings(**{**_tuples(table), "name": name, "kind": kind, "proof": proof})
    if proof != "none" and kind != "sns" and not source.secrets:
        raise ConfigError(
            f"{place} has no secrets: anybody could post alerts.",
            hint='Name one: secrets = ["secret://env/NAME"], or say proof = "none".',
        )
    return source


def _rule(table: Mapping[str, Any], path: Path) -> RuleSettings:
    rule = RuleSettings(**_tuples(table))
    named = roles_of(rule.assign, f"{path}: [[alerts.rules]] '{rule.name}': assign")
    return replace(rule, assign=named)


def roles_of(table: Mapping[str, str], place: str) -> dict[str, str]:
    """People by role, trimmed; ConfigError for a role or a person that has no readable name."""
    for role, person in table.items():
        for what, name in (("a role", role), ("a person", person)):
            if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
                raise ConfigError(
                    f"{place} names {what} {name!r}, which can have no such name.",
                    hint='Write { commander = "Ann Example" }',
                )
    trimmed = {role.strip(): person.strip() for role, person in table.items()}
    return {"owner" if r.casefold() == "owner" else r: who for r, who in trimmed.items()}


def _silence(table: Mapping[str, Any], place: str) -> SilenceSettings:
    window = windows.window_from_table(table, place)
    if window is None and "ends_at" not in table:
        raise ConfigError(
            f"{place} does not say when it ends.",
            hint="Add ends_at = 2026-11-21T23:00:00+01:00, or times at which it is on.",
        )
    starts_at, ends_at = table.get("starts_at", _ALWAYS), table.get("ends_at", NEVER)
    for moment in (starts_at, ends_at):
        if moment.tzinfo is None:
            raise ConfigError(
                f"{place} says {moment.isoformat()}, which has no time zone.",
                hint="Write 2026-11-21T20:00:00+01:00, or end it with Z.",
            )
    spans = (starts_at.astimezone(UTC), ends_at.astimezone(UTC))
    return SilenceSettings(table.get("reason", ""), tuple(table.get("match", ())), *spans, window)


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    """The same with tuples for lists: settings are not changed."""
    return {
        name: tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for name, value in table.items()
    }
