"""What a service says of its own health, and of what it depends on.

Read are the fields of the health+json draft (draft-inadarei-api-health-check-06, sections 3
and 4) and the shapes that frameworks made of the same idea: an object of checks by name, each
with a status and perhaps a reason, nested or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imtkit.model.words import counted, one_line
from imtkit.probes.findings import Finding, Findings, Level
from imtkit.probes.tables import frame_of
from imtkit.probes.wire import Target, exchange

if TYPE_CHECKING:
    import pandas as pd

MOST_BYTES = 1_000_000
MOST_CHECKS = 200

_GROUPS = ("checks", "components", "dependencies", "details", "entries", "results", "services")
_REASONS = ("output", "reason", "message", "error", "description", "detail", "exception")
_LEVELS: Mapping[str, Level] = {
    **dict.fromkeys(("pass", "ok", "up", "healthy", "true", "passing", "green"), "ok"),
    **dict.fromkeys(("warn", "warning", "degraded", "yellow", "maintenance"), "warning"),
    **dict.fromkeys(("fail", "error", "down", "unhealthy", "critical", "false"), "critical"),
    **dict.fromkeys(("out_of_service", "failed", "failing", "dead", "red"), "critical"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the service looked at: its own word for the status, and its reason."""

    name: str
    status: str
    reason: str = ""

    @property
    def level(self) -> Level | None:
        """What the status means; None for a word that is not known."""
        return _LEVELS.get(self.status.lower())


@dataclass(frozen=True, slots=True)
class Health:
    """A health document. ``error`` says why there is none; ``http_status`` came with it."""

    url: str
    http_status: int | None = None
    status: str = ""
    reason: str = ""
    checks: tuple[Check, ...] = ()
    error: str = ""

    def frame(self) -> pd.DataFrame:
        """One row a check: name, status, reason."""
        return frame_of(Check, self.checks)


def read(target: str | Target, *, timeout_seconds: float = 5.0) -> Health:
    """The health document at an address; what is wrong with it is in ``error``."""
    target = target if isinstance(target, Target) else Target(target)
    answer = exchange(target, timeout_seconds=timeout_seconds)
    sample = answer.sample
    if sample.error:
        return Health(target.url, error=sample.reason)
    if sample.kind == "redirect":
        return Health(target.url, sample.status, error=f"it points to {sample.location}")
    return health_from_body(target.url, sample.status, answer.body[:MOST_BYTES])


def health_from_body(url: str, http_status: int | None, body: bytes) -> Health:
    """The health document in the body of an answer."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return Health(url, http_status, error="the answer is not JSON")
    if not isinstance(document, Mapping):
        return Health(url, http_status, error="the answer is not a JSON object")
    checks = []
    for check in _checks(document, ""):
        checks.append(check)
        if len(checks) == MOST_CHECKS:
            break
    status = _status(document)
    if not status and not checks:
        return Health(url, http_status, error="the answer holds no 'status' and no 'checks'")
    return Health(url, http_status, status, _reason(document), tuple(checks))


def _checks(node: Mapping[str, Any], prefix: str, depth: int = 0) -> Iterator[Check]:
    """The checks in every group of a node, and those inside them, with dotted names."""
    for group in _GROUPS:
        members = node.get(group)
        if isinstance(members, Mapping) and depth < 5:
            for name, value in members.items():
                yield from _named(f"{prefix}{name}", value, depth)
        elif isinstance(members, list) and depth < 5:
            for value in members:
                name = value.get("name", group) if isinstance(value, Mapping) else group
                yield from _named(f"{prefix}{name}", value, depth)


def _named(name: str, value: object, depth: int) -> Iterator[Check]:
    if isinstance(value, list):
        for one in value:
            yield from _named(name, one, depth)
    elif isinstance(value, Mapping):
        inner = list(_checks(value, f"{name}.", depth + 1))
        if _status(value):
            yield Check(name, _status(value), _reason(value))
        yield from inner
    elif isinstance(value, (str, bool)) and str(value).lower() in _LEVELS:
        yield Check(name, str(value).lower())


def _status(node: Mapping[str, Any]) -> str:
    for name in ("status", "state", "healthy"):
        value = node.get(name)
        if isinstance(value, (str, bool)):
            return one_line(str(value), most=40)
    return ""


def _reason(node: Mapping[str, Any]) -> str:
    for name in _REASONS:
        value = node.get(name)
        if isinstance(value, str) and value:
            return one_line(value, most=300)
        if isinstance(value, Mapping) and isinstance(value.get("message"), str):
            return one_line(value["message"], most=300)
    details = node.get("details")
    return _reason(details) if isinstance(details, Mapping) else ""


def diagnose(health: Health) -> Findings:
    """What the service says is wrong with itself; one finding for each check that fails."""
    if health.error:
        return Findings(
            [
                Finding(
                    "warning",
                    f"{health.url} gives no health document.",
                    health.error + ".",
                    "Trust the requests' own outcome; ask the owner where health is told.",
                )
            ]
        )
    found = [*_failing(health), *_overall(health)]
    return Findings(found or [_well(health)])


def _failing(health: Health) -> Iterator[Finding]:
    for check in health.checks:
        if check.level in ("warning", "critical"):
            yield Finding(
                check.level,
                f"The service says of its check '{one_line(check.name, most=80)}': {check.status}.",
                check.reason or "no reason is given",
                f"Look at '{one_line(check.name, most=80)}' itself before the service.",
            )


def _overall(health: Health) -> Iterator[Finding]:
    level = _LEVELS.get(health.status.lower())
    blamed = any(check.level in ("warning", "critical") for check in health.checks)
    if level in ("warning", "critical") and not blamed:
        reason = health.reason or "it names no check that fails"
        what = f"The service calls itself {health.status}."
        yield Finding(level, what, reason, "Read the service's own log.")
    elif (health.http_status or 0) >= 400 and not blamed:
        what = f"The health document came with status {health.http_status}."
        yield Finding("critical", what, f"it says {health.status or 'nothing'}", "Read the log.")


def _well(health: Health) -> Finding:
    count = counted(len(health.checks), "check") if health.checks else "no checks"
    return Finding(
        "ok",
        f"The service calls itself {health.status or 'well'}.",
        f"{health.url}: {count}, none failing.",
    )
