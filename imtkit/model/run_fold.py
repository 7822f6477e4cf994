"""What each entry of a run changes: requested, started, parked, resumed, finished; its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from imtkit.model.entries import Entry
from imtkit.model.entry_data import number_of, table_of, text_of, time_of
from imtkit.model.incident import QUEUED, WITHOUT_RUNNER, Incident, Run, Step


def _put_run(incident: Incident, made: Run) -> Incident:
    if incident.run(made.id) is None:
        return replace(incident, runs=(*incident.runs, made))
    return replace(incident, runs=tuple(made if r.id == made.id else r for r in incident.runs))


def _run_requested(incident: Incident, entry: Entry) -> Incident:
    id_ = text_of(entry, "run")
    if not id_ or incident.run(id_) is not None:
        return incident  # a second request of the same run asks for nothing
    asked = Run(
        id=id_,
        runbook=text_of(entry, "runbook"),
        status=QUEUED,
        actor=entry.actor,
        started_at=entry.occurred_at,
        incident=incident.id,
        title=text_of(entry, "title"),
        parameters=table_of(entry, "parameters"),
        rule=text_of(entry, "rule"),
        requested_at=entry.occurred_at,
    )
    return _put_run(incident, asked)


def _run_started(incident: Incident, entry: Entry) -> Incident:
    asked = incident.run(text_of(entry, "run"))
    begun = Run(
        id=text_of(entry, "run"),
        runbook=text_of(entry, "runbook"),
        status=_first_status(entry),
        actor=entry.actor,
        started_at=entry.occurred_at,
        incident=incident.id,
        title=text_of(entry, "title", asked.title if asked else ""),
        by_hand=entry.data.get("by_hand") is True,
        parameters=table_of(entry, "parameters"),
        output_path=text_of(entry, "output"),
        runbook_sha256=text_of(entry, "runbook_sha256"),
        runner=table_of(entry, "runner"),
        steps=_planned(entry),
        rule=asked.rule if asked else "",
        requested_at=asked.requested_at if asked else None,
    )
    return _put_run(incident, begun)


def _first_status(entry: Entry) -> str:
    """Nobody says when they leave a notebook: a sitting neither runs nor completes."""
    if entry.data.get("by_hand") is True:
        return "by hand"
    return WITHOUT_RUNNER if entry.data.get("without_runner") is True else "running"


def _planned(entry: Entry) -> tuple[Step, ...]:
    """The steps a run means to take: until one begins, the truth is that it did not run."""
    planned = entry.data.get("steps")
    return tuple(
        Step(str(step.get("step", "")), "not-run", str(step.get("title", "")))
        for step in (planned if isinstance(planned, (list, tuple)) else ())
        if isinstance(step, Mapping)
    )


def _run_finished(incident: Incident, entry: Entry) -> Incident:
    run = incident.run(text_of(entry, "run"))
    if run is None:
        return incident
    ended = replace(
        run,
        status=text_of(entry, "status"),
        finished_at=entry.occurred_at,
        error=text_of(entry, "error"),
        # What failed may still be in somebody's hands; what was cancelled or completed is over.
        holder="" if text_of(entry, "status") in ("cancelled", "completed") else run.holder,
    )
    return _put_run(incident, ended)


def _run_parked(incident: Incident, entry: Entry) -> Incident:
    run = incident.run(text_of(entry, "run"))
    if run is None:
        return incident
    return _put_run(incident, replace(run, status="waiting", error=text_of(entry, "error")))


def _run_resumed(incident: Incident, entry: Entry) -> Incident:
    run = incident.run(text_of(entry, "run"))
    if run is None:
        return incident
    given = {**run.parameters, **table_of(entry, "parameters")}
    again = replace(
        run,
        status="running",
        attempt=run.attempt + 1,
        parameters=given,
        runner=table_of(entry, "runner"),
        finished_at=None,
        error="",
        resumed_by=entry.actor,
        resumed_at=entry.occurred_at,
    )
    return _put_run(incident, again)


def _run_held(incident: Incident, entry: Entry) -> Incident:
    run = incident.run(text_of(entry, "run"))
    if run is None:
        return incident
    holder = entry.actor if entry.type == "run.taken" else ""
    return _put_run(incident, replace(run, holder=holder))


def _step(incident: Incident, entry: Entry) -> Incident:
    run = incident.run(text_of(entry, "run"))
    if run is None:
        return incident
    is_start = entry.type == "step.started"
    id_ = text_of(entry, "step")
    old = next((s for s in run.steps if s.id == id_), None)
    ended_at = None if is_start else entry.occurred_at
    begun_at = entry.occurred_at if is_start else time_of(entry, "started_at")
    step = Step(
        id=id_,
        status="running" if is_start else text_of(entry, "status"),
        title=text_of(entry, "title", old.title if old else ""),
        index=number_of(entry, "index") if "index" in entry.data else (old.index if old else None),
        started_at=begun_at or (old.started_at if old else None),
        finished_at=time_of(entry, "finished_at") or ended_at,
        error=text_of(entry, "error"),
        actor=entry.actor,
    )
    steps = tuple(step if s.id == id_ else s for s in run.steps) if old else (*run.steps, step)
    return _put_run(incident, replace(run, steps=steps))


RUN_ENTRIES: Mapping[str, Callable[[Incident, Entry], Incident]] = {
    "run.requested": _run_requested,
    "run.started": _run_started,
    "run.parked": _run_parked,
    "run.resumed": _run_resumed,
    "run.taken": _run_held,
    "run.given": _run_held,
    "run.finished": _run_finished,
    "step.started": _step,
    "step.finished": _step,
}
"""Types of entries -> the incident after one more of them."""
