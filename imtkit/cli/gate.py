"""``imt gate``: see what waits for an answer, answer it, settle what nobody knows the end of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from imtkit.cli.arguments import INCIDENT
from imtkit.cli.face import Face, Noun, everywhere, pass_face, writes
from imtkit.model.gates import OUTCOMES
from imtkit.model.words import moment_text, one_line

if TYPE_CHECKING:
    from imtkit.config import Settings
    from imtkit.kit.gates import Waiting
    from imtkit.model.gates import Change, Gate
    from imtkit.model.incident import Run


@click.group(cls=Noun)
def gate() -> None:
    """See what waits for an answer, and answer it."""


@gate.command("list", examples=("imt gate list",))
@everywhere
@pass_face
def list_(face: Face) -> None:
    """List the gates and changes that wait, the longest waiting first.

    After them what a run that broke off left open: it is resumed, or its change settled. Last what
    keeps resolved incidents from being closed.
    """
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
    """Show a gate or a change: what is asked, of whom, and what was answered.

    GATE is its id, or how its id ends.
    """
    from imtkit.kit import gates, incidents
    from imtkit.model.gate_drawing import gate_state_in, gate_text

    with face.desk() as desk:
        incident = incidents.get(desk, incident_id)
    known = gates.gate_of(incident, gate_id)
    change = incident.change(known.id)
    said = gate_state_in(incident, known)
    face.give(change or known, lambda: gate_text(known, change, state=said))


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
    """Answer a gate, or approve or deny a change. The first answer stands.

    GATE is its id, or how its id ends: of several the one that waits.
    """
    from imtkit.kit import gates, incidents

    with face.desk() as desk:
        answered = gates.answer(desk, incident_id, gate_id, answer_, reason=reason)
        run = incidents.get(desk, incident_id).run(answered.run)
        next_ = _what_next(desk.settings, run) if run is not None else ""
    face.give(answered, _answered_line(answered))
    if next_:
        face.say(next_)


@gate.command(
    examples=(
        'imt gate settle INC-2026-0042 change-promote executed --reason "the replica takes writes"',
    )
)
@click.argument("incident_id", type=INCIDENT, metavar="ID")
@click.argument("change_id", metavar="CHANGE")
@click.argument("outcome", type=click.Choice(OUTCOMES))
@click.option("--reason", required=True, help="How you know; it stands in the log.")
@writes
@pass_face
def settle(face: Face, incident_id: str, change_id: str, outcome: str, reason: str) -> None:
    """Say how a change ended that was begun and whose end the log does not know.

    'executed': it was done; its run, resumed, verifies it. 'failed': it was not, or only in part.
    CHANGE is its id, or how its id ends.
    """
    from imtkit.kit import changes, running

    with face.desk() as desk:
        running.reap(desk, is_thorough=True)
        settled = changes.settle(desk, incident_id, change_id, outcome, reason=reason)
    face.give(settled, _settled_line(settled))


def _what_next(settings: Settings, run: Run) -> str:
    """What becomes of a run now that its gate is answered; empty where somebody has it in hand."""
    if run.is_over:
        from imtkit.kit.resume import RESUMABLE

        how = "was cancelled" if run.status == "cancelled" else f"is {run.status}"
        again = f" To go on all the same: imt runs resume {run.id}"
        return f"Its run {how}; nothing goes on.{again if run.status in RESUMABLE else ''}"
    if run.holder or run.status not in ("running", "waiting"):
        return ""
    from imtkit.lab import reach

    if reach.server_of(settings, run.id) is not None:
        return "Its run goes on by itself."
    if run.status != "waiting":
        return ""
    at_once = f"imt runs resume {run.id}"
    if run.requested_at is None:
        return f"Go on with it: {at_once}"
    return f"A worker goes on with its run within about a minute. To go on here and now: {at_once}"


def _lines(found: Sequence[Waiting]) -> str:
    return "\n".join(line for one in found for line in _waiting_lines(one))


def _waiting_lines(one: Waiting) -> tuple[str, str]:
    asked = one.gate
    who = f", asked of {' or '.join(asked.who)}" if asked.who else ""
    until = f", until {moment_text(asked.expires_at)}" if asked.expires_at else ""
    offered = " or ".join(asked.answers)
    said = f"{asked.question} ({offered}){who}{until}"
    if one.is_unsettled:
        settle = "if nobody is at it: see what it did, then imt gate settle"
        said = f"{asked.question} – begun, and the log does not say how it ended; {settle}"
    elif one.run_status:
        said += f"; its run is {one.run_status}, go on with: imt runs resume {asked.run}"
    if one.is_resolved:
        said += "; the incident is resolved, and not closed before this"
    return f"{one.incident} {asked.id}", f"  {one_line(said, most=400)}"


def _settled_line(settled: Change) -> str:
    lines = [f"{settled.title} – settled as {settled.settled_as}, by {settled.settled_by}"]
    if settled.state == "failed" and settled.rollback:
        lines.append(f"Rollback: {settled.rollback}")
    return "\n".join(one_line(line, most=400) for line in lines)


def _answered_line(answered: Gate) -> str:
    said = f"{answered.question} – {answered.answer}, by {answered.by}, {moment_text(answered.at)}"
    return one_line(said, most=400)
