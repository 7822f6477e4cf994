"""``imt outputs``: what runs leave behind, where imt.toml has it sent."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from imtkit.cli.arguments import INCIDENT
from imtkit.cli.face import Face, Noun, everywhere, pass_face
from imtkit.errors import ServiceError
from imtkit.model.words import counted

if TYPE_CHECKING:
    from imtkit.kit import Desk


@click.group(cls=Noun)
def outputs() -> None:
    """Send what runs leave behind to its address, or fetch it."""


@outputs.command("list", examples=("imt outputs list",))
@everywhere
@pass_face
def list_(face: Face) -> None:
    """Show what is still to be sent from this workspace, and why it was not."""
    from imtkit.kit import outputs as sending

    with face.desk() as desk:
        state, address = sending.waiting(desk), desk.settings.depot.address
    where = address or "nowhere: imt.toml names no address, and they stay in outputs/"
    lines = [f"Outputs are sent to {where}."]
    lines += [f"{incident_id} is still to be sent." for incident_id in state.waiting]
    lines += [f"The last try: {state.fault}"] if state.fault else []
    face.give({"address": address, **asdict(state)}, "\n".join(lines))


@outputs.command(examples=("imt outputs send", "imt outputs send --all"))
@click.option("--all", "is_everything", is_flag=True, help="Compare every incident's folder.")
@everywhere
@pass_face
def send(face: Face, is_everything: bool) -> None:
    """Send what is still to be sent; workers do it by themselves.

    --all is for outputs from before there was an address.
    """
    from imtkit.kit import outputs as sending

    with face.desk() as desk:
        done = sending.send(desk, is_everything=is_everything)
        address = desk.settings.depot.address
    lines = [f"{counted(done.files, 'file')} sent to {address}."]
    lines += [f"{one} has a run that goes on; it is sent when it ends." for one in done.waiting]
    face.give({"address": address, **asdict(done)}, "\n".join(lines))


@outputs.command(examples=("imt outputs fetch INC-2026-0042",))
@click.argument("incident_id", type=INCIDENT, metavar="ID")
@everywhere
@pass_face
def fetch(face: Face, incident_id: str) -> None:
    """Bring an incident's notebooks, files and record here from where they were sent."""
    from imtkit.kit import copies

    with face.desk() as desk:
        problems = copies.fetch_incident(desk, incident_id)
        copies.fetch_record(desk, incident_id)
        folder = desk.folder(incident_id)
    face.give({"incident": incident_id, "folder": folder, "problems": problems}, str(folder))
    for problem in problems:
        face.say(problem)
    if problems:
        raise ServiceError(f"Not all of {incident_id} could be fetched.")


def say_unsent(face: Face, desk: Desk, why: str = "") -> None:
    """Say that what was just made could not be sent, if so; it is sent later.

    ``why`` is what the sending said, where the caller had it: what it says of a folder that
    cannot be written cannot be kept in it.
    """
    from imtkit.kit import outputs as sending

    fault = sending.waiting(desk).fault
    if why or fault:
        face.say(why or f"Not sent yet: {fault} Later: imt outputs send")
