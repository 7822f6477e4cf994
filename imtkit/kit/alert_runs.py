"""What an alert starts: a worse severity, roles, the runs that rules want, within limits, and what
is proposed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from imtkit.alerts.going import going_in, set_by_person
from imtkit.alerts.pipeline import (
    Case,
    Plan,
    Playbook,
    given_severity,
    labelled_severity,
    ruled_severity,
    severity_label,
)
from imtkit.contracts import Store
from imtkit.kit import alert_roles, incidents
from imtkit.kit.desk import Desk
from imtkit.kit.runs import new_run_id
from imtkit.model.entries import WORKSPACE, Draft, Entry
from imtkit.model.fold import foreseen
from imtkit.model.incident import Incident
from imtkit.model.words import one_line


@dataclass(frozen=True, slots=True)
class Word:
    """What one alert tells its incident: the entry, by which machine, and all that is known."""

    desk: Desk
    case: Case
    incident: str
    draft: Draft

    @property
    def is_firing(self) -> bool:
        """Whether the alert comes to the incident: then it may start something there."""
        return self.draft.type == "alert.received"


@dataclass(frozen=True, slots=True)
class NewIncident:
    """An incident that is opened with the first alert's words: its opening entry, and on what
    grounds its severity is proposed. Until then it is known by a name that is no incident's.
    """

    draft: Draft
    grounds: Sequence[Draft] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """What was stored for each word, and the ids of the incidents that were opened, by name."""

    entries: list[list[Entry]]
    opened: Mapping[str, str]


def write_all(
    store: Store, words: Sequence[Word], playbook: Playbook, openings: Mapping[str, NewIncident]
) -> Written:
    """Store what alerts tell, with all that they start.

    All of one incident is one write, its opening too, and so is all of those that need not be
    looked into. Every entry's key is the episode's: who stores the same again, or at the same
    time, adds nothing.
    """
    words = _within_limits(store, words, playbook, openings)
    of: dict[str, list[int]] = {}
    for place, word in enumerate(words):
        of.setdefault(word.incident, []).append(place)
    stored: dict[int, list[Entry]] = {}
    blind: dict[str, list[list[Draft]]] = {}
    ids: dict[str, str] = {}
    for incident, places in of.items():
        few = [words[place] for place in places]
        if incident in openings:
            change = _Change(few, openings[incident].grounds)
            first, *told = store.open_with(openings[incident].draft, change.decide)
            stored |= zip(places, change.of_each(told), strict=True)
            ids[incident] = first.incident
        elif any(map(_needs_a_look, few)):
            change = _Change(few)
            told = store.change(incident, change.decide)
            stored |= zip(places, change.of_each(told), strict=True)
        else:
            blind[incident] = [_started(word) for word in few]
    if blind:
        each = store.append_each({of_: [*chain(*parts)] for of_, parts in blind.items()})
        for incident, parts in blind.items():
            stored |= zip(of[incident], _split(each[incident], parts), strict=True)
    return Written([stored[place] for place in range(len(words))], ids)


@dataclass(slots=True)
class _Change:
    """What alerts tell one incident, and what that does to it as it stands when it is written."""

    words: Sequence[Word]
    before: Sequence[Draft] = ()
    _parts: list[list[Draft]] = field(default_factory=list)

    def decide(self, incident: Incident) -> Sequence[Draft]:
        """What is written of it; may be asked more than once."""
        self._parts = []
        known = {entry.key for entry in incident.entries}
        for word in self.words:
            if word.draft.key in known:  # somebody else was first, and wrote what it starts
                self._parts.append([word.draft])
                continue
            drafts = _firing(word, incident) if word.is_firing else _over(word, incident)
            incident = foreseen(incident, drafts, word.desk.clock.now())
            known.add(word.draft.key)
            self._parts.append(drafts)
        return [*self.before, *chain(*self._parts)]

    def of_each(self, entries: Sequence[Entry]) -> list[list[Entry]]:
        """Which of the entries that came of it belong to which word."""
        return _split(entries[len(self.before) :], self._parts)


def _split(entries: Sequence[Entry], parts: Sequence[Sequence[Draft]]) -> list[list[Entry]]:
    left = iter(entries)
    return [list(islice(left, len(part))) for part in parts]


def _needs_a_look(word: Word) -> bool:
    """Whether what an alert does depends on how its incident stands when that is written."""
    if word.draft.type == "alert.resolved":
        return True
    case = word.case
    is_moving = bool(case.duties or case.notice.measures) or _is_raising(word.desk, case)
    return word.is_firing and (is_moving or any(map(_at_once, case.plans)))


def _started(word: Word) -> list[Draft]:
    """The alert, and what it starts whatever the incident is like."""
    desk, case = word.desk, word.case
    return [word.draft, *([*_raised(desk, case), *_drafts(desk, case)] if word.is_firing else ())]


def _firing(word: Word, incident: Incident) -> list[Draft]:
    """The alert, and what it starts in the incident as it is."""
    desk, case = word.desk, word.case
    measures = case.notice.measures
    is_told = case.action == "open" and measures.items() <= incident.measures.items()
    drafts = []
    if measures and not is_told:
        drafts = incidents.measured(desk, incident, measures, key=f"{case.episode}/measures")
        incident = foreseen(incident, drafts, desk.clock.now())
    case = replace(case, plans=within_at_once(case.plans, going_in(incident)))
    roles = alert_roles.given(desk, case, incident)
    set_at = set_by_person(incident)
    stands = replace(case, incident=incident.id, standing=incident.severity, set_at=set_at)
    return [*drafts, word.draft, *_raised(desk, stands), *roles, *_drafts(desk, case)]


def _over(word: Word, incident: Incident) -> list[Draft]:
    """The end of an alert; when it was the last, the end of the incident is proposed."""
    over = word.case.notice.fingerprint
    firing = [one for one in incident.alerts if one.status == "firing" and one.fingerprint != over]
    if firing or incident.is_over:
        return [word.draft]
    data = {"reason": "every alert of the incident is over"}
    key = f"{word.case.episode}/resolution"
    return [word.draft, word.desk.draft("resolution.proposed", data, key=key)]


def _within_limits(
    store: Store, words: Sequence[Word], playbook: Playbook, openings: Collection[str]
) -> list[Word]:
    """The words, with what their rules may still start, by what the log says now.

    What cannot run is found out here, so that it takes no number of the hour, and a storm's
    alerts need not have the incident looked into for what the first of them got already.
    """
    kept = []
    going: dict[str, Counter[str]] = {}
    held: dict[str, set[str]] = {}
    for word in words:
        case, of = word.case, word.incident
        plans = case.plans if word.is_firing else ()
        if any(map(_at_once, plans)):
            if of not in going:
                going[of] = Counter() if of in openings else playbook.going.of(store, of)
            plans = within_at_once(plans, going[of])
        plans = tuple(_within_the_hour(word.desk, plan, case, playbook) for plan in plans)
        if of in going:
            going[of].update(plan.rule.name for plan in plans if plan.rule and plan.is_run)
        if word.is_firing and case.duties:
            if of not in held:
                held[of] = set() if of in openings else set(playbook.going.held(store, of))
            case = alert_roles.to_give(case, held[of])
            held[of].update(duty.role.casefold() for duty in case.duties)
        kept.append(replace(word, case=replace(case, plans=plans)))
    return kept


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


def _within_the_hour(desk: Desk, plan: Plan, case: Case, playbook: Playbook) -> Plan:
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
    last = playbook.counted.get(keys[-1]) or desk.store.find(keys[-1])
    if last is not None:
        playbook.counted[keys[-1]] = last
        if not _is_ours(last, claim):
            return replace(plan, is_run=False, reason=hour_reason(plan))
    known = desk.store.found(keys)
    for number, key in enumerate(keys, start=1):
        draft = desk.draft("rule.counted", {**claim, "number": number, "of": len(keys)}, key=key)
        taken = known.get(key) or desk.store.append(WORKSPACE, draft)[0]
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
    severity = given_severity(case, desk.settings.severities)
    return bool(severity) and _rank(desk, severity) < _rank(desk, case.standing)


def _raised(desk: Desk, case: Case) -> list[Draft]:
    """The severity that a rule or the alert's label gives, where it is worse than the standing one:
    people lower it. What a person set, a label leaves: the worse one is proposed.
    """
    ranks = desk.settings.severities
    severity = ruled_severity(case, ranks) or labelled_severity(case, ranks)
    if not severity or _rank(desk, severity) >= _rank(desk, case.standing):
        return []
    rule = next((one.name for one in case.rules if one.settings.severity), "")
    if case.set_at and not rule:
        return [_severity_proposed(desk, case, severity)]
    why = f"the rule '{rule}' says so" if rule else _as_it_came(case)
    key = f"{case.episode}/rule/{rule}/severity" if rule else f"{case.episode}/severity"
    data = {"from": case.standing, "to": severity, "reason": why}
    return [desk.draft("severity.changed", data, key=key)]


def _severity_proposed(desk: Desk, case: Case, severity: str) -> Draft:
    """Told once of all alerts that come with it, until a person sets another."""
    grounds = [_as_it_came(case), f"a person set {case.standing}"]
    data = {"severity": severity, "grounds": grounds, "alert": case.notice.name}
    key = f"{case.incident}/severity/{case.set_at}/{severity}"
    return desk.draft("severity.proposed", data, key=key)


def _as_it_came(case: Case) -> str:
    name = one_line(case.notice.name, most=100)
    return f"the alert '{name}' came as {severity_label(case.notice)}"


def _drafts(desk: Desk, case: Case) -> list[Draft]:
    return [
        _requested(desk, case, plan) if plan.is_run else _proposed(desk, case, plan)
        for plan in case.plans
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
