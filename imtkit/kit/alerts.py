"""Take in alerts: they open incidents, join them, and start what rules say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any

from imtkit.alerts.batch import Batch, Home
from imtkit.alerts.payloads import Delivery, Notice, delivery_from
from imtkit.alerts.pipeline import (
    Case,
    Playbook,
    Surroundings,
    considered,
    given_severity,
    grouped_under,
)
from imtkit.alerts.rules import rulebook_from_settings
from imtkit.alerts.values import given_values
from imtkit.config import FILE, Settings
from imtkit.config.alerts import KINDS, SourceSettings
from imtkit.contracts import Store
from imtkit.errors import ConfigError, NotFoundError
from imtkit.kit import alert_roles, alert_runs, incidents, runbooks
from imtkit.kit.alert_runs import Word
from imtkit.kit.desk import Desk
from imtkit.model.entries import AUTOMATION, WORKSPACE, Draft, utc_text
from imtkit.model.incident import Alert
from imtkit.model.opening import Opening
from imtkit.model.words import counted
from imtkit.runs.runbook import Runbook

ALERTMANAGER = SourceSettings("alertmanager", "alertmanager", proof="none")

_MOST_TOGETHER = 100
"""How many alerts one write takes: what is posted meanwhile waits for it."""

_ENDS: Mapping[str, tuple[str, ...]] = {"firing": ("firing",), "resolved": ("firing", "resolved")}
"""Of an alert that says this, the entries of its episode that tell whether it is known."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery that is to be taken in: whose it is, what it says, and when it was posted."""

    source: SourceSettings
    delivery: Delivery
    at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one alert. ``action``: opened, joined, known, silenced, resolved or unknown.

    ``runbooks`` are those that answer it, best first, and ``rules`` the rules that speak of it.
    ``requested`` are the ids of the runs that it started; ``silenced`` says by which silence it
    was held back.
    """

    alert: str
    fingerprint: str
    action: str
    incident: str
    runbooks: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    requested: tuple[str, ...] = ()
    silenced: str = ""


def source_named(settings: Settings, name: str) -> SourceSettings:
    """The sender of this name; without a table in imt.toml, one of the kind of that name.

    NotFoundError names the nearest.
    """
    known = settings.alerts.sources
    if name in known:
        return known[name]
    if name in KINDS:
        return SourceSettings(name, name, proof="none")
    raise NotFoundError.of("Alert source", name, (*known, *KINDS))


def playbook(settings: Settings, *, known: Playbook | None = None) -> Playbook:
    """The workspace's rules, silences and runbooks, read now, for as many deliveries as follow.

    What is ``known`` from before is kept as far as it still holds. ConfigError names the rule or
    the silence that cannot be meant.
    """
    known = known or Playbook()
    books = tuple(runbooks.list_(settings, known=known.runbooks))
    return Playbook(rulebook_from_settings(settings), books, known.going)


def checked_playbook(settings: Settings) -> Playbook:
    """The same, and ConfigError when a rule names a runbook that is not there."""
    found = playbook(settings)
    known = [book.name for book in found.runbooks]
    for rule in found.rulebook.rules:
        for name in rule.settings.runbooks:
            if name not in known:
                raise ConfigError(
                    f"{settings.root / FILE}: [[alerts.rules]] '{rule.name}' names the runbook "
                    f"'{name}', which is not there.",
                    hint=NotFoundError.of("Runbook", name, known).hint,
                )
    return found


def receive(
    desk: Desk,
    body: bytes,
    *,
    source: SourceSettings = ALERTMANAGER,
    at: datetime | None = None,
    book: Playbook | None = None,
) -> list[Outcome]:
    """Take in one delivery; every alert in it is in the log when this returns.

    The same delivery again changes nothing. ``at`` is when it was posted, if not now; ``book``
    spares reading rules and runbooks anew. PayloadError when it cannot be read, ConfigError when
    a rule cannot; then nothing is stored.
    """
    arrival = Arrival(source, delivery_from(source, body, at=at), at or desk.clock.now())
    return receive_all(desk, [arrival], book or playbook(desk.settings))[0]


def receive_all(desk: Desk, arrivals: Sequence[Arrival], book: Playbook) -> list[list[Outcome]]:
    """Take in several deliveries, in their order; what became of the alerts of each.

    Each alert comes to what it would come to alone. They are only asked after together, and
    written together: whoever dies in between has written a part, and does all of it again.
    """
    batch = Batch()
    notices = [notice for one in arrivals for notice in one.delivery.notices]
    batch.look_up(
        desk.store, [f"{one.episode}/{end}" for one in notices for end in _ENDS[one.status]]
    )
    writing = _Writing(desk.store, book, batch)
    for arrival in arrivals:
        machine = desk.acting_as(f"{AUTOMATION}{arrival.source.name}", "alert")
        around = Surroundings(desk.store, desk.settings, book, arrival.at, batch)
        for notice in arrival.delivery.notices:
            if not notice.has_episode:  # which one it means is asked of the log
                writing.write()
            writing.take_in(machine, notice, around)
        if arrival.delivery.left_out:
            writing.write()
            _tell_left_out(machine, arrival, writing.outcomes)
    writing.write()
    outcomes = iter(writing.outcomes)
    return [list(islice(outcomes, len(one.delivery.notices))) for one in arrivals]


def _tell_left_out(desk: Desk, arrival: Arrival, outcomes: Sequence[Outcome]) -> None:
    """Note in the incidents of a delivery's alerts, the last ones, that there were more."""
    name, delivery = arrival.source.name, arrival.delivery
    own = outcomes[len(outcomes) - len(delivery.notices) :]
    for incident_id in dict.fromkeys(one.incident for one in own if one.incident):
        told = f"{name} left {counted(delivery.left_out, 'more alert')} out of this delivery."
        latest = max(notice.episode for notice in delivery.notices)
        key = f"{incident_id}/left-out/{latest}/{delivery.left_out}"
        incidents.note(desk, incident_id, told, key=key)


