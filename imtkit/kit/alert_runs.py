"""What an alert starts: roles, the runs that rules want, within limits, and what is proposed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from imtkit.alerts.going import Going, going_in
from imtkit.alerts.pipeline import Case, Plan, ruled_severity
from imtkit.kit import alert_roles
from imtkit.kit.desk import Desk
from imtkit.kit.runs import new_run_id
from imtkit.model.entries import WORKSPACE, Draft, Entry
from imtkit.model.incident import Incident


def write_with(desk: Desk, case: Case, received: Draft, going: Going) -> list[Entry]:
    """Store that the alert came to its incident, with all that it starts, in one write.

    Returns the entries as stored. Every entry's key is the episode's: who stores the same again,
    or at the same time, adds nothing.
    """
    plans = case.plans
    if any(map(_at_once, plans)):  # looked up first: what cannot run takes no number of the hour
        plans = within_at_once(plans, going.of(desk.store, case.incident))
    plans = tuple(_within_the_hour(desk, plan, case) for plan in plans)
    case = alert_roles.to_give(desk, case, going)
    if not (case.duties or _is_raising(desk, case) or any(map(_at_once, plans))):
        return desk.store.append(case.incident, received, *_drafts(desk, case, plans))

    def decide(incident: Incident) -> Sequence[Draft]:
        if any(entry.key == received.key for entry in incident.entries):
            return [received]  # somebody else was first, and wrote what it starts
        raised = [*_raised(desk, case, incident), *alert_roles.given(desk, case, incident)]
        return [received, *raised, *_drafts(desk, case, within_at_once(plans, going_in(incident)))]

    return desk.store.change(case.incident, decide)


def within_at_once(plans: Sequence[Plan], going: Counter[str]) -> tuple[Plan, ...]:
    """The plans, those of them only proposed whose rule has all its runs going that it may.

    ``going`` counts the runs of an incident by rule.
    """
    going = going.copy()
    kept = []
    for plan in plans:
        name, most = plan.rule.name if plan.rule else "", _at_once(plan)
        if most and going[name] >= most:
            reason = f"the rule '{name}' has {going[name]} of its {most} going in this incident"
            kept.append(replace(plan, is_run=False, reason=reason))
            continue
        going[name] += plan.is_run
        kept.append(plan)
    return tuple(kept)


def is_hour_spent(desk: Desk, plan: Plan) -> bool:
    """Whether the plan's rule has begun all the runs that it may in this hour of the clock."""
    keys = _hour_keys(desk, plan)
    return bool(keys) and desk.store.find(keys[-1]) is not None


def hour_reason(plan: Plan) -> str:
    """Why a plan is only proposed whose rule has spent its hour."""
    most = plan.rule.settings.per_hour if plan.rule else 0
    return f"the rule '{plan.rule.name if plan.rule else ''}' has begun its {most} of this hour"


def _within_the_hour(desk: Desk, plan: Plan, case: Case) -> Plan:
    """The plan, only proposed when its rule has begun all that it may in this hour.

    Each run takes a number of its hour by a key, which two cannot both have, in the workspace's
    chain. It keeps the number it took should the next write fail and all be done again.
    """
    keys = _hour_keys(desk, plan)
    if not keys:
        return plan
    claim = {
        "runbook": plan.runbook,
        "alert": case.notice.name,
        "rule": plan.rule.name if plan.rule else "",
        "episode": case.episode,
    }
    last = desk.store.find(keys[-1])
    if last is not None and not _is_ours(last, claim):
        return replace(plan, is_run=False, reason=hour_reason(plan))
    for number, key in enumerate(keys, start=1):
        draft = desk.draft("rule.counted", {**claim, "number": number, "of": len(keys)}, key=key)
        taken = desk.store.find(key) or desk.store.append(WORKSPACE, draft)[0]
        if _is_ours(taken, claim):
            return plan
    return replace(plan, is_run=False, reason=hour_reason(plan))


def _is_ours(taken: Entry, claim: Mapping[str, str]) -> bool:
    return all(taken.data.get(name) == claim[name] for name in ("episode", "runbook"))


def _hour_keys(desk: Desk, plan: Plan) -> list[str]:
    if plan.rule is None or not plan.is_run:
        return []
    stem = f"rule/{plan.rule.name}/{desk.clock.now():%Y-%m-%dT%H}"
    return [f"{stem}/{number}" for number in range(plan.rule.settings.per_hour)]


def _at_once(plan: Plan) -> int:
    return plan.rule.settings.at_once if plan.rule and plan.is_run else 0


def _rank(desk: Desk, severity: str) -> int:
    return desk.settings.severities.rank(severity)


def _is_raising(desk: Desk, case: Case) -> bool:
    severity = ruled_severity(case, desk.settings.severities)
    return bool(severity) and _rank(desk, severity) < _rank(desk, case.standing)


def _raised(desk: Desk, case: Case, incident: Incident) -> list[Draft]:
    """The severity that a rule gives, where it is worse than the incident's: people lower it."""
    severity = ruled_severity(case, desk.settings.severities)
    if not severity or _rank(desk, severity) >= _rank(desk, incident.severity):
        return []
    rule = next(one.name for one in case.rules if one.settings.severity)
    data = {"from": incident.severity, "to": severity, "reason": f"the rule '{rule}' says so"}
    return [desk.draft("severity.changed", data, key=f"{case.episode}/rule/{rule}/severity")]


def _drafts(desk: Desk, case: Case, plans: Sequence[Plan]) -> list[Draft]:
    return [
        _requested(desk, case, plan) if plan.is_run else _proposed(desk, case, plan)
        for plan in plans
    ]


def _requested(desk: Desk, case: Case, plan: Plan) -> Draft:
    rule = plan.rule.name if plan.rule else ""
    data = {
        "run": new_run_id(desk.clock.now()),
        "runbook": plan.runbook,
        "title": plan.book.title if plan.book else "",
        "parameters": dict(plan.parameters),
        "rule": rule,
        "alert": case.notice.name,
        "fingerprint": case.notice.fingerprint,
        "priority": _priority(desk, case),
    }
    return desk.draft("run.requested", data, key=f"{case.episode}/rule/{rule}/{plan.runbook}")


def _priority(desk: Desk, case: Case) -> int:
    """The rank of the severity that the alert comes with, 1 for the worst."""
    severities = desk.settings.severities
    measured = severities.propose(case.notice.measures)
    said = case.severity or (measured.severity if measured else "")
    known = [name for name in (said, case.standing) if name]
    return min(map(severities.rank, known or [severities.default]))


def _proposed(desk: Desk, case: Case, plan: Plan) -> Draft:
    data = {"runbook": plan.runbook, "alert": case.notice.name}
    if plan.rule:
        data |= {"rule": plan.rule.name}
    if plan.reason:
        data |= {"reason": plan.reason}
    return desk.draft("runbook.proposed", data, key=f"{case.episode}/runbook/{plan.runbook}")
