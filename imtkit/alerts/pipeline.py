"""What alerts mean for incidents: the stages, in the one order they run in.

Each stage takes what is known of one alert and returns more of it. Nothing is written here:
``kit.alerts`` carries out what the last stage leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

from imtkit.alerts.batch import Batch
from imtkit.alerts.going import Going
from imtkit.alerts.payloads import Notice
from imtkit.alerts.rules import Rule, Rulebook, Silence, does_match
from imtkit.alerts.values import given_values
from imtkit.config import Settings
from imtkit.contracts import Query, Store
from imtkit.model.entries import Entry
from imtkit.model.entry_data import text_of, time_of
from imtkit.model.incident import Incident, Summary
from imtkit.model.lifecycle import GOING_ON
from imtkit.model.severity import Severities
from imtkit.runs.runbook import Runbook
from imtkit.store.numbered import newest_numbered

Action = Literal["", "known", "silence", "join", "open", "resolve", "unknown"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A runbook for an alert: run when ``is_run``, else proposed, for a ``reason`` if there is one.

    ``book`` is missing where a rule names a runbook that is not there. ``left_out`` tells why
    values of the alert or the rule were not used.
    """

    runbook: str
    book: Runbook | None = None
    rule: Rule | None = None
    is_run: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Duty:
    """A role that an alert gives to a person in its incident, where nobody has it, and why."""

    role: str
    person: str
    reason: str


@dataclass(frozen=True, slots=True)
class Case:
    """One alert on its way: what is to be done with it, and in which incident.

    ``known``: told before. ``silence``: held back. ``join``: an incident of the same service or
    group goes on; ``standing`` is its severity, and where the alert's label says worse, ``set_at``
    is the place of the entry by which a person set it, or 0. ``open``: a new one, under the key
    ``opening``. ``resolve``: over. ``unknown``: over, but never heard of. ``severity`` is what an
    incident is opened with, empty where its measures or the default say it; ``duties`` are who
    gets which role, each role once.
    """

    notice: Notice
    action: Action = ""
    incident: str = ""
    episode: str = ""
    silence: Silence | None = None
    standing: str = ""
    set_at: int = 0
    opening: str = ""
    rules: tuple[Rule, ...] = ()
    severity: str = ""
    duties: tuple[Duty, ...] = ()
    plans: tuple[Plan, ...] = ()


