"""What alerts mean for incidents: the stages, in the one order they run in.

Each stage takes what is known of one alert and returns more of it. Nothing is written here:
``kit.alerts`` carries out what the last stage leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from imtkit.alerts.payloads import Notice
from imtkit.config import Settings
from imtkit.contracts import Query, Store
from imtkit.model.lifecycle import STATUSES
from imtkit.model.severity import Severities

Action = Literal["", "known", "join", "open", "resolve", "unknown"]


@dataclass(frozen=True, slots=True)
class Case:
    """One alert on its way: what is to be done with it, and in which incident.

    ``known``: told before. ``join``: an incident of the same service or group is open.
    ``open``: a new one, under the key ``opening``. ``resolve``: over. ``unknown``: over, but
    never heard of.
    """

    notice: Notice
    action: Action = ""
    incident: str = ""
    severity: str = ""
    opening: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stages may look at."""

    store: Store
    settings: Settings


_GOING_ON = tuple(status for status in STATUSES if status in ("open", "acknowledged", "mitigated"))

Stage = Callable[[Case, Surroundings], Case]


def recognise(case: Case, around: Surroundings) -> Case:
    """An episode that is in the log already goes to its incident; a repeat is 'known'."""
    notice = case.notice
    fired = around.store.find(f"{notice.episode}/firing")
    if notice.status == "firing":
        return replace(case, action="known", incident=fired.incident) if fired else case
    if fired is None:
        return replace(case, action="unknown")
    over = around.store.find(f"{notice.episode}/resolved")
    return replace(case, action="known" if over else "resolve", incident=fired.incident)


def group(case: Case, around: Surroundings) -> Case:
    """A new alert joins the newest live incident of its service that is not over.

    An alert that names no service joins the one that its sender's group opened: a storm of
    such alerts is one incident.
    """
    if case.action:
        return case
    notice = case.notice
    if notice.service:
        query = Query(statuses=_GOING_ON, modes=("live",), service=notice.service, limit=1)
        for summary in around.store.incidents(query):
            return replace(case, action="join", incident=summary.id)
    elif notice.group:
        return _with_its_group(case, around)
    return replace(case, action="open", opening=f"{notice.episode}/opened")


def _with_its_group(case: Case, around: Surroundings) -> Case:
    """Join the group's latest incident, else open its next; they are numbered by their keys.

    The key makes two who open at the same time open one.
    """
    digest = hashlib.sha256(case.notice.group.encode()).hexdigest()
    latest, number = "", 0
    while opened := around.store.find(key := f"group/{case.notice.source}/{digest}/{number}"):
        latest, number = opened.incident, number + 1
    if latest and _is_going_on(latest, around.store):
        return replace(case, action="join", incident=latest)
    return replace(case, action="open", opening=key)


def _is_going_on(incident: str, store: Store) -> bool:
    """Whether it is not over; asks the list first, as a storm's incident is long to read."""
    newest = store.incidents(Query(statuses=_GOING_ON, modes=("live",), limit=100))
    return any(one.id == incident for one in newest) or store.incident(incident).status in _GOING_ON


def propose_severity(case: Case, around: Surroundings) -> Case:
    """The severity its label names: one of ours, or the words that alert rules use."""
    return replace(case, severity=severity_from_label(case.notice, around.settings.severities))


STAGES: Sequence[Stage] = (recognise, group, propose_severity)

_WORDS = {"page": 1, "critical": 1, "error": 2, "warning": 2, "info": 3, "none": 3}
"""Severity labels in common use -> place in the levels; the very worst is never assumed."""


def severity_from_label(notice: Notice, severities: Severities) -> str:
    """Our level for an alert's ``severity`` label; empty when it says nothing we know."""
    word = notice.labels.get("severity", "").strip().lower()
    names = [level.name for level in severities.levels]
    if word in names:
        return word
    place = _WORDS.get(word)
    return "" if place is None else names[min(place, len(names) - 1)]


def considered(notice: Notice, around: Surroundings) -> Case:
    """An alert after every stage."""
    case = Case(notice)
    for stage in STAGES:
        case = stage(case, around)
    return case