@dataclass(slots=True)
class _Writing:
    """Alerts that are considered one by one and written together; what became of each so far."""

    store: Store
    playbook: Playbook
    batch: Batch
    outcomes: list[Outcome] = field(default_factory=list)
    _words: list[Word] = field(default_factory=list)
    _places: list[int] = field(default_factory=list)
    _openings: dict[str, alert_runs.NewIncident] = field(default_factory=dict)
    _written: int = 0

    def take_in(self, desk: Desk, notice: Notice, around: Surroundings) -> None:
        """Consider one alert; what it tells is written with the others'."""
        case = considered(notice, around)
        match case.action:
            case "silence":
                self._put(Word(desk, case, WORKSPACE, _held_back(desk, case, around.now)))
            case "resolve":
                self._put(Word(desk, case, case.incident, _resolved(desk, case)))
            case "open" | "join":
                case = self._opened(desk, case) if case.action == "open" else case
                self._put(Word(desk, case, case.incident, _received(desk, case)))
                self._remember(desk, case)
        self.outcomes.append(outcome_of(case))
        if len(self._words) >= _MOST_TOGETHER:
            self.write()

    def write(self) -> None:
        """Write what waits, and start what it starts."""
        if not self._words:
            return
        words, places, openings = self._words, self._places, self._openings
        self._words, self._places, self._openings = [], [], {}
        written = alert_runs.write_all(self.store, words, self.playbook, openings)
        self._call_by_id(written.opened)
        for word, place, entries in zip(words, places, written.entries, strict=True):
            told = self.outcomes[place]
            runs = tuple(str(e.data["run"]) for e in entries if e.type == "run.requested")
            # Somebody else may have been first, in another incident.
            home = next(e.incident for e in entries if e.key == word.draft.key)
            incident = home if word.is_firing else told.incident
            self.outcomes[place] = replace(told, incident=incident, requested=runs)

    def _opened(self, desk: Desk, case: Case) -> Case:
        """The case, in an incident that is opened as it is written."""
        name = f"opened-with-{len(self.outcomes)}"
        opening = self._openings[name] = _opening(desk, case)
        return replace(case, incident=name, standing=str(opening.draft.data["severity"]))

    def _call_by_id(self, opened: Mapping[str, str]) -> None:
        """Incidents that are there now are no longer called by what they were opened with."""
        self.batch.call(opened)
        for place in range(self._written, len(self.outcomes)):
            told = self.outcomes[place]
            self.outcomes[place] = replace(told, incident=opened.get(told.incident, told.incident))
        self._written = len(self.outcomes)

    def _put(self, word: Word) -> None:
        self._words.append(word)
        self._places.append(len(self.outcomes))
        if word.draft.key and word.incident != WORKSPACE:
            self.batch.will_have(word.draft.key, word.incident)

    def _remember(self, desk: Desk, case: Case) -> None:
        """Have its like join its incident, whose severity it may have made worse."""
        ranks = desk.settings.severities
        proposal = ranks.propose(case.notice.measures)
        said = (given_severity(case, ranks), proposal.severity if proposal else "", case.standing)
        standing = min(filter(None, said), key=ranks.rank, default="")
        if under := grouped_under(case.notice):
            self.batch.homes[under] = Home(case.incident, standing)