@dataclass(frozen=True, slots=True)
class Playbook:
    """What a workspace has to answer alerts with, and what it knows of the runs that go on.

    ``counted`` are the last runs of their hour that rules began, by the keys of the entries.
    """

    rulebook: Rulebook = field(default_factory=Rulebook)
    runbooks: tuple[Runbook, ...] = ()
    going: Going = field(default_factory=Going)
    counted: dict[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stages may look at. ``now`` is when the alert came; ``batch`` is what is known of it
    and of those before it that are not written yet.
    """

    store: Store
    settings: Settings
    playbook: Playbook
    now: datetime
    batch: Batch = field(default_factory=Batch)

    def incident_with(self, key: str) -> str:
        """The incident that has an entry of this key, or will have; else empty."""
        return self.batch.incident_with(self.store, key)


Stage = Callable[[Case, Surroundings], Case]


def labels_of(notice: Notice) -> Mapping[str, str]:
    """What matchers look at: the alert's labels, its name, and the source that imt.toml names.

    A label that is called ``source`` is the sender's word and does not count.
    """
    told = {"alertname": notice.labels.get("alertname", ""), "source": notice.source}
    return {**notice.labels, **told}


def recognise(case: Case, around: Surroundings) -> Case:
    """An episode that is in the log already goes to its incident; a repeat is 'known'."""
    notice, episode = case.notice, case.notice.episode
    incident = around.incident_with(f"{episode}/firing")
    if not incident and not notice.has_episode:
        episode, incident = _ongoing(notice, around) or (episode, "")
    case = replace(case, episode=episode, incident=incident)
    if notice.status == "firing":
        return replace(case, action="known") if incident else case
    if not incident:
        return replace(case, action="unknown")
    is_over = around.incident_with(f"{episode}/resolved")
    return replace(case, action="known" if is_over else "resolve")


def _ongoing(notice: Notice, around: Surroundings) -> tuple[str, str] | None:
    """The episode of this fingerprint that goes on, and its incident; for a sender that tells
    neither, and may send what it said earlier again.
    """
    going = Query(statuses=GOING_ON, modes=("live",), alert=notice.fingerprint)
    for service in dict.fromkeys((notice.service, "")):
        for summary in around.store.incidents(replace(going, service=service)):
            if episode := _episode_in(around.store.incident(summary.id), notice):
                return episode, summary.id
    return None


def _episode_in(incident: Incident, notice: Notice) -> str:
    """The last episode of an alert in an incident that went on when this was said; else empty.

    Said later again, as by who goes on where another died, it means the same one: what ended
    only after it went on then.
    """
    at, found = notice.ended_at or notice.started_at, ""
    ends = {entry.key: entry for entry in incident.entries if entry.type == "alert.resolved"}
    for entry in incident.entries:
        who = (text_of(entry, "source"), text_of(entry, "fingerprint"))
        is_its = entry.type == "alert.received" and who == (notice.source, notice.fingerprint)
        if not is_its or entry.n in incident.superseded:
            continue
        episode = (entry.key or "").removesuffix("/firing")
        end = ends.get(f"{episode}/resolved")
        ended_at = (time_of(end, "ended_at") or end.occurred_at) if end else None
        is_over = ended_at and (ended_at < at or (ended_at == at and notice.status == "firing"))
        if (time_of(entry, "started_at") or entry.occurred_at) <= at and not is_over:
            found = episode
    return found


def hold_back(case: Case, around: Surroundings) -> Case:
    """A new alert of which a silence speaks starts nothing; when it fires later, it counts."""
    if case.action:
        return case
    labels = labels_of(case.notice)
    for silence in around.playbook.rulebook.silences:
        if silence.is_on(around.now) and does_match(silence.matchers, labels):
            return replace(case, action="silence", silence=silence)
    return case


def group(case: Case, around: Surroundings) -> Case:
    """A new alert joins the newest live incident of its service that goes on.

    An alert that names no service joins the one that its sender's group opened: a storm of
    such alerts is one incident. An incident in which nothing was written for ``group_minutes``
    is joined no more.
    """
    if case.action:
        return case
    if home := around.batch.homes.get(grouped_under(case.notice)):
        return replace(case, action="join", incident=home.incident, standing=home.standing)
    if case.notice.service:
        return _with_its_service(case, around)
    if case.notice.group:
        return _with_its_group(case, around)
    return replace(case, action="open", opening=f"{case.episode}/opened")


def grouped_under(notice: Notice) -> str:
    """What alerts have in common that are one incident; empty for one that stands alone."""
    if notice.service:
        return f"service/{notice.service}"
    return f"group/{notice.source}/{notice.group}" if notice.group else ""


def _with_its_service(case: Case, around: Surroundings) -> Case:
    """Join the service's incident, else open its next.

    The key names the one before, which is looked up first: two who open at the same time open
    one. An incident that was given to another service since is passed over.
    """
    service = case.notice.service
    newest = Query(modes=("live",), service=service, limit=1)
    before = ""
    for query in (newest, replace(newest, statuses=GOING_ON)):
        for one in around.store.incidents(query):
            if _is_joined(one, around):
                return replace(case, action="join", incident=one.id, standing=one.severity)
            before = before or one.id
        if not before:
            break
    stem = f"service/{_digest(service)}/after"
    while opened := around.store.find(f"{stem}/{before}"):
        before = opened.incident
        found = around.store.incident(before)
        if service in found.services and _is_joined(found, around):
            return replace(case, action="join", incident=before, standing=found.severity)
    return replace(case, action="open", opening=f"{stem}/{before}")


def _with_its_group(case: Case, around: Surroundings) -> Case:
    """Join the group's latest incident, else open its next; they are numbered by their keys.

    The key makes two who open at the same time open one.
    """
    stem = f"group/{case.notice.source}/{_digest(case.notice.group)}"
    count, opened = newest_numbered(around.store, lambda number: f"{stem}/{number - 1}")
    if opened and (severity := _severity_if_going_on(opened.incident, around)):
        return replace(case, action="join", incident=opened.incident, standing=severity)
    return replace(case, action="open", opening=f"{stem}/{count}")


def _severity_if_going_on(incident: str, around: Surroundings) -> str:
    """Its severity if it goes on, else empty; asks the list, as a storm's incident is long."""
    listed = around.store.incidents(Query(ids=(incident,)))
    return next((one.severity for one in listed if _is_joined(one, around)), "")


def _is_joined(found: Summary | Incident, around: Surroundings) -> bool:
    """Whether alerts join it: it goes on, and something was written in it of late."""
    return found.status in GOING_ON and _is_heard_of(found.id, found.opened_at, around)


def _is_heard_of(incident: str, opened_at: datetime | None, around: Surroundings) -> bool:
    """Whether something was written in it of late; a young one need not be read for that."""
    since = around.now - timedelta(minutes=around.settings.alerts.group_minutes)
    if opened_at is not None and opened_at >= since:
        return True
    last = around.store.newest(incident)
    return last is not None and last.recorded_at >= since


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def match_rules(case: Case, around: Surroundings) -> Case:
    """The rules that speak of the alert, first to last."""
    labels = labels_of(case.notice)
    matching = (r for r in around.playbook.rulebook.rules if does_match(r.matchers, labels))
    return replace(case, rules=tuple(matching))


def propose_severity(case: Case, around: Surroundings) -> Case:
    """The first matching rule's severity, and what was measured may make it worse.

    Without one a number that was measured beats the label, which may name one of our levels or
    use the words that alert rules use.
    """
    severities, measures = around.settings.severities, case.notice.measures
    severity = ruled_severity(case, severities)
    measured = severities.propose(measures)
    if severity and measured:
        severity = min(severity, measured.severity, key=severities.rank)
    elif not severity:
        severity = labelled_severity(case, severities)
    return replace(case, severity=severity)


def heed_people(case: Case, around: Surroundings) -> Case:
    """Where its label says worse than the incident it joins: whether a person set that severity."""
    ranks = around.settings.severities
    said = labelled_severity(case, ranks)
    if case.action != "join" or not said or ranks.rank(said) >= ranks.rank(case.standing):
        return case
    going = around.playbook.going
    return replace(case, set_at=going.set_by_person(around.store, case.incident, case.standing))


def ruled_severity(case: Case, severities: Severities) -> str:
    """The severity that the first matching rule which names one gives; else empty."""
    named = (rule.settings.severity for rule in case.rules if rule.settings.severity)
    return next((severities.get(name).name for name in named), "")


def labelled_severity(case: Case, severities: Severities) -> str:
    """The severity of the alert's label, where neither a rule nor a number speaks; else empty."""
    if case.notice.measures or ruled_severity(case, severities):
        return ""
    return severity_from_label(case.notice, severities)


def given_severity(case: Case, severities: Severities) -> str:
    """What the alert makes of a better severity: a rule's, else its label's; else empty.

    A label does not make worse what a person set.
    """
    ruled = ruled_severity(case, severities)
    return ruled or ("" if case.set_at else labelled_severity(case, severities))


def assign(case: Case, around: Surroundings) -> Case:
    """Each role is given by the first matching rule that names it, else by the alert's service."""
    by_rules = ((rule.settings.assign, f"the rule '{rule.name}' says so") for rule in case.rules)
    service = around.settings.services.get(case.notice.service)
    on_call = service.on_call if service else {}
    by_service = (on_call, f"on call for {case.notice.service}")
    duties: dict[str, Duty] = {}
    for people, reason in (*by_rules, by_service):
        for role, person in people.items():
            duties.setdefault(role.casefold(), Duty(role, person, reason))
    return replace(case, duties=tuple(duties.values()))


def choose_runbooks(case: Case, around: Surroundings) -> Case:
    """What the rules name, first to last, each runbook once; then what says it answers the alert.

    A rule that names none means those that say they answer it.
    """
    known = {book.name: book for book in around.playbook.runbooks}
    answers = _answers(around.playbook.runbooks, case.notice)
    plans: dict[str, Plan] = {}
    for rule in case.rules:
        for name in rule.settings.runbooks or [book.name for book in answers]:
            plans.setdefault(name, Plan(name, known.get(name), rule))
    for book in answers:
        plans.setdefault(book.name, Plan(book.name, book))
    return replace(case, plans=tuple(plans.values()))


def request_runs(case: Case, around: Surroundings) -> Case:
    """Give each runbook its values; those that a rule wants and that lack nothing are run."""
    return replace(case, plans=tuple(_with_values(plan, case.notice) for plan in case.plans))


def _with_values(plan: Plan, notice: Notice) -> Plan:
    book, rule = plan.book, plan.rule
    if book is None:
        return replace(plan, reason="there is no runbook of this name")
    wanted = rule.settings.parameters if rule else {}
    values, left_out = given_values(book, wanted, notice.labels, notice.annotations)
    plan = replace(plan, parameters=values, left_out=left_out)
    if rule is None:
        return plan
    if not rule.settings.run:
        return replace(plan, reason=f"the rule '{rule.name}' only proposes it")
    missing = [one.name for one in book.parameters if one.is_required and one.name not in values]
    if missing:
        return replace(plan, reason=f"nothing says what {', '.join(missing)} is to be")
    return replace(plan, is_run=True)


STAGES: Sequence[Stage] = (
    recognise,
    hold_back,
    group,
    match_rules,
    propose_severity,
    heed_people,
    assign,
    choose_runbooks,
    request_runs,
)
"""All of it, in order. An incident that is opened takes tags and owner from its services."""


def severity_label(notice: Notice) -> str:
    """The word an alert came with as its severity, in lower case."""
    return notice.labels.get("severity", "").strip().lower()


_WORDS = {"page": 1, "critical": 1, "error": 2, "warning": 2, "info": 3, "none": 3}
"""Severity labels in common use -> place in the levels; the very worst is never assumed."""


def severity_from_label(notice: Notice, severities: Severities) -> str:
    """Our level for an alert's ``severity`` label; empty when it says nothing we know."""
    word = severity_label(notice)
    names = [level.name for level in severities.levels]
    if word in names:
        return word
    place = _WORDS.get(word)
    return "" if place is None else names[min(place, len(names) - 1)]


def _answers(known: Sequence[Runbook], notice: Notice) -> list[Runbook]:
    """Runbooks for an alert: one its ``runbook_url`` names first, then by metadata."""
    try:
        path = urlsplit(notice.annotations.get("runbook_url", "")).path
    except ValueError:
        path = ""  # not an address: it names nothing
    named = [book for book in known if book.name == PurePosixPath(path).stem]
    return [*named, *(book for book in known if book.answers(notice.name) and book not in named)]


def considered(notice: Notice, around: Surroundings) -> Case:
    """An alert after every stage."""
    case = Case(notice)
    for stage in STAGES:
        case = stage(case, around)
    return case
