"""The list of incidents, and one incident as it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from imtkit.contracts import Query
from imtkit.errors import ImtkitError
from imtkit.kit import Desk, gates
from imtkit.kit.turns import UNFINISHED
from imtkit.model.drawing import corrections, milestones
from imtkit.model.entries import Entry
from imtkit.model.entry_data import text_of
from imtkit.model.gate_drawing import gate_facts, gate_state_in, gate_title
from imtkit.model.gates import Gate
from imtkit.model.incident import Incident, Summary
from imtkit.model.lifecycle import GOING_ON, OVER
from imtkit.model.words import counted, one_line, sentence
from imtkit.web import archive, moves
from imtkit.web.alerts import alert_cards
from imtkit.web.asked import Asked
from imtkit.web.drawing import status_of
from imtkit.web.live import Tail
from imtkit.web.runs import RunCard, queue_of, run_cards
from imtkit.web.shelf import Shelf
from imtkit.web.silenced import Silenced

if TYPE_CHECKING:
    from starlette.responses import Response

SHOWN: Mapping[str, tuple[str, ...]] = {"open": GOING_ON, "over": OVER, "all": ()}
_PAGE = 50
_COUNTED = 1_000
"""How many that come after a page are counted, to say how many there are."""
_LOOKED_AT = 300
"""How many open incidents are looked through for questions, the worst ones."""
_LINES = 150
"""How many entries of a timeline are shown before somebody asks for all."""

_MAJOR = ("incident.", "decision.", "severity.", "gate.", "change.", "resolution.")
_NEXT: Mapping[str, tuple[str, str]] = {
    "open": ("Nobody has it in hand yet.", "ack"),
    "acknowledged": ("Contain the damage.", "mitigate"),
    "mitigated": ("Restore service, and verify that it is.", "resolve"),
    "resolved": ("Close it when all that was owed is done:", "close"),
    "closed": ("Hold the review, then:", "review"),
}
"""What comes next, and the verb of ``imt incident`` that says it is done, by status."""
_STORMY: Mapping[str, str] = {"alert.received": "fired", "alert.resolved": "are over"}
_STORM = 4
"""So many alerts one after another are one line of the timeline, to be opened."""
_MINOR = ("step.", "measure.", "checklist.", "record.", "notebook.", "runbook.", "deliver")


@dataclass(frozen=True, slots=True)
class Row:
    """An incident in a list. What only its log tells is there for those that are unfinished."""

    summary: Summary
    rank: int
    firing: int = 0
    alerts: int = 0
    waiting: int = 0
    last: Entry | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class GateCard:
    """A gate, or a change to approve, as a page asks it. ``refusal``: why not by this person."""

    gate: Gate
    title: str
    state: str
    facts: tuple[tuple[str, str], ...]
    refusal: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """An entry in the timeline. ``weight``: major, plain or minor; ``by``: what corrected it.

    ``folded``: the entries that a storm left one after another and that are one line, newest
    first.
    """

    entry: Entry
    said: str
    weight: str
    by: int | None = None
    folded: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposed:
    """A runbook that was proposed and has not run here: for which alert, and why only proposed."""

    runbook: str
    alert: str
    reason: str
    command: str


async def listed(asked: Asked, tail: Tail, shelf: Shelf, silenced: Silenced) -> Response:
    """``/``: incidents by the filters in the address: open ones worst first, then newest first."""
    shown = asked.query("show", "open")
    shown = shown if shown in SHOWN else "open"
    query = Query(
        statuses=SHOWN[shown],
        severities=tuple(filter(None, (asked.query("severity"),))),
        service=asked.query("service"),
        text=asked.query("q"),
        before=asked.query("before"),
        limit=_PAGE + _COUNTED,
    )
    after = await tail.newest()

    def look(desk: Desk) -> dict[str, Any]:
        levels = _levels(desk)
        wanted = replace(query, worst_first=levels) if shown == "open" else query
        found = desk.store.incidents(wanted)
        more = len(found) - _PAGE
        return {
            "rows": [_row(desk, shelf, one) for one in found[:_PAGE]],
            "waiting": _asked(desk, shelf) if shown == "open" else [],
            "held": silenced.count(desk, after) if shown == "open" else 0,
            "last": found[_PAGE - 1].id if more > 0 else "",
            "more": f"{more} or more" if more == _COUNTED else more,
            "levels": levels,
            "workspace": desk.settings.name,
        }

    def link(**changed: str) -> str:
        kept = {name: asked.query(name) for name in ("show", "severity", "service", "q")}
        pairs = {name: value for name, value in {**kept, **changed}.items() if value}
        return f"/?{urlencode(pairs)}" if pairs else "/"

    return asked.page(
        "incidents.html", shown=shown, query=query, link=link, after=after, **await asked.work(look)
    )


async def shown(
    asked: Asked,
    tail: Tail,
    shelf: Shelf,
    *,
    problem: tuple[str, ImtkitError] | None = None,
) -> Response:
    """``/incidents/ID``: one incident, what waits for an answer first, its timeline, its parts.

    ``problem`` is what was not taken (a gate's id, a verb, 'note') and why; what was typed stays.
    """
    after = await tail.newest()
    is_whole = asked.query("timeline") == "all"

    def look(desk: Desk) -> dict[str, Any]:
        incident = shelf.incident(desk, asked.path("incident"))
        waiting = {gate.id for gate in incident.waiting_gates}
        every = [_gate_card(incident, gate, asked, problem) for gate in incident.asked_gates]
        answered = asked.query("answered")
        cards = run_cards(incident)
        is_queued = any(card.run.status == "queued" for card in cards)
        return {
            "incident": incident,
            "rank": _rank(desk, incident.severity),
            "recorded": _recorded(incident, asked.query("recorded")),
            "offers": moves.offers(desk, incident),
            "proposed_at": _proposed_at(incident),
            "waiting": [card for card in every if card.gate.id in waiting],
            "settled": [card for card in every if card.gate.id not in waiting],
            "said": next(
                (c for c in every if c.gate.id == answered and not c.gate.is_waiting), None
            ),
            "runs": cards,
            "queue": queue_of(desk, shelf) if is_queued else None,
            "proposed": _proposed(incident),
            "alerts": alert_cards(incident),
            "firing": sum(alert.status == "firing" for alert in incident.alerts),
            "owed": owed(desk, incident),
            "milestones": milestones(incident),
            "said_of": partial(sentence, incident=incident),
            "lines": list(_lines(incident, None if is_whole else _LINES)),
            "has_record": archive.has_record(desk, incident),
        }

    found = await asked.work(look)
    hidden = len(_shown(found["incident"])) - sum(len(one.folded) or 1 for one in found["lines"])
    return asked.page(
        "incident.html",
        status=status_of(problem[1]) if problem else 200,
        problem=problem[1] if problem else None,
        problem_of=problem[0] if problem else "",
        typed=asked.said if problem else {},
        nonce=moves.new_nonce(),
        hidden=hidden,
        after=after,
        watched=found["incident"].id,
        at=f"/incidents/{found['incident'].id}{'?timeline=all' if is_whole else ''}",
        next_step=next_step(found["incident"], found["owed"], found["runs"]),
        **found,
    )


def owed(desk: Desk, incident: Incident) -> tuple[str, ...]:
    """What is missing before the incident's next state may be entered."""
    ahead = {"mitigated": "resolved", "resolved": "closed", "closed": "reviewed"}
    state = ahead.get(incident.status)
    return desk.settings.owed.missing(incident, state) if state else ()


def next_step(incident: Incident, missing: tuple[str, ...], runs: list[RunCard]) -> tuple[str, str]:
    """What a person does next, in words, and the command for it where there is one."""
    id_ = incident.id
    if incident.waiting_gates:
        question = one_line(incident.waiting_gates[0].question, most=120)
        return f"Answer what is asked: {question}", ""
    stuck = next((card for card in runs if card.needs_person), None)
    if stuck is not None and not incident.is_over:
        return f"{stuck.next_step}:", stuck.command
    if incident.status == "resolved" and missing:
        return f"Before it is closed, it owes: {', '.join(missing)}.", ""
    is_quiet = incident.alerts and all(one.status != "firing" for one in incident.alerts)
    if incident.status in ("acknowledged", "mitigated") and is_quiet:
        words = "Every alert is over: verify that service is restored, then resolve it."
        return words, f"imt incident resolve {id_}"
    words, verb = _NEXT.get(incident.status, ("Nothing more is owed.", ""))
    return words, f"imt incident {verb} {id_}" if verb else ""


def _row(desk: Desk, shelf: Shelf, summary: Summary) -> Row:
    rank = _rank(desk, summary.severity)
    if summary.status not in UNFINISHED:
        return Row(summary, rank)
    incident = shelf.incident(desk, summary.id)
    last = incident.entries[-1]
    return Row(
        summary,
        rank,
        firing=sum(alert.status == "firing" for alert in incident.alerts),
        alerts=len(incident.alerts),
        waiting=len(incident.waiting_gates),
        last=last,
        said=one_line(sentence(last, incident), most=140),
    )


def _asked(desk: Desk, shelf: Shelf) -> list[gates.Waiting]:
    """What people are asked, as ``imt gate list`` has it."""
    return gates.waiting(desk, look=shelf.incident, most=_LOOKED_AT)


def _levels(desk: Desk) -> tuple[str, ...]:
    """The names of the severities, worst first."""
    return tuple(level.name for level in desk.settings.severities.levels)


def _rank(desk: Desk, severity: str) -> int:
    """1 is the worst; unknown ones come last."""
    return desk.settings.severities.rank(severity)


def _gate_card(
    incident: Incident, gate: Gate, asked: Asked, problem: tuple[str, ImtkitError] | None
) -> GateCard:
    change = incident.change(gate.id)
    name = asked.visitor.name
    refused = gates.refusal(incident, gate, name) if name and gate.is_waiting else None
    drawn = ("Answers", "Asked by", "Until")  # by the template, with the viewer's times
    return GateCard(
        gate,
        gate_title(gate, change),
        gate_state_in(incident, gate),
        tuple(fact for fact in gate_facts(gate, change) if fact[0] not in drawn),
        refusal=f"{refused} {refused.hint}".strip() if refused else "",
        problem=f"{problem[1]} {problem[1].hint}".strip()
        if problem and problem[0] == gate.id
        else "",
    )


def _recorded(incident: Incident, told: str) -> Line | None:
    """The entry that an address says was just recorded, if the log has it."""
    if not (told.isascii() and told.isdigit() and len(told) < 10):
        return None
    found = next((entry for entry in incident.entries if entry.n == int(told)), None)
    return Line(found, sentence(found, incident), "major") if found else None


def _proposed_at(incident: Incident) -> datetime | None:
    """Since when the incident proposes its own resolution; None when it does not."""
    for entry in reversed(() if incident.is_over else incident.entries):
        if entry.type in ("alert.received", "incident.reopened"):
            return None
        if entry.type == "resolution.proposed":
            return entry.occurred_at
    return None


def _proposed(incident: Incident) -> list[Proposed]:
    ran = {run.runbook for run in incident.runs}
    found: dict[str, Proposed] = {}
    for entry in incident.entries:
        name = text_of(entry, "runbook") if entry.type == "runbook.proposed" else ""
        if name and name not in ran:
            command = f"imt run {name} --incident {incident.id}"
            alert, reason = text_of(entry, "alert"), text_of(entry, "reason")
            found.setdefault(name, Proposed(name, alert, reason, command))
    return list(found.values())


def _lines(incident: Incident, most: int | None) -> Iterator[Line]:
    """The timeline, newest first; a storm is one line."""
    by = corrections(incident.entries)
    newest = reversed(_shown(incident)[-most:] if most else _shown(incident))
    for _, alike in groupby(newest, key=lambda entry: _kind(entry, by)):
        entries = tuple(alike)
        if entries[0].type in _STORMY and len(entries) >= _STORM:
            names = Counter(text_of(entry, "name") for entry in entries).most_common(3)
            told = ", ".join(f"{one_line(name, most=60)} × {count}" for name, count in names)
            rest = len(entries) - sum(count for _, count in names)
            told += f" and {counted(rest, 'other')}" if rest else ""
            said = f"{len(entries)} alerts {_STORMY[entries[0].type]}: {told}"
            yield Line(entries[0], said, "plain", folded=entries)
            continue
        for entry in entries:
            weight = "plain"
            if entry.type.startswith(_MINOR):
                weight = "minor"
            elif entry.type.startswith(_MAJOR):
                weight = "major"
            yield Line(entry, sentence(entry, incident), weight, by.get(entry.n))


def _kind(entry: Entry, by: Mapping[int, int]) -> tuple[str, str, str, bool]:
    """What entries that stand one after another must have in common to be one line."""
    return (entry.type, entry.actor, entry.visibility, entry.n in by)


def _shown(incident: Incident) -> list[Entry]:
    """The entries that a timeline shows: that a step began is no news once it has ended."""
    ended = {
        (entry.data.get("run"), entry.data.get("step")): entry.n
        for entry in incident.entries
        if entry.type == "step.finished"
    }
    return [
        entry
        for entry in incident.entries
        if entry.type != "step.started"
        or ended.get((entry.data.get("run"), entry.data.get("step")), 0) < entry.n
    ]
