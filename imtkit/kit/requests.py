"""Runs that are asked for and wait for a worker: ask for them, queue them, carry them out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from imtkit.config import Settings
from imtkit.contracts import Query
from imtkit.errors import ImtkitError, InputError, NotFoundError, StateError
from imtkit.kit import handover, incidents, resume, runbooks, running
from imtkit.kit.desk import Desk
from imtkit.kit.runs import (
    Control,
    OnStep,
    incident_of_mode,
    new_run_id,
    open_for,
    start,
    the_run,
)
from imtkit.kit.turns import UNFINISHED
from imtkit.model.entries import AUTOMATION, Draft, is_automation
from imtkit.model.entry_data import number_of, text_of
from imtkit.model.incident import QUEUED, Incident, Run
from imtkit.runs import lease as leases
from imtkit.runs import queue as queues
from imtkit.runs.lease import Process, process_told, this_process
from imtkit.runs.parameters import checked_values
from imtkit.runs.queue import LAST, Queue, Request
from imtkit.runs.runbook import Runbook

WORKER_ENDS = "its worker was told to end; another worker goes on with it"
"""Why a requested run stopped that is to be gone on with, although nobody cancelled it."""

MOST_ATTEMPTS = 5
"""How often a run is begun whose workers die: one of them may die of the run itself."""

IsGone = Callable[[Process], bool]
"""Whether a process that was a worker has ended, on whichever machine it was."""


def request(
    desk: Desk,
    incident_id: str,
    name: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    mode: str = "",
    priority: int = LAST,
) -> Run:
    """Ask for a run of a runbook; it is queued, and a worker takes it when it is its turn.

    ``priority`` 1 comes first. Without an incident ('') one is opened, in this mode (live); a
    named one must be of it. NotFoundError and ParameterError as when it is run at once,
    InputError for a notebook that workers would not find by its name. Who asks has it put in the
    queue with ``enqueue_requested``.
    """
    runbook = runbooks.find(desk.settings, name)
    _require_known(desk.settings, runbook)
    values = checked_values(runbook.parameters, parameters or {}, runbook=runbook.name)
    if incident_id:
        incident = incident_of_mode(desk, incident_id, mode)
    else:
        incident = open_for(desk, runbook, mode)
    about = {
        "run": new_run_id(desk.clock.now()),
        "runbook": runbook.name,
        "title": runbook.title,
        "parameters": dict(values),
        "priority": priority,
    }
    asked = desk.draft("run.requested", about, key=f"request/{about['run']}")
    desk.store.append(incident.id, asked)
    return the_run(incidents.get(desk, incident.id), str(about["run"]))


def _require_known(settings: Settings, runbook: Runbook) -> None:
    """InputError unless the runbook's name leads to it: a worker is told no more than that."""
    with suppress(NotFoundError):
        if runbooks.find(settings, runbook.name).path.samefile(runbook.path):
            return
    raise InputError(
        f"{runbook.path} is none of the workspace's runbooks; a worker would not find it.",
        hint="Put it into runbooks/, or run it here: leave --queue out.",
    )


def open_queue(settings: Settings) -> Queue:
    """The queue of the workspace's log, with the bell that its workers listen at.

    Nothing is loaded or connected before it is used. ConfigError when the log is in memory.
    """
    from imtkit.store.bell import open_bell

    name = this_process().name
    return queues.open_queue(settings, open_bell(settings.store_url, settings.leases, name))


def enqueue_requested(
    desk: Desk, queue: Queue, *, incident_ids: Collection[str] | None = None
) -> list[str]:
    """Put every requested run in the queue that a worker is to begin, or to go on with; their ids.

    Those are the queued ones that are not there, those that got the answer they wait for (the
    worker that kept its kernel goes on with such a run by itself, unless it is gone), and those
    that go on in the log alone: their runner is missed. Looks at these incidents, or else at all
    that are not closed. StoreError when the queue cannot be reached.
    """
    from imtkit.store.engine import faults

    if incident_ids is None:
        found = desk.store.incidents(Query(statuses=UNFINISHED, limit=100_000))
        incident_ids = [row.id for row in found]
    asked: dict[Request, int] = {}
    runners: dict[str, Process] = {}
    for incident_id in incident_ids:
        incident = incidents.get(desk, incident_id)
        asked.update(_asked_for(desk, incident))
        runners.update(_runners(incident))
    with faults("of queued runs"):
        missing = queue.missing(set(runners.values()))
        alive = {run_id for run_id, runner in runners.items() if runner not in missing}
        return queue.enqueue({one: rank for one, rank in asked.items() if one.run not in alive})


def _asked_for(desk: Desk, incident: Incident) -> dict[Request, int]:
    """The requested runs that are a worker's to do, with their priority.

    One that goes on is, should its runner be gone: it may have no place in the queue any more.
    """
    due = set(_runners(incident)) | {
        run.id
        for run in incident.runs
        if run.status == QUEUED
        or (run.requested_at and run.status == "waiting" and handover.may_go_on(desk, run.id))
        or (run.requested_at and not run.holder and _is_cut_short(run))
    }
    found: dict[Request, int] = {}
    for entry in incident.entries if due else ():
        run_id = text_of(entry, "run")
        if entry.type == "run.requested" and run_id in due:
            found.setdefault(Request(run_id, incident.id), number_of(entry, "priority") or LAST)
    return found


