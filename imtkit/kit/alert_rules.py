"""Explain what the rules make of alerts. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from imtkit.alerts.payloads import Notice, delivery_from
from imtkit.alerts.pipeline import Case, Plan, Surroundings, considered, labels_of
from imtkit.alerts.rules import Verdict, verdicts
from imtkit.config import Settings
from imtkit.config.alerts import SourceSettings
from imtkit.errors import InputError
from imtkit.kit import alert_roles, alert_runs
from imtkit.kit.alerts import (
    ALERTMANAGER,
    Arrival,
    Outcome,
    checked_playbook,
    outcome_of,
    receive_all,
)
from imtkit.kit.desk import Desk
from imtkit.kit.rehearsal import rehearsed
from imtkit.model.entry_data import text_of, texts_of


@dataclass(frozen=True, slots=True)
class Judged:
    """A rule or a silence held against an alert: whether it matches, and each condition's why.

    ``limits`` are a rule's, in words.
    """

    name: str
    does_match: bool
    verdicts: tuple[Verdict, ...] = ()
    limits: str = ""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A runbook that would be run, or only proposed and for which reason."""

    runbook: str
    rule: str
    is_run: bool
    parameters: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Appointed:
    """Who would get a role, and why; where somebody has it, who that is."""

    role: str
    person: str
    reason: str
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of one alert, and why. ``severity`` is that of a new incident, or the worse
    one of an incident that is joined; ``grounds`` tell why, also why a worse one is only proposed.

    ``roles`` and ``runbooks`` of an alert that is known or held back are those it would have
    were it not.
    """

    outcome: Outcome
    status: str
    severity: str = ""
    grounds: str = ""
    silences: tuple[Judged, ...] = ()
    rules: tuple[Judged, ...] = ()
    roles: tuple[Appointed, ...] = ()
    runbooks: tuple[Foreseen, ...] = ()


def explain(
    desk: Desk, body: bytes, *, source: SourceSettings = ALERTMANAGER, at: datetime | None = None
) -> list[Explanation]:
    """What would become of each alert of a delivery that came now, or ``at``; nothing is written.

    Each alert is held against the log as it would be after those before it; on a ``rehearsed``
    desk also those of earlier deliveries. An incident that would be opened has an id that begins
    with ``NEW``. ConfigError names a rule or silence that cannot be meant.
    """
    delivery = delivery_from(source, body, at=at)
    book, tried = checked_playbook(desk.settings), rehearsed(desk)
    around = Surroundings(tried.store, tried.settings, book, at or desk.clock.now())
    found = []
    for notice in delivery.notices:
        told = _explained(tried, notice, around)
        last = tried.store.newest(told.outcome.incident) if told.outcome.incident else None
        arrival = Arrival(source, replace(delivery, notices=(notice,), left_out=0), around.now)
        ((outcome,),) = receive_all(tried, [arrival], book)
        told = replace(told, outcome=replace(told.outcome, incident=outcome.incident))
        found.append(_raising(tried, told, last.n) if last else told)
    return found


def _raising(desk: Desk, told: Explanation, last: int) -> Explanation:
    """With what was written of the incident's severity after the entry that was its last."""
    for entry in desk.store.entries(told.outcome.incident, after=last):
        if entry.type == "severity.changed":
            worse, why = text_of(entry, "to"), text_of(entry, "reason")
            told = replace(told, severity=worse, grounds=why)
        elif entry.type == "severity.proposed" and text_of(entry, "alert"):
            told = replace(told, grounds="; ".join(texts_of(entry, "grounds")))
    return told


def default_source(settings: Settings) -> SourceSettings:
    """Whose payload it is when nobody says: the only sender of imt.toml, else Alertmanager's.

    InputError when several may be meant.
    """
    known = settings.alerts.sources
    if len(known) == 1:
        return next(iter(known.values()))
    alike = [one for one in known.values() if one.kind == ALERTMANAGER.kind]
    if not known or ALERTMANAGER.name in known or len(alike) == 1:
        return known.get(ALERTMANAGER.name) or (alike[0] if alike else ALERTMANAGER)
    raise InputError(
        "Nobody says who wrote the payload.", hint=f"Say --source {' or '.join(sorted(known))}."
    )


def judged(notice: Notice, around: Surroundings) -> tuple[tuple[Judged, ...], tuple[Judged, ...]]:
    """Every silence and every rule, held against an alert."""
    labels, book = labels_of(notice), around.playbook.rulebook
    silences = [
        _judged(one.name, (one.time_verdict(around.now), *verdicts(one.matchers, labels)))
        for one in book.silences
    ]
    rules = [
        replace(_judged(one.name, verdicts(one.matchers, labels)), limits=one.limits)
        for one in book.rules
    ]
    return tuple(silences), tuple(rules)


def _judged(name: str, said: tuple[Verdict, ...]) -> Judged:
    return Judged(name, all(one.is_met for one in said), said)


def _explained(desk: Desk, notice: Notice, around: Surroundings) -> Explanation:
    case = considered(notice, around)
    silences, rules = judged(notice, around)
    about = Explanation(outcome_of(case), notice.status, silences=silences, rules=rules)
    if notice.status == "resolved":
        return about
    plans = tuple(_foreseen(plan) for plan in _within_limits(desk, case, around))
    severity = _severity(case, around) if case.action == "open" else ""
    return replace(about, severity=severity, roles=_appointed(desk, case), runbooks=plans)


def _appointed(desk: Desk, case: Case) -> tuple[Appointed, ...]:
    incident = desk.store.incident(case.incident) if case.incident and case.duties else None
    return tuple(
        Appointed(
            duty.role,
            duty.person,
            duty.reason,
            alert_roles.holder(duty.role, incident) if incident else "",
        )
        for duty in case.duties
    )


def _within_limits(desk: Desk, case: Case, around: Surroundings) -> Sequence[Plan]:
    plans: Sequence[Plan] = case.plans
    if case.incident:
        going = around.playbook.going.of(desk.store, case.incident)
        plans = alert_runs.within_at_once(plans, going)
    return [
        replace(plan, is_run=False, reason=alert_runs.hour_reason(plan))
        if alert_runs.is_hour_spent(desk, plan)
        else plan
        for plan in plans
    ]


def _foreseen(plan: Plan) -> Foreseen:
    rule = plan.rule.name if plan.rule else ""
    values = dict(plan.parameters)
    return Foreseen(plan.runbook, rule, plan.is_run, values, plan.left_out, plan.reason)


def _severity(case: Case, around: Surroundings) -> str:
    severities = around.settings.severities
    measured = severities.propose(case.notice.measures)
    return case.severity or (measured.severity if measured else severities.default)
