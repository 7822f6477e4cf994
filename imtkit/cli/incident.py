"""``imt incident``: open, move on, write down, look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from imtkit.cli.arguments import PAIR
from imtkit.cli.face import Face, Noun, everywhere, pass_face, writes
from imtkit.cli.incident_log import at_option, give_incident, incident_id, log
from imtkit.errors import MissingFieldsError
from imtkit.kit.documents import incident_document
from imtkit.model.lifecycle import CATEGORIES, GOING_ON, MODES, STATUSES
from imtkit.model.names import meant_by
from imtkit.model.words import one_line

if TYPE_CHECKING:
    from imtkit.kit import Desk
    from imtkit.model.incident import Incident, Summary


@click.group(cls=Noun)
def incident() -> None:
    """Open incidents, move them on, write down what happens."""


@incident.command(
    "open",
    examples=(
        'imt incident open --title "Checkout fails" --service orders --measure error_rate=30%',
    ),
)
@click.option("--title", required=True, help="What is wrong, in a few words.")
@click.option("--severity", default="", metavar="LEVEL", help="Else as measured, else the default.")
@click.option("--service", "services", multiple=True, help="A service that is affected.")
@click.option("--measure", "measures", type=PAIR, multiple=True, help="error_rate=0.3, or 30%.")
@click.option("--mode", type=click.Choice(MODES), default="live", show_default=True)
@click.option("--category", type=click.Choice(CATEGORIES))
@click.option("--summary", default="", help="What is known so far.")
@click.option("--tag", "tags", multiple=True)
@click.option("--owner", default="", help="Else the owner of its service.")
@at_option
@writes
@pass_face
def open_(
    face: Face, /, measures: tuple[tuple[str, str], ...], at: datetime | None, **told: object
) -> None:
    """Open an incident."""
    from imtkit.cli.arguments import measures_from_pairs
    from imtkit.kit import incidents
    from imtkit.model.opening import Opening

    given: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    opening = Opening(measures=measures_from_pairs(measures), **given)
    with face.desk() as desk:
        opened = incidents.open_(desk, opening, at=at)
        give_incident(face, desk, opened, _opened_line(opened))
        levels = desk.settings.severities.levels
        known = {one.measure for level in levels for one in level.thresholds}
        for name in opening.measures:
            if meant := meant_by(name, known):
                face.say(f"No severity looks at '{name}'. Did you mean '{meant}'?")


@incident.command("list", examples=("imt incident list --severity sev1 --service orders",))
@click.option("--status", "statuses", type=click.Choice(STATUSES), multiple=True)
@click.option("--severity", "severities", multiple=True, metavar="LEVEL")
@click.option("--mode", "modes", type=click.Choice(MODES), multiple=True)
@click.option("--service", default="", help="Incidents of this service.")
@click.option("--search", "text", default="", help="Words of the title.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--open", "is_open", is_flag=True, help="Only those that are not over.")
@everywhere
@pass_face
def list_(face: Face, /, limit: int, is_open: bool, **wanted: str) -> None:
    """List incidents, newest first."""
    from imtkit.contracts import Query
    from imtkit.kit import incidents

    query = Query(limit=limit, **wanted)  # type: ignore[arg-type]
    if is_open and not query.statuses:
        query = replace(query, statuses=GOING_ON)
    with face.desk() as desk:
        rows = incidents.list_(desk, query)
        if face.is_json:
            face.give_json(rows)
        else:
            _draw_list(face, desk, rows)


@incident.command(examples=("imt incident show INC-2026-0042",))
@incident_id
@everywhere
@pass_face
def show(face: Face, incident_id: str) -> None:
    """Show an incident's page. Head, people, checklists, decisions, runs, timeline."""
    from imtkit.kit import incidents

    with face.desk() as desk:
        found = incidents.get(desk, incident_id)
        if face.is_json:
            face.give_json(incident_document(found, desk.settings.root, with_timeline=True))
            return
        from imtkit.cli.pages import incident_page

        face.draw(incident_page(found, desk.settings.severities))


@incident.command(examples=("imt incident ack INC-2026-0042",))
@incident_id
@click.option("--reason", default="")
@at_option
@writes
@pass_face
def ack(face: Face, incident_id: str, reason: str, at: datetime | None) -> None:
    """Take an incident in hand. Whoever does owns it if nobody else does."""
    _move(face, incident_id, "acknowledge", reason=reason, at=at)


@incident.command(
    examples=('imt incident mitigate INC-2026-0042 --reason "traffic moved to the other site"',)
)
@incident_id
@click.option("--reason", default="", help="What contains the damage.")
@at_option
@writes
@pass_face
def mitigate(face: Face, incident_id: str, reason: str, at: datetime | None) -> None:
    """Say that the damage is contained."""
    _move(face, incident_id, "mitigate", reason=reason, at=at)


@incident.command(
    examples=('imt incident resolve INC-2026-0042 --resolution "rolled back to v41"',)
)
@incident_id
@click.option("--resolution", default="", help="What restored the service.")
@click.option("--set", "pairs", type=PAIR, multiple=True, help="Another field: name=value.")
@at_option
@writes
@pass_face
def resolve(
    face: Face, incident_id: str, resolution: str, pairs: tuple[tuple[str, str], ...], at: datetime
) -> None:
    """Say that service is restored, and that this was verified."""
    fields = {**dict(pairs), **({"resolution": resolution} if resolution else {})}
    _move(face, incident_id, "resolve", fields=fields, at=at)