def _runners(incident: Incident) -> dict[str, Process]:
    """Who carries out the requested runs that go on, by their ids."""
    told = {
        run.id: process_told(run.runner)
        for run in incident.runs
        if run.requested_at and run.status == "running"
    }
    return {run_id: runner for run_id, runner in told.items() if runner is not None}


def find(desk: Desk, asked: Request) -> Run:
    """What the log says of a requested run; NotFoundError when it says nothing."""
    return the_run(incidents.get(desk, asked.incident), asked.run)


def carry_out(
    desk: Desk,
    asked: Request,
    *,
    is_gone: IsGone,
    on_step: OnStep | None = None,
    control: Control | None = None,
) -> Run:
    """Bring a requested run to its end, or to where a person is needed; the run afterwards.

    Called again, after the death of the worker that was at it: what never began begins; what
    stopped with its worker is resumed, on a new kernel; all else is as it should be, and stays.
    An error that is not ``retryable`` and kept it from beginning, or from going on, ends it as
    failed: a person may mend the reason and resume it. It is carried out in the name of whoever
    asked for it: a person, or a rule.
    """
    run = find(desk, asked)
    desk = _in_the_name_of(desk, run)
    if run.status == QUEUED:
        return _begin(desk, asked, run, on_step=on_step, control=control)
    run = _without_the_dead(desk, run, is_gone)
    if not _is_to_go_on(desk, run, is_gone):
        return run
    try:
        return resume.resume(desk, run.id, on_step=on_step, control=control)
    except StateError:
        return find(desk, asked)  # somebody else has just gone on with it
    except ImtkitError as error:
        if not error.retryable:
            _give_up(desk, run, error)
        raise


def _in_the_name_of(desk: Desk, run: Run) -> Desk:
    actor = f"{AUTOMATION}{run.rule}" if run.rule else run.actor
    return desk.acting_as(actor, "alert" if is_automation(actor) else desk.source)


@contextmanager
def in_sight(desk: Desk, run: Run) -> Iterator[None]:
    """While a requested run goes on in this process, which is no worker's, workers of other
    machines see that it lives. With the log in a file all are on one machine: the system tells.
    """
    from imtkit.store.presence import open_presence

    settings = desk.settings
    if not run.requested_at or not settings.store_url.startswith("postgres"):
        yield
        return
    presence = open_presence(settings.store_url, settings.leases, this_process().name)
    presence.hold()
    try:
        yield
    finally:
        presence.let_go()


def _begin(
    desk: Desk, asked: Request, run: Run, *, on_step: OnStep | None, control: Control | None
) -> Run:
    try:
        return start(
            desk,
            run.runbook,
            incident_id=asked.incident,
            run_id=run.id,
            parameters=run.parameters,
            on_step=on_step,
            control=control,
        )
    except ImtkitError as error:
        if find(desk, asked).status != QUEUED:
            if isinstance(error, StateError):
                return find(desk, asked)  # another worker began it, or a person cancelled it
            raise
        if not error.retryable:
            _give_up(desk, run, error)
        raise


def _give_up(desk: Desk, run: Run, error: ImtkitError) -> None:
    """Write down that a requested run cannot begin, or go on, and why."""

    def unless_it_did(incident: Incident) -> Sequence[Draft]:
        now = the_run(incident, run.id)
        if (now.status, now.attempt) != (run.status, run.attempt):
            return []
        why = str(error) if run.status == QUEUED else f"It cannot go on: {error}"
        return [desk.draft("run.finished", {"run": run.id, "status": "failed", "error": why})]

    desk.store.change(run.incident, unless_it_did)


def _without_the_dead(desk: Desk, run: Run, is_gone: IsGone) -> Run:
    """The run as it stands once it is known whether its runner is alive."""
    running.reap(desk)  # ends the kernels that dead workers of this machine left behind
    runner = process_told(run.runner)
    if run.status == "running" and runner is not None and is_gone(runner):
        # To know it may have taken a while, in which another went on with the run.
        running.bury(desk, run.incident, run.id, runner=runner)
    lease = leases.runner_of(desk.settings.leases, run.id)
    is_left = lease is not None and is_gone(lease)  # by a machine that this one cannot see into
    if is_left and leases.runner_of(desk.settings.leases, run.id) == lease:
        leases.drop(desk.settings.leases, run.id)
    return the_run(incidents.get(desk, run.incident), run.id)


def _is_to_go_on(desk: Desk, run: Run, is_gone: IsGone) -> bool:
    """Whether a run stopped for no other reason than that its worker did, or has its answer."""
    if run.holder:
        return False
    if run.status == "waiting":
        runner = process_told(run.runner)
        is_kept = runner is not None and not is_gone(runner)  # it goes on there, on its kernel
        return not is_kept and handover.may_go_on(desk, run.id)
    return _is_cut_short(run)


def _is_cut_short(run: Run) -> bool:
    """Whether it stopped only because its worker did, and may be begun once more."""
    is_handed_on = run.status == "cancelled" and run.error == WORKER_ENDS
    return is_handed_on or (run.status == "lost" and run.attempt < MOST_ATTEMPTS)
