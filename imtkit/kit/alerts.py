"""Take in alerts: they open incidents, join them, and propose what to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from imtkit.alerts.payloads import Notice, delivery_from
from imtkit.alerts.pipeline import Case, Surroundings, considered
from imtkit.config import Settings, is_reference
from imtkit.config.alerts import KINDS, SourceSettings
from imtkit.errors import NotFoundError, ParameterError
from imtkit.kit import incidents, runbooks
from imtkit.kit.desk import Desk
from imtkit.model.entries import AUTOMATION, Draft, utc_text
from imtkit.model.incident import Alert, Incident
from imtkit.model.opening import Opening
from imtkit.runs.parameters import checked_values
from imtkit.runs.runbook import Runbook

ALERTMANAGER = SourceSettings("alertmanager", "alertmanager", proof="none")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one alert. ``action``: opened, joined, known, resolved or unknown.

    ``runbooks`` are those that say they answer it, best first.
    """

    alert: str
    fingerprint: str
    action: str
    incident: str
    runbooks: tuple[str, ...] = ()


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


def receive(desk: Desk, body: bytes, *, source: SourceSettings = ALERTMANAGER) -> list[Outcome]:
    """Take in one delivery; every alert in it is in the log when this returns.

    The same delivery again changes nothing. PayloadError when it cannot be read; then nothing
    is stored.
    """
    delivery = delivery_from(source, body)
    machine = desk.acting_as(f"{AUTOMATION}{source.name}", "alert")
    known = runbooks.list_(desk.settings)
    outcomes = [_take_in(machine, notice, known) for notice in delivery.notices]
    if delivery.left_out:
        for incident_id in dict.fromkeys(one.incident for one in outcomes if one.incident):
            told = f"{source.name} left {delivery.left_out} more alerts out of this delivery."
            latest = max(notice.episode for notice in delivery.notices)
            key = f"{incident_id}/left-out/{latest}/{delivery.left_out}"
            incidents.note(machine, incident_id, told, key=key)
    return outcomes


def parameters_for(runbook: Runbook, alert: Alert) -> dict[str, Any]:
    """The values an alert has for a runbook: annotations and labels of a parameter's name.

    They go only into parameters that the runbook declares and names as ``alert_parameters`` in
    its metadata, as data of the declared type; what does not fit is left to the default.
    """
    values: dict[str, Any] = {}
    for parameter in runbook.parameters:
        said = alert.annotations.get(parameter.name, alert.labels.get(parameter.name))
        if said is None or parameter.name not in runbook.alert_parameters:
            continue
        if is_reference(said):
            continue  # an alert names no secret: its sender could have it sent anywhere
        try:
            given = {parameter.name: said}
            values |= checked_values([parameter], given, runbook=runbook.name)
        except ParameterError:
            continue  # alert text is hostile: what is not of the type is not used
    return values


def _take_in(desk: Desk, notice: Notice, known: Sequence[Runbook]) -> Outcome:
    case = considered(notice, Surroundings(desk.store, desk.settings))
    answers = _answers(known, notice)
    names = tuple(runbook.name for runbook in answers)
    match case.action:
        case "open":
            incident_id = _open(desk, case)
            action = "opened"
        case "join":
            incident_id, action = case.incident, "joined"
        case "resolve":
            _resolve(desk, case)
            return Outcome(notice.name, notice.fingerprint, "resolved", case.incident)
        case _:
            return Outcome(notice.name, notice.fingerprint, case.action, case.incident, names)
    stored = desk.store.append(incident_id, _received(desk, notice))[0]
    if action == "joined":
        incidents.measure(desk, incident_id, notice.measures)
    proposals = [
        desk.draft("runbook.proposed", {"runbook": name, "alert": notice.name}, key=key)
        for name in names
        for key in (f"{stored.incident}/runbook/{name}/{notice.episode}",)
    ]
    desk.store.append(stored.incident, *proposals)
    return Outcome(notice.name, notice.fingerprint, action, stored.incident, names)


def _open(desk: Desk, case: Case) -> str:
    notice = case.notice
    opening = Opening(
        title=notice.title,
        severity="" if notice.measures else case.severity,
        services=(notice.service,) if notice.service else (),
        measures=notice.measures,
        summary=notice.annotations.get("description", ""),
    )
    return incidents.open_(desk, opening, key=case.opening).id


def _received(desk: Desk, notice: Notice) -> Draft:
    data = {
        "fingerprint": notice.fingerprint,
        "name": notice.name,
        "source": notice.source,
        "started_at": utc_text(notice.started_at),
        "labels": dict(notice.labels),
        "annotations": dict(notice.annotations),
        "url": notice.url,
    }
    return desk.draft("alert.received", data, key=f"{notice.episode}/firing")


def _resolve(desk: Desk, case: Case) -> None:
    notice = case.notice
    data: dict[str, Any] = {"fingerprint": notice.fingerprint, "name": notice.name}
    if notice.ended_at is not None:
        data["ended_at"] = utc_text(notice.ended_at)
    over = desk.draft("alert.resolved", data, key=f"{notice.episode}/resolved")
    proposal = desk.draft(
        "resolution.proposed",
        {"reason": "every alert of the incident is over"},
        key=f"{notice.episode}/resolution",
    )

    def decide(incident: Incident) -> Sequence[Draft]:
        firing = [
            alert
            for alert in incident.alerts
            if alert.status == "firing" and alert.fingerprint != notice.fingerprint
        ]
        return [over] if firing or incident.is_over else [over, proposal]

    desk.store.change(case.incident, decide)


def _answers(known: Sequence[Runbook], notice: Notice) -> list[Runbook]:
    """Runbooks for an alert: one its ``runbook_url`` names first, then by metadata."""
    every: Mapping[str, Runbook] = {one.name: one for one in known}
    try:
        path = urlsplit(notice.annotations.get("runbook_url", "")).path
    except ValueError:
        path = ""  # not an address: it names nothing
    named = every.get(PurePosixPath(path).stem)
    found = [one for one in every.values() if one.answers(notice.name) and one is not named]
    return [named, *found] if named else found
