"""Go on with a run where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imtkit.contracts import Query
from imtkit.errors import NotFoundError, StateError
from imtkit.kit import copies, incidents, runbooks
from imtkit.kit.desk import Desk
from imtkit.kit.files import write_whole
from imtkit.kit.runs import (
    Attempt,
    Control,
    OnStep,
    carry_out,
    lease_folder,
    run_key,
    surely_told,
    the_run,
)
from imtkit.kit.turns import UNFINISHED
from imtkit.model.entries import Draft
from imtkit.model.incident import QUEUED, Incident, Run, Summary
from imtkit.model.words import counted
from imtkit.runs import lease as leases
from imtkit.runs.conditions import StepEvent
from imtkit.runs.lease import process_told, this_process
from imtkit.runs.mend import agree
from imtkit.runs.notebook import (
    ExecutedNotebook,
    cells_that_stand,
    kept_cells,
    read_executed,
)
from imtkit.runs.parameters import checked_values
from imtkit.runs.runbook import read_runbook
from imtkit.runs.secrets import with_secrets

RESUMABLE = ("waiting", "failed", "timed-out", "kernel-died", "cancelled", "lost")


def find(desk: Desk, run_id: str) -> Run:
    """The run of this id, whichever incident it belongs to; NotFoundError when there is none."""
    id_ = run_id.strip()
    told = desk.store.find(run_key(id_), f"request/{id_}")
    if told is not None:
        return the_run(incidents.get(desk, told.incident), id_)
    known: list[str] = []
    for row in _likely(desk, id_):  # an alert may have asked for it, and it has not begun
        for run in desk.store.incident(row.id).runs:
            if run.id == id_:
                return run
            known.append(run.id)
    raise NotFoundError.of("Run", run_id, known, see="imt runs list")


def _likely(desk: Desk, run_id: str) -> list[Summary]:
    """The incidents that may have a run of this id. The likeliest come first: those that were
    opened about when it was asked for, as its id tells, among the newest and all that are not over.
    """
    rows = {row.id: row for row in desk.store.incidents()}
    try:
        at = datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:  # none of ours: the newest will do to say what it may have meant
        return list(rows.values())
    unfinished = desk.store.incidents(Query(statuses=UNFINISHED, limit=100_000))
    rows |= {row.id: row for row in unfinished}
    return sorted(rows.values(), key=lambda row: abs((row.opened_at or at) - at))


def resume(
    desk: Desk,
    run_id: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    on_step: OnStep | None = None,
    control: Control | None = None,
    tell: Callable[[str], None] | None = None,
) -> Run:
    """Go on with a run at its first step that did not complete.

    On a new kernel, cells tagged ``setup`` (and the parameters) run again first, so that later
    steps have what they need; cells tagged ``once`` that completed never do. On the kernel that
    ran the earlier steps (``control.is_same_kernel``) nothing that completed runs again.
    ``parameters`` correct values given earlier; the correction is logged, and so is every cell,
    or runbook, that somebody edited since. A run that somebody took over is given back to the
    machine by this. ``tell`` hears, before the first step, in words how it goes on. StateError
    when the run completed or is running, or another process keeps its kernel: of two who resume
    at once, one does.
    """
    from imtkit.runs.execute import check_kernel

    is_same_kernel = control is not None and control.is_same_kernel
    run = _begun(desk, run_id)
    output, left_on = _notebook(desk, run)
    runbook = read_runbook(output)
    corrections = checked_values(runbook.parameters, parameters or {}, runbook=run.runbook)
    check_kernel(runbook)
    with_secrets(runbook, {**run.parameters, **corrections})  # before anything is logged
    executed = read_executed(output)
    completed = {step.id for step in run.steps if step.status == "completed"}
    told = {
        "run": run.id,
        "edited": list(executed.edited),
        "runbook_changed": _has_changed(desk, run),
        "kernel": "the same" if is_same_kernel else "a new",
        "runner": asdict(this_process()),
        **({"left_on": left_on} if left_on else {}),
        **({"parameters": dict(corrections)} if corrections else {}),
    }
    _require_free(desk, run)
    with surely_told(desk, run.incident, run.id) as patient:
        _log_resumed(patient, run, told)
    if tell is not None:
        tell(_how(run, executed, is_same_kernel=is_same_kernel))
    again = the_run(incidents.get(desk, run.incident), run.id)
    values = again.parameters
    kept = kept_cells(executed, completed)
    if is_same_kernel:
        kept = cells_that_stand(executed, completed, are_values_new=bool(corrections))
        values = again.parameters if corrections else {}
    agree(output, _by_hand(again))
    attempt = Attempt(
        run.id, run.incident, runbook, values, output, again.attempt, kept, run.runbook
    )
    return carry_out(desk, attempt, on_step, control)


def _begun(desk: Desk, run_id: str) -> Run:
    run = find(desk, run_id)
    if run.status == QUEUED:
        raise StateError(
            f"Run {run.id} is queued; it begins when a worker has room for it.",
            hint="Start a worker: imt worker",
        )
    return run


def _log_resumed(desk: Desk, run: Run, told: Mapping[str, Any]) -> None:
    """Write down that a run goes on; StateError unless it may, and for whoever comes second."""

    def unless_going_on(incident: Incident) -> Sequence[Draft]:
        now = the_run(incident, run.id)
        if now.status not in RESUMABLE:
            raise StateError(
                f"Run {run.id} is {now.status}; it cannot be resumed.",
                hint=f"See it: imt incident show {incident.id}",
            )
        given = [desk.draft("run.given", {"run": run.id})] if now.holder else []
        return [*given, desk.draft("run.resumed", told)]

    desk.store.change(run.incident, unless_going_on)


def _require_free(desk: Desk, run: Run) -> None:
    """StateError when a living process other than this one keeps the run and its kernel."""
    runner = leases.runner_of(lease_folder(desk), run.id)
    if runner is not None and runner != this_process():
        raise StateError(
            f"Run {run.id} and its kernel are held by process {runner.pid} on this machine.",
            hint="End that one, or let it go on with the run.",
        )


def _how(run: Run, executed: ExecutedNotebook, *, is_same_kernel: bool) -> str:
    """How a run goes on: on which kernel, and what somebody has changed since it ran."""
    titles = {step.id: step.title or step.id for step in run.steps}
    done = [step.id for step in run.steps if step.status == "completed"]
    again = [cell.id for cell in executed.cells if "setup" in cell.tags and cell.id in done]
    words = f"Going on with {run.id} on the same kernel."
    if not is_same_kernel:
        setup = counted(len(again), "setup cell")
        lost = counted(len(done) - len(again), "other step")
        words = (
            f"Going on with {run.id} on a new kernel, beginning again with {setup}; "
            f"what {lost} made there is gone."
        )
    changed = ", ".join(f"'{titles.get(id_, id_)}'" for id_ in executed.edited)
    return f"{words} Changed since it ran: {changed}." if changed else words


def _by_hand(run: Run) -> dict[str, StepEvent]:
    """The steps that completed, as the log has them: what a person ran, the notebook may not."""
    return {
        step.id: StepEvent(step.id, at, step.title, step.status, step.started_at, step.finished_at)
        for at, step in enumerate(run.steps)
        if step.status == "completed" and step.started_at and step.finished_at
    }


def _notebook(desk: Desk, run: Run) -> tuple[Path, str]:
    """The run's notebook, and the machine that has what earlier steps printed, if not this one.

    One whose runner died before it wrote any gets the runbook's again. So does a worker's that
    is gone with its machine: the log knows which steps are not to be run again.
    """
    path = desk.settings.root / run.output_path
    if run.by_hand or not run.output_path:
        raise _nothing_to_go_on_with(run)
    is_workers = run.status == "lost" and run.requested_at is not None
    copies.fetch_run(desk, run, is_newest_lost=is_workers)
    left_on = "" if copies.is_newest_here(desk, run) else _machine_of(run)
    if path.is_file() and path.stat().st_size:
        return path, left_on
    if left_on and (not is_workers or _has_changed(desk, run)):
        raise _nothing_to_go_on_with(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, runbooks.find(desk.settings, run.runbook).path.read_bytes())
    return path, left_on


def _machine_of(run: Run) -> str:
    runner = process_told(run.runner)
    return runner.host if runner is not None else "another machine"


def _nothing_to_go_on_with(run: Run) -> NotFoundError:
    return NotFoundError(
        f"Run {run.id} has no notebook to go on with.",
        hint=f"Begin anew: imt run {run.runbook} --incident {run.incident}",
    )


def _has_changed(desk: Desk, run: Run) -> bool:
    """Whether the runbook is no longer what this run began with. The run goes on with its own."""
    try:
        return runbooks.find(desk.settings, run.runbook).sha256 != run.runbook_sha256
    except NotFoundError:
        return True
