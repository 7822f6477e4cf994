"""From the machine to a person, and back: who has a run in hand."""

from __future__ import annotations

from collections.abc import Sequence

from imtkit.errors import AuthorityError, StateError
from imtkit.kit import copies, expiry, incidents, unsent
from imtkit.kit.desk import Desk
from imtkit.kit.resume import RESUMABLE, find
from imtkit.kit.runs import cancel_key, take_key, the_run
from imtkit.model.entries import Draft, is_automation
from imtkit.model.incident import Incident, Run


def take(desk: Desk, run_id: str) -> Run:
    """Take a run over from the machine; it is this person's until it is given back.

    A run that still runs ends the step it is at, and waits then. Who takes what they hold
    already changes nothing; what another person holds passes on to this one. AuthorityError for
    a machine, StateError when the run is over.
    """
    if is_automation(desk.who()):
        raise AuthorityError("A run is taken over by a person, not by a machine.")
    run = find(desk, run_id)
    if run.status in RESUMABLE:
        copies.fetch_run(desk, run)  # it may have run on another machine

    def unless_held(incident: Incident) -> Sequence[Draft]:
        now = the_run(incident, run.id)
        if not now.has_runner or now.status not in ("running", *RESUMABLE):
            raise StateError(
                f"Run {run.id} is {now.status}; there is nothing to take over.",
                hint=f"Its notebook: {now.output_path}" if now.output_path else "",
            )
        if desk.store.find(cancel_key(run.id, now.attempt)) and now.status == "running":
            raise StateError(
                f"Run {run.id} is being cancelled; it can be resumed when it has ended.",
                hint=f"See it: imt runs show {run.id} --follow",
            )
        if now.holder == desk.who():
            return []
        # The runner finds the first wish of its attempt by its key, whoever holds it later.
        key = take_key(run.id, now.attempt) if not now.holder else None
        return [desk.draft("run.taken", {"run": run.id}, key=key)]

    desk.store.change(run.incident, unless_held)
    taken = find(desk, run.id)
    # What they do in its notebook is to be sent, too.
    unsent.note(desk, taken.incident, taken.id, taken.attempt)
    return taken


def may_go_on(desk: Desk, run_id: str) -> bool:
    """Whether a parked run that nobody holds got its answer, so that it goes on by itself.

    No answer in time is one too: it leads to the cells for a denial.
    """
    run = find(desk, run_id)
    incident = incidents.get(desk, run.incident)
    if run.holder:
        return False
    if expiry.has_ended(incident, run):
        return True
    if run.status != "waiting":
        return False
    asked = [gate for gate in incident.asked_gates if gate.run == run.id]
    began = [step.started_at for step in run.steps if step.status == "waiting"]
    # An answer that its step has seen already is not what it waits for.
    is_answered = any(g.at and since and g.at >= since for g in asked for since in began)
    return is_answered and not any(gate.is_waiting for gate in asked)


def require_held(run: Run) -> Run:
    """The run, when somebody holds it; StateError says how else it goes on."""
    if run.holder:
        return run
    raise StateError(
        f"Nobody has taken run {run.id} over; it is {run.status}.",
        hint=f"Go on with it: imt runs resume {run.id}" if run.status in RESUMABLE else "",
    )
