"""``imt alerts``: take in alerts."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imtkit.cli.face import Face, Noun, everywhere, pass_face
from imtkit.errors import InputError
from imtkit.model.words import one_line

if TYPE_CHECKING:
    from imtkit.kit import Desk
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
        sender = kit.source_named(desk.settings, source)
        outcomes = kit.receive(desk, body, source=sender)
        hints = [_next(desk, one) for one in outcomes if one.action == "opened" and one.runbooks]
    face.give(outcomes, "\n".join(map(_line, outcomes)) or "The payload holds no alert.")
    for hint in hints:
        face.say(hint)


def _next(desk: Desk, outcome: Outcome) -> str:
    """The command to type next, with what the alert says of the runbook's parameters.

    An address made of a label ``instance`` is only proposed: a person reads it before it runs.
    """
    from imtkit.kit import alerts as kit
    from imtkit.kit import incidents, runbooks

    alert = next(
        one
        for one in incidents.get(desk, outcome.incident).alerts
        if one.fingerprint == outcome.fingerprint
    )
    book = runbooks.find(desk.settings, outcome.runbooks[0])
    given = kit.parameters_for(book, alert)
    needed = {one.name for one in book.parameters if one.is_required} - set(given)
    if "url" in needed and (instance := alert.labels.get("instance")):
        given["url"] = f"http://{instance}/"
    words = [f"-p {shlex.quote(f'{name}={value}')}" for name, value in given.items()]
    words += [f"-p {name}=…" for name in sorted(needed - set(given))]
    command = " ".join([f"imt run {book.name}", *words, f"--incident {outcome.incident}"])
    return f"Next: {one_line(command, most=1000)}"


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
