"""``imt incident``: what people write into the log."""

from __future__ import annotations

import sys
from datetime import datetime
from io import TextIOWrapper
from typing import TYPE_CHECKING

import click

from imtkit.cli.arguments import INCIDENT, MOMENT, PAIR
from imtkit.cli.face import Face, Noun, pass_face, writes
from imtkit.kit.documents import entry_document, incident_document
from imtkit.model.words import moment_text, one_line

if TYPE_CHECKING:
    from imtkit.kit import Desk
    from imtkit.model.entries import Entry
    from imtkit.model.incident import Incident, Task

incident_id = click.argument("incident_id", type=INCIDENT, metavar="ID")
at_option = click.option("--at", type=MOMENT, help="When it happened: 14:05, 10m, or RFC 3339.")


@click.group(cls=Noun)
def log() -> None:
    """The verbs of 'imt incident' that write things down."""


@log.command(
    examples=(
        "imt incident note INC-2026-0042 the queue is draining",
        "journalctl -u orders | tail | imt incident note INC-2026-0042 -",
    )
)
@incident_id
@click.argument("text", nargs=-1, required=True)
@at_option
@writes
@pass_face
def note(face: Face, incident_id: str, text: tuple[str, ...], at: datetime | None) -> None:
    """Write something down; '-' reads it from stdin."""
    from imtkit.kit import incidents

    said = _from_stdin() if text == ("-",) else " ".join(text)
    with face.desk() as desk:
        give_entry(face, incidents.note(desk, incident_id, said, at=at))