def outcome_of(case: Case) -> Outcome:
    """What becomes of an alert that starts nothing now."""
    words = {"silence": "silenced", "resolve": "resolved", "open": "opened", "join": "joined"}
    is_over = case.notice.status == "resolved"
    return Outcome(
        case.notice.name,
        case.notice.fingerprint,
        words.get(case.action, case.action),
        case.incident,
        () if is_over else tuple(plan.runbook for plan in case.plans),
        () if is_over else tuple(rule.name for rule in case.rules),
        silenced=case.silence.name if case.silence else "",
    )


def parameters_for(runbook: Runbook, alert: Alert) -> dict[str, Any]:
    """The values an alert has for a runbook: annotations and labels of a parameter's name.

    They go only into parameters that the runbook declares and names as ``alert_parameters`` in
    its metadata, as data of the declared type; what does not fit is left to the default.
    """
    return given_values(runbook, {}, alert.labels, alert.annotations)[0]


def _opening(desk: Desk, case: Case) -> alert_runs.NewIncident:
    notice = case.notice
    opening = Opening(
        title=notice.title,
        severity=case.severity,
        services=(notice.service,) if notice.service else (),
        measures=notice.measures,
        summary=notice.annotations.get("description", ""),
        owner=alert_roles.owner_among(case.duties),
    )
    return alert_runs.NewIncident(
        incidents.opened(desk, opening, key=case.opening),
        incidents.grounds_of(desk, opening, key=f"{case.opening}/proposal"),
    )


def _told(notice: Notice) -> dict[str, Any]:
    return {
        "fingerprint": notice.fingerprint,
        "name": notice.name,
        "source": notice.source,
        "started_at": utc_text(notice.started_at),
        "labels": dict(notice.labels),
        "annotations": dict(notice.annotations),
        "url": notice.url,
    }


def _received(desk: Desk, case: Case) -> Draft:
    return desk.draft("alert.received", _told(case.notice), key=f"{case.episode}/firing")


def _held_back(desk: Desk, case: Case, now: datetime) -> Draft:
    """What is written of a silenced alert, once for each silence and each window of one that comes
    again; under no key that makes it known.
    """
    end = case.silence.until(now) if case.silence else None
    until = utc_text(end) if end else ""
    name = case.silence.name if case.silence else ""
    data = {**_told(case.notice), "silence": name, "until": until}
    return desk.draft("alert.silenced", data, key=f"{case.episode}/silenced/{until}")


def _resolved(desk: Desk, case: Case) -> Draft:
    notice = case.notice
    data: dict[str, Any] = {"fingerprint": notice.fingerprint, "name": notice.name}
    if notice.ended_at is not None:
        data["ended_at"] = utc_text(notice.ended_at)
    return desk.draft("alert.resolved", data, key=f"{case.episode}/resolved")
