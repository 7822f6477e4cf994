"""Take in alerts: they open incidents, join them, and start what rules say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from imtkit.alerts.going import Going
from imtkit.alerts.payloads import Notice, delivery_from
from imtkit.alerts.pipeline import Case, Playbook, Surroundings, considered
from imtkit.alerts.rules import rulebook_from_settings
from imtkit.alerts.values import given_values
from imtkit.config import FILE, Settings
from imtkit.config.alerts import KINDS, SourceSettings
from imtkit.errors import ConfigError, NotFoundError
from imtkit.kit import alert_roles, alert_runs, incidents, runbooks
from imtkit.kit.desk import Desk
from imtkit.model.entries import AUTOMATION, WORKSPACE, Draft, utc_text
from imtkit.model.incident import Alert, Incident
from imtkit.model.opening import Opening
from imtkit.runs.runbook import Runbook

ALERTMANAGER = SourceSettings("alertmanager", "alertmanager", proof="none")


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


def playbook(settings: Settings) -> Playbook:
    """The workspace's rules, silences and runbooks, read now, for as many deliveries as follow.

    ConfigError names the rule or the silence that cannot be meant.
    """
    return Playbook(rulebook_from_settings(settings), tuple(runbooks.list_(settings)))


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
    delivery = delivery_from(source, body, at=at)
    machine, now = desk.acting_as(f"{AUTOMATION}{source.name}", "alert"), desk.clock.now()
    around = Surroundings(desk.store, desk.settings, book or playbook(desk.settings), at or now)
    outcomes = [take_in(machine, notice, around) for notice in delivery.notices]
    if delivery.left_out:
        for incident_id in dict.fromkeys(one.incident for one in outcomes if one.incident):
            told = f"{source.name} left {delivery.left_out} more alerts out of this delivery."
            latest = max(notice.episode for notice in delivery.notices)
            key = f"{incident_id}/left-out/{latest}/{delivery.left_out}"
            incidents.note(machine, incident_id, told, key=key)
    return outcomes


def take_in(desk: Desk, notice: Notice, around: Surroundings) -> Outcome:
    """Take in one alert, as ``receive`` does each of a delivery's."""
    case = considered(notice, around)
    match case.action:
        case "silence":
            _hold_back(desk, case, around.now)
        case "resolve":
            _resolve(desk, case)
        case "open" | "join":
            return _begin(desk, case, around.playbook.going)
    return outcome_of(case)


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


def _begin(desk: Desk, case: Case, going: Going) -> Outcome:
    measures = case.notice.measures
    measured: dict[str, float] = {}
    if case.action == "open":
        incident = _open(desk, case)
        case = replace(case, incident=incident.id, standing=incident.severity)
        measured = dict(incident.measures)
    if not measures.items() <= measured.items():
        # Before the alert is known: should this fail, all is done again.
        incidents.measure(desk, case.incident, measures, key=f"{case.episode}/measures")
    stored = alert_runs.write_with(desk, case, _received(desk, case), going)
    runs = tuple(str(one.data["run"]) for one in stored if one.type == "run.requested")
    # Somebody else may have been first, in another incident.
    return replace(outcome_of(case), incident=stored[0].incident, requested=runs)


def _open(desk: Desk, case: Case) -> Incident:
    """The incident that the alert opens, or that somebody opened for its like just now."""
    notice = case.notice
    opening = Opening(
        title=notice.title,
        severity=case.severity,
        services=(notice.service,) if notice.service else (),
        measures=notice.measures,
        summary=notice.annotations.get("description", ""),
        owner=alert_roles.owner_among(case.duties),
    )
    return incidents.open_(desk, opening, key=case.opening)


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


def _hold_back(desk: Desk, case: Case, now: datetime) -> None:
    """Write a silenced alert down, once for each silence and each window of one that comes again;
    under no key that makes it known.
    """
    if case.silence is None:
        return
    end = case.silence.until(now)
    until = utc_text(end) if end else ""
    data = {**_told(case.notice), "silence": case.silence.name, "until": until}
    key = f"{case.episode}/silenced/{until}"
    desk.store.append(WORKSPACE, desk.draft("alert.silenced", data, key=key))


def _resolve(desk: Desk, case: Case) -> None:
    notice = case.notice
    data: dict[str, Any] = {"fingerprint": notice.fingerprint, "name": notice.name}
    if notice.ended_at is not None:
        data["ended_at"] = utc_text(notice.ended_at)
    over = desk.draft("alert.resolved", data, key=f"{case.episode}/resolved")
    proposal = desk.draft(
        "resolution.proposed",
        {"reason": "every alert of the incident is over"},
        key=f"{case.episode}/resolution",
    )

    def decide(incident: Incident) -> Sequence[Draft]:
        firing = [
            alert
            for alert in incident.alerts
            if alert.status == "firing" and alert.fingerprint != notice.fingerprint
        ]
        return [over] if firing or incident.is_over else [over, proposal]

    desk.store.change(case.incident, decide)
