"""``imt record``: build, open and verify the archive of incidents."""

from __future__ import annotations

from pathlib import Path

import click

from imtkit.cli.arguments import INCIDENT
from imtkit.cli.face import Face, Noun, everywhere, pass_face, writes
from imtkit.errors import NotFoundError, RecordError
from imtkit.model.words import counted, one_line

incident_id = click.argument("incident_id", type=INCIDENT, metavar="ID")


@click.group(cls=Noun)
def record() -> None:
    """Build, open and verify the archive of incidents."""


@record.command(examples=("imt record build INC-2026-0042",))
@incident_id
@writes
@pass_face
def build(face: Face, incident_id: str) -> None:
    """Archive an incident: an index page, a page for each notebook, the log, a manifest."""
    from imtkit.cli.outputs import say_unsent
    from imtkit.kit import records

    with face.desk() as desk:
        built = records.build(desk, incident_id)
        say_unsent(face, desk)
    document = {"incident": incident_id, "index": built.index, "problems": built.problems}
    face.give(document, str(built.index))
    for problem in built.problems:
        face.say(one_line(problem, most=300))


@record.command("open", examples=("imt record open INC-2026-0042",))
@incident_id
@everywhere
@pass_face
def open_(face: Face, incident_id: str) -> None:
    """Open an incident's record in the browser; prints its path."""
    import webbrowser

    from imtkit.kit import copies

    with face.desk() as desk:
        known = desk.store.incident(incident_id)
        copies.fetch_record(desk, known.id)
        index = desk.folder(known.id) / "record" / "index.html"
    if not index.is_file():
        raise NotFoundError(
            f"{known.id} has no record yet.", hint=f"Build it: imt record build {known.id}"
        )
    face.give({"incident": known.id, "index": index}, str(index))
    if face.is_asking:
        webbrowser.open(index.as_uri())


@record.command(examples=("imt record verify INC-2026-0042", "imt record verify path/to/record"))
@click.argument("what", metavar="ID|DIR")
@everywhere
@pass_face
def verify(face: Face, what: str) -> None:
    """Check that a record is what was built: every file by its hash, the log by its chain."""
    from imtkit.kit import records

    folder, since = Path(what), None
    if folder.is_dir():
        problems = records.verify(folder)
    else:
        folder, since, problems = _of_incident(face, what)
    lines = [one_line(problem, most=300) for problem in problems]
    document = {"record": folder, "problems": problems, "entries_since": since}
    face.give(document, "\n".join(lines) or f"{folder} is what was built.")
    if since:
        entries = counted(since, "entry", "entries")
        face.say(f"The log has {entries} since; build it again: imt record build {what.upper()}")
    if problems:
        raise RecordError(f"The record {folder} does not verify: {one_line(problems[0])}")


def _of_incident(face: Face, incident_id: str) -> tuple[Path, int, list[str]]:
    """Where an incident's record is, what the log has since, and what is wrong with it."""
    from imtkit.kit import records

    with face.desk() as desk:
        problems = records.verify_incident(desk, incident_id)
        known = desk.store.incident(incident_id.strip().upper())
        return desk.folder(known.id) / "record", records.entries_since(known), problems
