"""What of an incident still goes on, in words: for whoever means to say that it is over."""

from __future__ import annotations

from imtkit.model.incident import QUEUED, Incident, Run
from imtkit.model.words import one_line

_STATES = {
    QUEUED: "waits for a worker",
    "running": "runs",
    "waiting": "waits for a person",
}
_MOST_NAMED = 5


def firing(incident: Incident) -> tuple[str, ...]:
    """A sentence about the alerts that fire, by name; empty when none does."""
    names = [one.name or one.fingerprint for one in incident.alerts if one.status == "firing"]
    if not names:
        return ()
    several = sorted(set(names))
    named = ", ".join(several[:_MOST_NAMED]) + (" …" if len(several) > _MOST_NAMED else "")
    many = "1 alert still fires" if len(names) == 1 else f"{len(names)} alerts still fire"
    return (one_line(f"{many}: {named}.", most=300),)


def unfinished(incident: Incident, *, but: str = "") -> tuple[str, ...]:
    """A sentence for each run that has not ended, each gate that waits without one, and each
    change whose end nobody knows. ``but`` is a run that is left out: the one that asks.
    """
    going = [run for run in incident.runs if run.status in _STATES and run.id != but]
    known = {run.id for run in going} | ({but} if but else set())
    said = [_going(incident, run) for run in going if run.has_runner]
    said += [
        f"Nobody has answered '{gate.question}' ({gate.id})."
        for gate in incident.waiting_gates
        if gate.run not in known
    ]
    said += [
        f"A change was begun, and the log does not say how it ended: {change.title} ({change.id})."
        for change in incident.changes
        if change.state == "begun" and change.gate.run not in known
    ]
    return tuple(one_line(one, most=300) for one in said)


def _going(incident: Incident, run: Run) -> str:
    asked = [one.question for one in incident.waiting_gates if one.run == run.id]
    what = f": {asked[-1]}" if asked else "."
    return f"Run {run.id} of '{run.runbook}' {_STATES[run.status]}{what}"