@incident.command(examples=('imt incident close INC-2026-0042 --cause "the pool was too small"',))
@incident_id
@click.option("--cause", default="", help="Why it happened.")
@click.option("--set", "pairs", type=PAIR, multiple=True, help="Another field: name=value.")
@click.option("--anyway", is_flag=True, help="Though runs or gates of it are unfinished.")
@at_option
@writes
@pass_face
def close(
    face: Face,
    incident_id: str,
    cause: str,
    pairs: tuple[tuple[str, str], ...],
    at: datetime | None,
    *,
    anyway: bool,
) -> None:
    """Close an incident: all that was owed is done. Its record is built."""
    fields = {**dict(pairs), **({"cause": cause} if cause else {})}
    _move(face, incident_id, "close", fields=fields, at=at, anyway=anyway)


@incident.command(
    examples=('imt incident reopen INC-2026-0042 --reason "errors are back since 14:20"',)
)
@incident_id
@click.option("--reason", required=True, help="Why it is not over.")
@at_option
@writes
@pass_face
def reopen(face: Face, incident_id: str, reason: str, at: datetime | None) -> None:
    """Say that it was not over, and why."""
    _move(face, incident_id, "reopen", reason=reason, at=at)


@incident.command(
    examples=('imt incident review INC-2026-0042 --reason "three actions, see the notes"',)
)
@incident_id
@click.option("--reason", default="", help="What the review came to.")
@at_option
@writes
@pass_face
def review(face: Face, incident_id: str, reason: str, at: datetime | None) -> None:
    """Say that the post-incident review was held."""
    _move(face, incident_id, "review", reason=reason, at=at)


def _move(
    face: Face,
    incident_id: str,
    verb: str,
    *,
    fields: Mapping[str, str] | None = None,
    **how: Any,
) -> None:
    """Move an incident on; on a terminal the fields that are owed are asked for."""
    from imtkit.kit import incidents

    given = dict(fields or {})
    move = incidents.close if verb == "close" else partial(incidents.move, verb=verb)
    with face.desk() as desk:
        try:
            moved = move(desk, incident_id, fields=given, **how)
        except MissingFieldsError as error:
            owed = [name for name in error.missing if not name.startswith("checklist ")]
            if not (face.is_asking and owed):
                raise
            face.say(str(error))
            given |= {name: face.ask(name.capitalize()) for name in owed}
            moved = move(desk, incident_id, fields=given, **how)
        if verb == "close":
            _give_closed(face, desk, moved)
        elif verb == "resolve":
            _give_resolved(face, desk, moved)
        else:
            give_incident(face, desk, moved, f"{moved.id} is {moved.status}.")


def _give_resolved(face: Face, desk: Desk, resolved: Incident) -> None:
    """Print a resolved incident, and warn of what of it goes on all the same."""
    from imtkit.kit import incidents

    going = incidents.still_going(resolved)
    document = incident_document(resolved, desk.settings.root)
    face.give({**document, "still_going": going}, f"{resolved.id} is {resolved.status}.")
    _warn(face, going)


def _warn(face: Face, going: Sequence[str]) -> None:
    for one in going:
        face.say(f"Still: {one}")


def _give_closed(face: Face, desk: Desk, closed: Incident) -> None:
    """Print a closed incident, where its record is, and what that record lacks."""
    from imtkit.cli.outputs import say_unsent
    from imtkit.kit import incidents, records

    problems, going = records.problems_told(closed), incidents.still_going(closed)
    document = incident_document(closed, desk.settings.root)
    told = {**document, "record_problems": problems, "still_going": going}
    face.give(told, f"{closed.id} is {closed.status}.")
    _warn(face, going)
    face.say(f"Its record: {desk.folder(closed.id) / 'record' / 'index.html'}")
    for problem in problems:
        face.say(one_line(problem, most=300))
    say_unsent(face, desk)


def _draw_list(face: Face, desk: Desk, rows: Sequence[Summary]) -> None:
    from imtkit.cli.pages import UNWRAPPED, incident_table

    if not rows:
        face.say("There is no such incident. A new one: imt incident open --title …")
        return
    # A program that reads the list gets whole titles, however long.
    width = face.console(piped_width=UNWRAPPED).width
    severities, now = desk.settings.severities, desk.clock.now()
    table = incident_table(rows, severities, now=now, width=width)
    face.draw(table, piped_width=UNWRAPPED)


def _opened_line(opened: Incident) -> str:
    grounds = [
        ground
        for entry in opened.entries
        if entry.type == "severity.proposed"
        for ground in entry.data["grounds"]
    ]
    why = ""
    if grounds:
        asked = next(e.data["severity"] for e in opened.entries if e.type == "severity.proposed")
        why = f": {'; '.join(grounds)}"
        if asked != opened.severity:
            why = f"; measured {asked}{why}"
    return one_line(
        f"{opened.id} opened, {opened.severity}{why}. Next: imt incident ack {opened.id}"
    )


for verb in log.commands.values():
    incident.add_command(verb)
