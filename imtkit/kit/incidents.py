"""Open an incident, move it on, and write down what happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from imtkit import config
from imtkit.contracts import Query
from imtkit.errors import AuthorityError, InputError, NotFoundError, StateError
from imtkit.kit import expiry, records
from imtkit.kit.desk import Desk, id_of
from imtkit.model import lifecycle
from imtkit.model.entries import Draft, Entry, Visibility, is_automation, utc_text
from imtkit.model.incident import FIELD_NAMES, Incident, Summary, Task
from imtkit.model.names import meant_by
from imtkit.model.opening import Opening, one_of
from imtkit.model.severity import Proposal
from imtkit.model.unfinished import firing, unfinished

Texts = Mapping[str, str]


def open_(
    desk: Desk, opening: Opening, *, key: str | None = None, at: datetime | None = None
) -> Incident:
    """Open an incident. Owner and tags come from its services where they are not given.

    Severity: as told, else as the measures propose, else the default. ``key`` makes a second
    try return the first incident.
    """
    draft = opened(desk, opening, key=key, at=at)
    first = desk.store.open_incident(draft)
    if grounds := grounds_of(desk, opening, key=f"{first.hash}/proposal"):
        desk.store.append(first.incident, *grounds)
    return get(desk, first.incident)


def opened(
    desk: Desk, opening: Opening, *, key: str | None = None, at: datetime | None = None
) -> Draft:
    """What is written of an incident that is opened (see ``open_``)."""
    severities = desk.settings.severities
    proposal = severities.propose(opening.measures)
    told = severities.get(opening.severity).name if opening.severity else ""
    services = [desk.settings.services[s] for s in opening.services if s in desk.settings.services]
    data = {
        "title": opening.title.strip(),
        "severity": told or (proposal.severity if proposal else severities.default),
        "mode": opening.mode,
        "category": opening.category,
        "summary": opening.summary,
        "services": list(opening.services),
        "tags": list(dict.fromkeys((*opening.tags, *(t for s in services for t in s.tags)))),
        "owner": opening.owner or next((s.owner for s in services if s.owner), ""),
        "measures": dict(opening.measures),
    }
    return desk.draft("incident.opened", data, at=at, key=key)


def grounds_of(desk: Desk, opening: Opening, *, key: str) -> list[Draft]:
    """On what grounds a severity is proposed for an incident that is opened, if one is."""
    proposal = desk.settings.severities.propose(opening.measures)
    return [_proposed(desk, proposal, key=key)] if proposal else []


def get(desk: Desk, incident_id: str) -> Incident:
    """The incident as it is now; ids may be typed in any case."""
    return expiry.look(desk, incident_id)


def list_(desk: Desk, query: Query) -> list[Summary]:
    """Incidents, newest first; unknown severities, statuses and modes are refused."""
    for severity in query.severities:
        desk.settings.severities.get(severity)
    for status in query.statuses:
        one_of("status", status, lifecycle.STATUSES)
    for mode in query.modes:
        one_of("mode", mode, lifecycle.MODES)
    return desk.store.incidents(query)


def move(
    desk: Desk,
    incident_id: str,
    verb: str,
    *,
    fields: Mapping[str, object] | None = None,
    reason: str = "",
    at: datetime | None = None,
) -> Incident:
    """Move an incident on by a verb of lifecycle.TRANSITIONS, setting fields on the way.

    StateError and MissingFieldsError say what stands in the way; then nothing is stored.
    Only a person closes, reviews or reopens (else AuthorityError). Closing is ``close``'s, and
    refuses while runs or gates are unfinished.
    """
    if verb == "close":
        return close(desk, incident_id, fields=fields, reason=reason, at=at)
    draft = desk.draft(f"incident.{verb}", {"reason": reason} if reason else {}, at=at)
    return _moved(desk, incident_id, verb, draft, fields=fields or {})


def close(
    desk: Desk,
    incident_id: str,
    *,
    fields: Mapping[str, object] | None = None,
    reason: str = "",
    at: datetime | None = None,
    anyway: bool = False,
) -> Incident:
    """Say that all that was owed is done, and build the record.

    StateError while something of it is unfinished, which is written down with ``anyway``; other
    errors as of ``move``. A RecordError comes after the incident is closed.
    """
    here = config.current_run()  # a runbook may close what it was the last of
    left = list(unfinished(get(desk, incident_id), but=here)) if anyway else []
    data = {**({"reason": reason} if reason else {}), **({"unfinished": left} if left else {})}
    draft = desk.draft("incident.close", data, at=at)

    def check(incident: Incident) -> None:
        still = () if anyway else unfinished(incident, but=here)
        if still and incident.status == "resolved":
            raise StateError(
                f"{incident.id} cannot be closed while something of it goes on. {' '.join(still)}",
                hint="Answer it, let it end, or cancel the run. To close it all the same: "
                f"imt incident close {incident.id} --anyway",
            )

    _moved(desk, incident_id, "close", draft, fields=fields or {}, check=check)
    records.build(desk, incident_id)
    return get(desk, incident_id)


def _moved(
    desk: Desk,
    incident_id: str,
    verb: str,
    draft: Draft,
    *,
    fields: Mapping[str, object],
    check: Callable[[Incident], None] = lambda _: None,
) -> Incident:
    reason = str(draft.data.get("reason", ""))
    if verb in ("close", "review", "reopen") and is_automation(draft.actor):
        raise AuthorityError(f"{draft.actor} may not {verb} {incident_id}: a person decides that.")
    if verb == "reopen" and not reason.strip():
        raise InputError(f"Reopening {incident_id} needs a reason.")

    def decide(incident: Incident) -> Sequence[Draft]:
        check(incident)
        given = _field_drafts(desk, incident, fields, reason)
        merged = _with_fields(incident, fields)
        moved = lifecycle.move(merged, verb, desk.settings.owed, draft)
        return [*given, *(_owed_again(desk, incident) if verb == "reopen" else ()), moved]

    desk.store.change(id_of(incident_id), decide)
    return get(desk, incident_id)


def acknowledge(desk: Desk, incident_id: str) -> Incident:
    """Take an incident in hand; whoever acknowledges owns it if nobody does."""
    return move(desk, incident_id, "acknowledge")


def mitigate(desk: Desk, incident_id: str, *, reason: str = "") -> Incident:
    """Say that the damage is contained."""
    return move(desk, incident_id, "mitigate", reason=reason)


def resolve(desk: Desk, incident_id: str, *, fields: Texts | None = None) -> Incident:
    """Say that service is restored, and that this was verified."""
    return move(desk, incident_id, "resolve", fields=fields)


def still_going(incident: Incident) -> tuple[str, ...]:
    """What of an incident goes on although somebody says that it is over: alerts that fire, runs,
    gates and changes, a sentence each. The run that asks is left out.
    """
    return (*firing(incident), *unfinished(incident, but=config.current_run()))


def reopen(desk: Desk, incident_id: str, *, reason: str) -> Incident:
    """Say that it was not over, and why."""
    return move(desk, incident_id, "reopen", reason=reason)


def note(
    desk: Desk,
    incident_id: str,
    text: str,
    *,
    at: datetime | None = None,
    visibility: Visibility = "internal",
    key: str | None = None,
) -> Entry:
    """Write something down; ``at`` when it happened earlier."""
    need_text("A note", text)
    draft = desk.draft("note.added", {"text": text}, at=at, visibility=visibility, key=key)
    return desk.store.append(id_of(incident_id), draft)[0]


def decide(
    desk: Desk, incident_id: str, text: str, *, reason: str, at: datetime | None = None
) -> Entry:
    """Log a decision with who and why; a decision without a reason is refused."""
    need_text("A decision", text)
    need_text("A decision's reason", reason)
    draft = desk.draft("decision.made", {"text": text, "reason": reason}, at=at)
    return desk.store.append(id_of(incident_id), draft)[0]


def set_fields(
    desk: Desk, incident_id: str, values: Mapping[str, object], *, reason: str = ""
) -> Incident:
    """Give fields new values; what has its value already logs nothing.

    AuthorityError when automation would lower the severity.
    """
    desk.store.change(id_of(incident_id), lambda found: _field_drafts(desk, found, values, reason))
    return get(desk, incident_id)


def assign(desk: Desk, incident_id: str, role: str, person: str) -> Incident:
    """Give a person a role ('owner' is one); the same again logs nothing."""
    need_text("A role", role)
    need_text("A person's name", person)
    if not config.is_somebody(person):
        raise InputError(f"{person!r} is nobody's name.", hint="Name somebody colleagues know.")
    role, person = role.strip(), person.strip()
    draft = desk.draft("role.assigned", {"role": role, "person": person})

    def unless_held(incident: Incident) -> Sequence[Draft]:
        held = incident.owner if role == "owner" else incident.roles.get(role)
        return [] if held == person else [draft]

    desk.store.change(id_of(incident_id), unless_held)
    return get(desk, incident_id)


def release(desk: Desk, incident_id: str, role: str) -> Incident:
    """Take a role back from whoever holds it; NotFoundError when nobody does."""

    def if_held(incident: Incident) -> Sequence[Draft]:
        if role not in incident.roles:
            raise NotFoundError.of("Role", role, incident.roles, where=f" on {incident.id}")
        return [desk.draft("role.released", {"role": role, "person": incident.roles[role]})]

    desk.store.change(id_of(incident_id), if_held)
    return get(desk, incident_id)


def ask(
    desk: Desk, incident_id: str, text: str, *, assignee: str, due_at: datetime | None = None
) -> Task:
    """Ask a named person to do something, by a time if one is given."""
    need_text("A task", text)
    need_text("A person's name", assignee)
    task = uuid4().hex[:8]
    data = {"task": task, "text": text, "assignee": assignee}
    if due_at is not None:
        if due_at.tzinfo is None:
            raise InputError(f"{due_at.isoformat()} has no time zone.")
        data["due_at"] = utc_text(due_at)
    desk.store.append(id_of(incident_id), desk.draft("task.assigned", data))
    return _task(get(desk, incident_id), task)


def done(desk: Desk, incident_id: str, task_id: str) -> Task:
    """Say that a task is done; twice is once."""

    def unless_done(incident: Incident) -> Sequence[Draft]:
        task = _task(incident, task_id)
        return [] if task.done_at else [desk.draft("task.done", {"task": task_id})]

    desk.store.change(id_of(incident_id), unless_done)
    return _task(get(desk, incident_id), task_id)


def measure(
    desk: Desk, incident_id: str, measures: Mapping[str, float], *, key: str | None = None
) -> Proposal | None:
    """Log what was measured; the severity it proposes is taken when it is worse than now.

    ``key`` makes a second try log nothing.
    """
    if not measures:
        return None
    desk.store.change(
        id_of(incident_id), lambda incident: measured(desk, incident, measures, key=key)
    )
    return desk.settings.severities.propose(measures)


def measured(
    desk: Desk, incident: Incident, measures: Mapping[str, float], *, key: str | None = None
) -> list[Draft]:
    """The entries that say what was measured in an incident, and what it does to its severity."""
    if key is not None and any(entry.key == key for entry in incident.entries):
        return []
    ranks = desk.settings.severities
    drafts = [desk.draft("measure.taken", {"measures": dict(measures)}, key=key)]
    if proposal := ranks.propose(measures):
        drafts.append(_proposed(desk, proposal))
        if ranks.rank(proposal.severity) < ranks.rank(incident.severity):
            reason = "; ".join(proposal.grounds)
            drafts += _field_drafts(desk, incident, {"severity": proposal.severity}, reason)
    return drafts


def _task(incident: Incident, task_id: str) -> Task:
    for task in incident.tasks:
        if task.id == task_id:
            return task
    raise NotFoundError.of("Task", task_id, (t.id for t in incident.tasks))


def _proposed(desk: Desk, proposal: Proposal, *, key: str | None = None) -> Draft:
    data = {"severity": proposal.severity, "grounds": list(proposal.grounds)}
    return desk.draft("severity.proposed", data, key=key)


def _owed_again(desk: Desk, incident: Incident) -> list[Draft]:
    """What was said of an end that was none is emptied: it is owed anew."""
    owed = {name for names in desk.settings.owed.fields.values() for name in names}
    return [
        desk.draft("field.set", {"name": name, "value": "", "reason": "reopened"})
        for name in sorted(owed & set(incident.fields))
        if incident.fields[name]
    ]


def _field_drafts(
    desk: Desk, incident: Incident, values: Mapping[str, object], reason: str
) -> list[Draft]:
    drafts = []
    for name, value in values.items():
        if name == "severity":
            drafts += _severity_drafts(desk, incident, str(value), reason)
            continue
        kept = field_value(name, value)
        if incident.value(name) == kept:
            continue
        stored = list(kept) if isinstance(kept, tuple) else kept
        data = {"name": name, "value": stored, **({"reason": reason} if reason else {})}
        drafts.append(desk.draft("field.set", data))
    return drafts


def _severity_drafts(desk: Desk, incident: Incident, wanted: str, reason: str) -> list[Draft]:
    level = desk.settings.severities.get(wanted).name
    if level == incident.severity:
        return []
    data = {"from": incident.severity, "to": level, "reason": reason}
    draft = desk.draft("severity.changed", data)
    desk.settings.severities.check_change(incident.severity, level, draft.actor)
    return [draft]


def field_value(name: str, value: object) -> object:
    """A field's value as it is kept; InputError or NotFoundError when it may not be set so."""
    if name in ("status", "mode", "id", "opened_at"):
        raise InputError(
            f"'{name}' is not set by hand.",
            hint="States change by their verbs: ack, mitigate, resolve, close, reopen.",
        )
    if not name.replace("_", "").replace("-", "").isalnum():
        raise InputError(f"'{name}' is not a field's name.", hint="Use letters, digits and '_'.")
    if meant := meant_by(name, FIELD_NAMES):
        raise InputError(f"There is no field '{name}'.", hint=f"Did you mean '{meant}'?")
    if name == "title":
        need_text("A title", str(value))
    if name == "category":
        return one_of("category", str(value), lifecycle.CATEGORIES)
    if name in ("services", "tags"):
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            raise InputError(f"'{name}' takes a list of names.")
        return tuple(str(part).strip() for part in parts if str(part).strip())
    return value


def _with_fields(incident: Incident, values: Mapping[str, object]) -> Incident:
    own: dict[str, Any] = {n: field_value(n, v) for n, v in values.items() if n in FIELD_NAMES}
    other = {name: value for name, value in values.items() if name not in FIELD_NAMES}
    return replace(incident, fields={**incident.fields, **other}, **own)


def need_text(what: str, text: str) -> None:
    """InputError when there is nothing but blanks."""
    if not text.strip():
        raise InputError(f"{what} is empty.", hint="Say it in words; nothing was stored.")
