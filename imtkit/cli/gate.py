"""``imt gate``: see what waits for an answer, and answer it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from imtkit.cli.arguments import INCIDENT
from imtkit.cli.face import Face, Noun, everywhere, pass_face, writes
from imtkit.model.words import moment_text, one_line

if TYPE_CHECKING:
    from imtkit.kit.gates import Waiting
    from imtkit.model.gates import Gate


@click.group(cls=Noun)
def gate() -> None:
    """See what waits for an answer, and answer it."""


@gate.command("list", examples=("imt gate list",))
@everywhere
@pass_face
def list_(face: Face) -> None:
    """List the gates and changes that wait, the longest waiting first."""
    from imtkit.kit import gates

    with face.desk() as desk:
        found = gates.waiting(desk)
    if found or face.is_json:
        face.give(found, lambda: _lines(found))
    else:
        face.say("Nothing waits for an answer.")


@gate.command(examples=("imt gate show INC-2026-0042 fail-over",))
@click.argument("incident_id", type=INCIDENT, metavar="ID")
@click.argument("gate_id", metavar="GATE")
@everywhere
@pass_face
def show(face: Face, incident_id: str, gate_id: str) -> None:
    """Show a gate or a change: what is asked, of whom, and what was answered."""
    from imtkit.kit import gates
    from imtkit.model.gate_drawing import gate_text

    with face.desk() as desk:
        known = gates.state(desk, incident_id, gate_id)
        change = desk.store.incident(incident_id).change(gate_id)
    face.give(change or known, lambda: gate_text(known, change))


@gate.command(
    examples=(
        'imt gate answer INC-2026-0042 fail-over yes --reason "the lag is zero"',
        "imt gate answer INC-2026-0042 change-promote-the-replica approve",
    )
)
@click.argument("incident_id", type=INCIDENT, metavar="ID")
@click.argument("gate_id", metavar="GATE")
@click.argument("answer_", metavar="ANSWER")
@click.option("--reason", default="", help="Why; it stands in the log beside the answer.")
@writes
@pass_face
def answer(face: Face, incident_id: str, gate_id: str, answer_: str, reason: str) -> None:
    """Answer a gate, or approve or deny a change. The first answer stands."""
    from imtkit.kit import gates

    with face.desk() as desk:
        answered = gates.answer(desk, incident_id, gate_id, answer_, reason=reason)
    face.give(answered, _answered_line(answered))


def _lines(found: Sequence[Waiting]) -> str:
    return "\n".join(line for one in found for line in _waiting_lines(one))


def _waiting_lines(one: Waiting) -> tuple[str, str]:
    asked = one.gate
    who = f", asked of {' or '.join(asked.who)}" if asked.who else ""
    until = f", until {moment_text(asked.expires_at)}" if asked.expires_at else ""
    offered = " or ".join(asked.answers)
    return (
        f"{one.incident} {asked.id}",
        f"  {one_line(f'{asked.question} ({offered}){who}{until}', most=400)}",
    )


def _answered_line(answered: Gate) -> str:
    said = f"{answered.question} – {answered.answer}, by {answered.by}, {moment_text(answered.at)}"
    return one_line(said, most=400)
