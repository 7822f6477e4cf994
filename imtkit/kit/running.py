"""Runs while they go on: see them from elsewhere, end them, find those whose runner died."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from imtkit.contracts import Query
from imtkit.errors import NotFoundError, StateError
from imtkit.kit import incidents
from imtkit.kit.desk import Desk
from imtkit.kit.resume import find
from imtkit.kit.runs import cancel_key, ended_key, lease_folder, step_draft, the_run
from imtkit.kit.turns import in_hand
from imtkit.model.entries import AUTOMATION, Draft
from imtkit.model.incident import QUEUED, Incident, Run, Step
from imtkit.runs import lease as leases
from imtkit.runs import leftovers
from imtkit.runs.conditions import StepEvent
from imtkit.runs.lease import Process, process_told
from imtkit.runs.mend import DIED, ended_cells, mend

REAPER = f"{AUTOMATION}reaper"
_LOOKED_AT = 20
"""How many incidents are looked through for runs that left no lease."""


def list_(desk: Desk, *, incident_id: str = "", limit: int | None = None) -> list[Run]:
    """Runs, newest first: of one incident, or of this many incidents that were opened last.

    Without either, of the newest incidents and of all that are not over (see ``turns.in_hand``).
    """
    if incident_id:
        found = [incidents.get(desk, incident_id)]
    else:
        rows = in_hand(desk) if limit is None else desk.store.incidents(Query(limit=limit))
        found = [incidents.get(desk, row.id) for row in rows]
    runs = [run for incident in found for run in incident.runs if run.has_runner]
    return sorted(runs, key=lambda run: run.started_at, reverse=True)


def cancel(desk: Desk, run_id: str) -> Run:
    """Ask that a run end, wherever it runs; its runner notices within about a second.

    A run that is queued or parked ends at once. StateError when the run is over.
    """
    run = find(desk, run_id)

    def unless_over(incident: Incident) -> Sequence[Draft]:
        now = the_run(incident, run.id)
        if now.status not in (QUEUED, "running", "waiting"):
            raise StateError(f"Run {run.id} is {now.status}; there is nothing to end.")
        key = cancel_key(run.id, now.attempt)
        asked = desk.draft("run.cancel-requested", {"run": run.id}, key=key)
        if now.status == "running":
            return [asked]
        ended = {"run": run.id, "status": "cancelled", "error": f"cancelled by {desk.who()}"}
        return [asked, desk.draft("run.finished", ended, key=f"{key}/ended")]

    desk.store.change(run.incident, unless_over)
    return find(desk, run.id)


def reap(desk: Desk, *, is_thorough: bool = False) -> list[Run]:
    """End what dead runners of this host left behind; the runs that are now known to be lost.

    Their kernels are killed, and log and notebook say of each step what is true: the one that
    ran died with its runner, later ones did not run. Pools of kernels and folders of sockets
    whose owner is gone go too. Doing it twice changes nothing.
    ``is_thorough`` looks in the newest incidents too for runs that left no lease behind (the
    disk was full), and writes down what expired there.
    """
    lost = []
    for lease in leases.left_behind(lease_folder(desk)):
        leases.end_kernel(lease)
        run = bury(desk, lease.incident, lease.run, runner=lease.runner)
        leases.drop(lease_folder(desk), lease.run)
        lost += [run] if run else []
    leftovers.clear(lease_folder(desk))
    if not is_thorough:
        return lost
    found = [
        bury(desk, run.incident, run.id, runner=process_told(run.runner))
        for run in _without_runner(desk)
    ]
    return [*lost, *(run for run in found if run)]


def _without_runner(desk: Desk) -> list[Run]:
    """The runs that the log has as running and whose runner was on this host and is gone."""
    found = []
    for run in list_(desk, limit=_LOOKED_AT):
        runner = process_told(run.runner) if run.status == "running" else None
        if runner is not None and runner.is_gone:
            found.append(run)
    return found


def bury(desk: Desk, incident_id: str, run_id: str, *, runner: Process | None = None) -> Run | None:
    """Log the truth of a run whose runner is gone, and mend its notebook; None when it ended, or
    when it has another runner than ``runner`` by now.
    """
    reaper = desk.acting_as(REAPER, "reaper")
    at = desk.clock.now()
    try:
        run = incidents.get(desk, incident_id).run(run_id)
    except NotFoundError:  # the lease is of another log's
        return None
    now_at = process_told(run.runner) if run is not None else None
    if run is None or (runner and now_at and not runner.speaks_for(now_at)):
        return None
    path = desk.settings.root / run.output_path
    ended = ended_cells(path)
    died = {
        step.id: step.started_at or at
        for step in run.steps
        if step.status == "running" and step.id not in ended
    }
    mend(path, died, at)

    def unless_known(incident: Incident) -> Sequence[Draft]:
        now = the_run(incident, run_id)
        if now.status != "running" or now.attempt != run.attempt:
            return []
        key = ended_key(incident_id, run_id, now.attempt)
        told = {"run": run_id, "status": "lost", "error": DIED}
        steps = [
            step_draft(reaper, run_id, _truth(step, ended.get(step.id), at))
            for step in now.steps
            if step.status == "running"
        ]
        return [*steps, reaper.draft("run.finished", told, key=key)]

    if not desk.store.change(incident_id, unless_known):
        return None
    return the_run(incidents.get(desk, incident_id), run_id)


def _truth(step: Step, ended: StepEvent | None, at: datetime) -> StepEvent:
    """How a step ended that the log last saw running: as its notebook has it, else with us."""
    began = step.started_at or at
    if ended is None:
        return StepEvent(step.id, step.index or 0, step.title, "kernel-died", began, at, DIED)
    return replace(ended, title=step.title)
