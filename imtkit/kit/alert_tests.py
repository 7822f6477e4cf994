"""Rule tests: alerts that a team writes down, and what its rules must make of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imtkit.alerts.payloads import Delivery, Notice
from imtkit.alerts.pipeline import Playbook, Surroundings
from imtkit.alerts.rules import Rulebook
from imtkit.config import Settings
from imtkit.errors import ConfigError, InputError, suggestion
from imtkit.kit.alert_rules import default_source, judged
from imtkit.kit.alerts import Arrival, Outcome, checked_playbook, receive_all, source_named
from imtkit.kit.desk import Desk
from imtkit.model.entries import AUTOMATION
from imtkit.model.incident import Incident
from imtkit.store import open_store

FOLDER = "tests/alerts"
"""Where rule tests stand in a workspace, one or more in each ``.toml`` file."""

_TEST = {"name": str, "labels": dict, "annotations": dict, "source": str, "at": datetime}
_EXPECT = {
    "rule": str,
    "rules": list,
    "runbooks": list,
    "proposed": list,
    "parameters": dict,
    "severity": str,
    "roles": dict,
    "silenced": bool,
    "incident": (dict, bool),
}
_INCIDENT = {"title": str, "severity": str, "services": list, "owner": str, "tags": list}
_NOON = datetime(2000, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RuleTest:
    """An alert and what is expected of it. Without ``at``, a time, no silence counts."""

    path: Path
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    at: datetime | None = None
    expect: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as expected, and why where the rules can tell."""

    what: str
    expected: object
    found: object
    why: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a rule test came to; it passed when there is no difference."""

    path: Path
    name: str
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A clock that stands."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment


def read_tests(settings: Settings, files: Sequence[Path] = ()) -> list[RuleTest]:
    """The rule tests of these files, or of the workspace's ``tests/alerts``.

    ConfigError names file, test and place of what cannot be meant.
    """
    paths = files or sorted((settings.root / FOLDER).glob("*.toml"))
    return [test for path in paths for test in _tests_of(path)]


def run(settings: Settings, tests: Sequence[RuleTest]) -> list[Result]:
    """Take in each test's alert with the workspace's rules and runbooks, in a log of its own.

    Nothing of the workspace's log is read or written.
    """
    book = checked_playbook(settings)
    return [_result(settings, test, book) for test in tests]


def _result(settings: Settings, test: RuleTest, book: Playbook) -> Result:
    source = source_named(settings, test.source) if test.source else default_source(settings)
    clock = _Fixed(test.at or _NOON)
    rulebook = book.rulebook if test.at else Rulebook(book.rulebook.rules)
    notice = Notice(
        source.name, "test", "firing", clock.now(), labels=test.labels, annotations=test.annotations
    )
    store = open_store("sqlite://", clock=clock)
    book = Playbook(rulebook, book.runbooks)
    with Desk(settings, store, clock, f"{AUTOMATION}{source.name}", "alert") as desk:
        _, rules = judged(notice, Surroundings(store, settings, book, clock.now()))
        arrival = Arrival(source, Delivery((notice,)), clock.now())
        ((outcome,),) = receive_all(desk, [arrival], book)
        incident = store.incident(outcome.incident) if outcome.incident else None
    reasons = {
        rule.name: "; ".join(
            one.reason for one in rule.verdicts if rule.does_match or not one.is_met
        )
        for rule in rules
    }
    return Result(test.path, test.name, tuple(_differences(test, outcome, incident, reasons)))


def _differences(
    test: RuleTest, outcome: Outcome, incident: Incident | None, reasons: Mapping[str, str]
) -> list[Difference]:
    found = _found(outcome, incident)
    differences = []
    for what, expected in test.expect.items():
        if isinstance(expected, Mapping) and isinstance(found[what], Mapping):
            names = expected if what == "incident" else {**expected, **found[what]}
            pairs = {
                f"{what}.{name}": (expected.get(name), found[what].get(name)) for name in names
            }
        elif what == "incident":
            pairs = {what: (expected, bool(found[what]))}
        else:
            pairs = {what: (expected, found[what])}
        for name, (wanted, got) in pairs.items():
            if wanted != got:
                why = _why(wanted, got, reasons) if what in ("rule", "rules") else ""
                differences.append(Difference(name, wanted, got, why))
    return differences


def _why(wanted: object, got: object, reasons: Mapping[str, str]) -> str:
    """Why rules do not match that should, or do that should not."""
    names = [name if isinstance(name, list) else [name] for name in (wanted, got)]
    told = []
    for name in dict.fromkeys([*names[0], *names[1]]):
        if (name in names[0]) is not (name in names[1]) and reasons.get(name):
            told.append(f"'{name}': {reasons[name]}")
    return "; ".join(told)


def _found(outcome: Outcome, incident: Incident | None) -> dict[str, Any]:
    entries = incident.entries if incident else ()
    asked = [entry.data for entry in entries if entry.type == "run.requested"]
    proposed = [entry.data["runbook"] for entry in entries if entry.type == "runbook.proposed"]
    about = {name: getattr(incident, name) for name in _INCIDENT} if incident else {}
    return {
        "rule": next(iter(outcome.rules), ""),
        "rules": list(outcome.rules),
        "runbooks": [one["runbook"] for one in asked],
        "proposed": proposed,
        "parameters": dict(asked[0]["parameters"]) if asked else {},
        "severity": incident.severity if incident else "",
        "roles": dict(incident.roles) if incident else {},
        "silenced": bool(outcome.silenced),
        "incident": {n: list(v) if isinstance(v, tuple) else v for n, v in about.items()},
    }


def _tests_of(path: Path) -> list[RuleTest]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", hint="Mend that place.") from error
    _check(document, {"test": list}, str(path))
    return [_test(path, one, number) for number, one in enumerate(document.get("test", ()), 1)]


def _test(path: Path, table: object, number: int) -> RuleTest:
    place = f"{path}: [[test]] {number}"
    if not isinstance(table, dict):
        raise ConfigError(f"{place} is no table.", hint="Begin each test with a line [[test]].")
    _check(table, {**_TEST, "expect": dict}, place)
    given = {name: value for name, value in table.items() if name != "name"}
    for name in ("labels", "annotations"):
        _check(given.get(name, {}), dict.fromkeys(given.get(name, {}), str), f"{place}: {name}")
    expect = given.get("expect", {})
    _check(expect, _EXPECT, f"{place}: expect")
    if not expect:
        raise ConfigError(f"{place} expects nothing.", hint='expect = { rule = "…" }')
    _check(expect.get("roles", {}), dict.fromkeys(expect.get("roles", {}), str), f"{place}: roles")
    if isinstance(expect.get("incident"), dict):
        _check(expect["incident"], _INCIDENT, f"{place}: expect.incident")
    if (at := given.get("at")) is not None and at.tzinfo is None:
        raise ConfigError(f"{place}: at has no time zone.", hint="End it with Z.")
    return RuleTest(path, str(table.get("name", number)), **given)


def _check(table: Mapping[str, Any], known: Mapping[str, Any], place: str) -> None:
    for name, value in table.items():
        if name not in known:
            raise ConfigError(f"{place}: '{name}' is not known here.", hint=suggestion(name, known))
        if not isinstance(value, known[name]):
            kinds = known[name] if isinstance(known[name], tuple) else (known[name],)
            wanted = " or ".join(_KINDS[kind] for kind in kinds)
            raise ConfigError(f"{place}: '{name}' is not {wanted}.", hint="Write it so.")


_KINDS = {
    str: "a text in quotes",
    dict: "a table: { name = value }",
    list: 'a list: ["…"]',
    bool: "true or false",
    datetime: "a time: 2026-11-21T10:00:00Z",
}
