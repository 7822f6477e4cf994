"""``imt alerts``: take in alerts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imtkit.cli.face import Face, Noun, everywhere, pass_face
from imtkit.errors import InputError
from imtkit.model.words import one_line

if TYPE_CHECKING:
    from imtkit.kit.alerts import Outcome

MOST_BYTES = 10_000_000
_WORDS = {
    "opened": "opened {incident}",
    "joined": "joined {incident}",
    "known": "known already, in {incident}",
    "resolved": "over; {incident} says so",
    "unknown": "over, and was never heard of",
}


@click.group(cls=Noun)
def alerts() -> None:
    """Take in alerts."""


@alerts.command(
    examples=(
        "imt alerts replay payload.json",
        "curl … | imt alerts replay -",
    )
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--source", default="alertmanager", show_default=True, help="Who wrote the payload.")
@everywhere
@pass_face
def replay(face: Face, file: str, source: str) -> None:
    """Take in a webhook's payload from a file, as if it had just been posted; '-' is stdin."""
    from imtkit.kit import alerts as kit

    body = _read(file)
    with face.desk() as desk:
        outcomes = kit.receive(desk, body, source=source)
    face.give(outcomes, "\n".join(map(_line, outcomes)) or "The payload holds no alert.")
    for outcome in outcomes:
        for name in outcome.runbooks[:1] if outcome.action == "opened" else ():
            face.say(f"Next: imt run {name} --incident {outcome.incident}")


def _read(file: str) -> bytes:
    try:
        body = sys.stdin.buffer.read(MOST_BYTES + 1) if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error
    if len(body) > MOST_BYTES:
        raise InputError(f"{file} is larger than {MOST_BYTES:,} bytes; no sender writes that much.")
    return body


def _line(outcome: Outcome) -> str:
    what = _WORDS.get(outcome.action, outcome.action).format(incident=outcome.incident)
    answers = f" (runbooks: {', '.join(outcome.runbooks)})" if outcome.runbooks else ""
    return one_line(f"{outcome.alert}: {what}{answers}", most=300)