@log.command(
    examples=('imt incident decide INC-2026-0042 Roll back --reason "errors began with v42"',)
)
@incident_id
@click.argument("text", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why this and nothing else.")
@at_option
@writes
@pass_face
def decide(
    face: Face, incident_id: str, text: tuple[str, ...], reason: str, at: datetime | None
) -> None:
    """Log a decision, with who and why."""
    from imtkit.kit import incidents

    with face.desk() as desk:
        give_entry(face, incidents.decide(desk, incident_id, " ".join(text), reason=reason, at=at))


@log.command(
    "set",
    examples=(
        'imt incident set INC-2026-0042 severity=sev2 --reason "one shop only"',
        'imt incident set INC-2026-0042 services=orders,payments cause="a lost index"',
    ),
)
@incident_id
@click.argument("pairs", type=PAIR, nargs=-1, required=True, metavar="NAME=VALUE...")
@click.option("--reason", default="")
@writes
@pass_face
def set_(face: Face, incident_id: str, pairs: tuple[tuple[str, str], ...], reason: str) -> None:
    """Give fields new values; lists take commas."""
    from imtkit.kit import incidents

    with face.desk() as desk:
        changed = incidents.set_fields(desk, incident_id, dict(pairs), reason=reason)
        give_incident(
            face, desk, changed, f"{changed.id}: {one_line(', '.join(n for n, _ in pairs))} set."
        )


@log.command(examples=('imt incident assign INC-2026-0042 commander "Ada Lovelace"',))
@incident_id
@click.argument("role")
@click.argument("person")
@writes
@pass_face
def assign(face: Face, incident_id: str, role: str, person: str) -> None:
    """Give a person a role; 'owner' is one."""
    from imtkit.kit import incidents

    with face.desk() as desk:
        changed = incidents.assign(desk, incident_id, role, person)
        give_incident(
            face, desk, changed, f"{changed.id}: {one_line(person)} is now {one_line(role)}."
        )


@log.command(examples=("imt incident tick INC-2026-0042 first-steps look-at-the-logs",))
@incident_id
@click.argument("checklist")
@click.argument("items", nargs=-1, required=True, metavar="ITEM...")
@click.option("--undo", is_flag=True, help="Take the tick back.")
@writes
@pass_face
def tick(face: Face, incident_id: str, checklist: str, items: tuple[str, ...], undo: bool) -> None:
    """Tick items of a checklist, by their ids or their texts."""
    from imtkit.kit import checklists
    from imtkit.model.drawing import checklist_text

    mark = checklists.untick if undo else checklists.tick
    with face.desk() as desk:
        known = checklists.get(desk, incident_id, checklist)
        for wanted in [known.item(item).id for item in items]:
            known = mark(desk, incident_id, checklist, wanted)
        face.give(known, lambda: checklist_text(known))


@log.command(examples=("imt incident release INC-2026-0042 commander",))
@incident_id
@click.argument("role")
@writes
@pass_face
def release(face: Face, incident_id: str, role: str) -> None:
    """Take a role back from whoever holds it."""
    from imtkit.kit import incidents

    with face.desk() as desk:
        changed = incidents.release(desk, incident_id, role)
        give_incident(face, desk, changed, f"{changed.id}: nobody is {one_line(role)} now.")


@log.command(examples=("imt incident measure INC-2026-0042 error_rate=12% latency_p95_seconds=4",))
@incident_id
@click.argument("pairs", type=PAIR, nargs=-1, required=True, metavar="NAME=NUMBER...")
@writes
@pass_face
def measure(face: Face, incident_id: str, pairs: tuple[tuple[str, str], ...]) -> None:
    """Hold measurements against the thresholds. The severity rises when one is reached."""
    from imtkit.cli.arguments import measures_from_pairs
    from imtkit.kit import incidents

    with face.desk() as desk:
        proposal = incidents.measure(desk, incident_id, measures_from_pairs(pairs))
        found = incidents.get(desk, incident_id)
        grounds = "; ".join(proposal.grounds) if proposal else "no threshold is reached"
        give_incident(face, desk, found, f"{found.id} is {found.severity}: {grounds}.")


@log.command(examples=('imt incident ask INC-2026-0042 "Bob Example" Call the bank --within 10m',))
@incident_id
@click.argument("person")
@click.argument("text", nargs=-1, required=True)
@click.option("--within", default="", metavar="TIME", help="Until when: 10m, 2h, 1d.")
@writes
@pass_face
def ask(face: Face, incident_id: str, person: str, text: tuple[str, ...], within: str) -> None:
    """Ask a named person to do something, perhaps by a time."""
    from imtkit.cli.arguments import span_from_text
    from imtkit.kit import incidents

    with face.desk() as desk:
        due = desk.clock.now() + span_from_text(within) if within else None
        task = incidents.ask(desk, incident_id, " ".join(text), assignee=person, due_at=due)
        face.give(task, _task_line(task))


@log.command(examples=("imt incident done INC-2026-0042 3f9a12bc",))
@incident_id
@click.argument("task")
@writes
@pass_face
def done(face: Face, incident_id: str, task: str) -> None:
    """Say that what was asked for is done."""
    from imtkit.kit import incidents

    with face.desk() as desk:
        ended = incidents.done(desk, incident_id, task)
        face.give(ended, _task_line(ended))


@log.command(
    examples=('imt incident correct INC-2026-0042 7 text="It was the index" --reason "looked"',)
)
@incident_id
@click.argument("n", type=int)
@click.argument("pairs", type=PAIR, nargs=-1, required=True, metavar="NAME=VALUE...")
@click.option("--reason", required=True, help="Why the entry was wrong.")
@writes
@pass_face
def correct(
    face: Face, incident_id: str, n: int, pairs: tuple[tuple[str, str], ...], reason: str
) -> None:
    """Replace what an entry says. Entry N stays readable; a new one counts instead."""
    from imtkit.kit import corrections

    with face.desk() as desk:
        give_entry(face, corrections.correct(desk, incident_id, n, dict(pairs), reason=reason))


@log.command(examples=('imt incident withdraw INC-2026-0042 7 --reason "the wrong incident"',))
@incident_id
@click.argument("n", type=int)
@click.option("--reason", required=True, help="Why it no longer counts.")
@writes
@pass_face
def withdraw(face: Face, incident_id: str, n: int, reason: str) -> None:
    """Take an entry back. Entry N stays readable, and no longer counts."""
    from imtkit.kit import corrections

    with face.desk() as desk:
        give_entry(face, corrections.withdraw(desk, incident_id, n, reason=reason))


def _from_stdin() -> str:
    """What was piped in; bytes that are no text show as their numbers."""
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="backslashreplace")
    return sys.stdin.read().strip()


def give_incident(face: Face, desk: Desk, found: Incident, line: str) -> None:
    """Print an incident: one line of words, or all of it as JSON."""
    face.give(incident_document(found, desk.settings.root), line)


def give_entry(face: Face, entry: Entry) -> None:
    """Print that an entry was stored, or the entry as JSON."""
    face.give(entry_document(entry), f"{entry.incident}: entry {entry.n} is in the log.")


def _task_line(task: Task) -> str:
    if task.done_at:
        return one_line(f"Done: {task.text}")
    due = f", by {moment_text(task.due_at)}" if task.due_at else ""
    return one_line(f"{task.assignee} was asked{due}: {task.text} (task {task.id})")
