"""Run runbooks, and log the steps of runs and of sittings by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from imtkit.contracts import Decide
from imtkit.errors import (
    ImtkitError,
    InputError,
    NotFoundError,
    StateError,
    StepError,
    StoreDownError,
    StoreError,
    WaitingError,
)
from imtkit.kit import incidents, runbooks, unsent
from imtkit.kit.desk import Desk
from imtkit.kit.expectation import expected, with_expected
from imtkit.model.entries import Draft, utc_text
from imtkit.model.gates import ANEW
from imtkit.model.incident import QUEUED, Incident, Run
from imtkit.model.opening import Opening
from imtkit.runs import lease as leases
from imtkit.runs.conditions import Conditions, Journal, StepEvent
from imtkit.runs.denial import is_denial, outcome
from imtkit.runs.kernels import KernelFor
from imtkit.runs.lease import Lease, process_told, this_process
from imtkit.runs.parameters import checked_values
from imtkit.runs.runbook import Runbook
from imtkit.runs.secrets import with_secrets
from imtkit.runs.stop import Stop
from imtkit.store.patience import patiently, with_keys

OUTAGE_SECONDS = 40.0
"""How long a run waits for its log where that is away: no step begins that the log does not have.
A worker that is cut off for longer may have lost its runs to another.
"""

OnStep = Callable[[StepEvent], None]
"""Is shown each step as it begins and ends; what it does cannot change the run."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One going at a run. ``runbook`` is the notebook to run: on resuming, the run's own output.

    ``kept`` are the cells, by id, that completed before and are not run again. ``values`` are
    empty where the kernel that goes on has them already. ``name`` is what the runbook is called
    in the log, if not as its notebook.
    """

    run_id: str
    incident_id: str
    runbook: Runbook
    values: Mapping[str, Any]
    output: Path
    number: int = 1
    kept: frozenset[str] = frozenset()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """How a run is carried out: on which kernel, and how it may end before its end.

    Its limits are seconds for each step and for all. One that is not given is the runbook's own
    (``step_seconds`` and ``run_seconds`` in its metadata), if it has one; a cell's own
    (``timeout_seconds``) wins over both. Without ``kernel`` a run starts its own, and ends it;
    ``is_same_kernel``: it is the one that ran the earlier steps of a run that goes on.
    ``foresee`` is told which kernel, in which folder, a new run is about to want, as soon as
    that is sure; only for a Python kernel, which can be told later which run it is of.
    """

    step_seconds: float | None = None
    run_seconds: float | None = None
    stop: Stop = field(default_factory=Stop)
    kernel: KernelFor | None = None
    is_same_kernel: bool = False
    foresee: Callable[[str, Path], None] | None = None


def start(  # noqa: PLR0913 # each is an option of `imt run`
    desk: Desk,
    name: str,
    *,
    incident_id: str = "",
    run_id: str = "",
    parameters: Mapping[str, Any] | None = None,
    mode: str = "",
    on_step: OnStep | None = None,
    control: Control | None = None,
) -> Run:
    """Run a runbook and return the run as the log has it, completed or not.

    Parameters are checked before anything is stored. Without an incident one is opened, in
    this mode (live); a named one must be of it. NotFoundError, ParameterError and KernelError
    come before anything runs; a step that fails is not raised (see ``require_completed``).
    With ``run_id`` it is the run that was requested under that id in this incident; StateError
    when that has begun or ended already: of two who start it at once, one does.
    """
    from imtkit.runs.execute import check_kernel, planned_steps

    runbook = runbooks.find(desk.settings, name)
    given = checked_values(runbook.parameters, parameters or {}, runbook=runbook.name)
    values = with_secrets(runbook, given)
    check_kernel(runbook)
    if incident_id:
        incident = incident_of_mode(desk, incident_id, mode)
    if control and control.foresee and runbook.language == "python":
        control.foresee(runbook.kernel, desk.settings.root)
    if not incident_id:
        incident = open_for(desk, runbook, mode)
    if any(p.name == "incident_id" for p in runbook.parameters):
        values = {"incident_id": incident.id, **values}
    begun_at = desk.clock.now()
    output = runbooks.output_path(desk, runbook, incident.id, begun_at)
    attempt = Attempt(run_id or new_run_id(begun_at), incident.id, runbook, values, output)
    about = {
        "run": attempt.run_id,
        "runbook": runbook.name,
        "title": runbook.title,
        "runbook_sha256": runbook.sha256,
        "parameters": dict(values),
        "output": output.relative_to(desk.settings.root).as_posix(),
        "steps": [{"step": id_, "title": title} for id_, title in planned_steps(runbook).items()],
        "runner": asdict(this_process()),
    }
    with ExitStack() as undo:
        undo.callback(_drop_empty, output)
        with surely_told(desk, attempt.incident_id, attempt.run_id) as patient:
            _log_started(patient, attempt, about, is_requested=bool(run_id))
        undo.pop_all()
    return carry_out(desk, attempt, on_step, control)


def incident_of_mode(desk: Desk, incident_id: str, mode: str) -> Incident:
    """An incident in which a run of this mode belongs, or of any; InputError when it does not."""
    incident = incidents.get(desk, incident_id)
    if mode and mode != incident.mode:
        raise InputError(
            f"{incident.id} is a {incident.mode} incident; a {mode} run does not belong in it.",
            hint="Leave --mode out, or --incident.",
        )
    return incident


def open_for(desk: Desk, runbook: Runbook, mode: str) -> Incident:
    """A new incident for a run that was asked for without one."""
    title = f"Run of {runbook.title}"
    return incidents.open_(desk, Opening(title, services=runbook.services, mode=mode or "live"))


def _log_started(
    desk: Desk, attempt: Attempt, about: Mapping[str, Any], *, is_requested: bool
) -> None:
    """Write down that a run begins; StateError when what was requested has begun or ended."""
    begun = desk.draft("run.started", about, key=run_key(attempt.run_id))
    if not is_requested:
        _keep_lease(desk, attempt)
        desk.store.append(attempt.incident_id, begun)
        return

    # Its lease comes afterwards: another process may have begun it, whose lease that is.
    def unless_begun(incident: Incident) -> Sequence[Draft]:
        now = incident.run(attempt.run_id)
        if now is not None and now.status != QUEUED:
            raise StateError(f"Run {now.id} is {now.status}; it is not begun again.")
        return [begun]

    told = desk.store.change(attempt.incident_id, unless_begun)
    # While the log was waited for another may have begun it: then the entry of this key is theirs.
    if process_told(told[0].data["runner"]) != this_process():
        raise StateError(f"Run {attempt.run_id} was begun by another worker meanwhile.")


def _drop_empty(output: Path) -> None:
    """Remove a notebook into which nothing ran: an empty file is none."""
    with suppress(OSError):  # the end is logged even when the folder is gone
        if output.stat().st_size == 0:
            output.unlink()


def patient_desk(opened: Callable[[], Desk]) -> Desk:
    """A desk for a run's own cells: also to open it, a log that is away is waited for."""
    return patiently(opened, OUTAGE_SECONDS).patient(OUTAGE_SECONDS)


@contextmanager
def surely_told(desk: Desk, incident_id: str, run_id: str) -> Iterator[Desk]:
    """A desk to write down at that a run begins, goes on or ends; it waits for a log that is away.

    Where that was in vain the log may say that the run goes on, which it does not: its lease is
    left as a dead runner's is, so that whoever clears up tells the truth when the log is back.
    """
    try:
        yield desk.patient(OUTAGE_SECONDS)
    except StoreError:
        _keep(desk, Lease(run_id, incident_id, this_process().given_up))
        raise


def require_completed(run: Run) -> Run:
    """The run, when every step completed; StepError names the one that did not."""
    if run.status == "completed":
        return run
    if run.status == "waiting":
        raise WaitingError(
            f"Run of '{run.runbook}' waits for a person: {run.error}",
            hint=f"Answer it (imt gate list), then: imt runs resume {run.id}",
        )
    bad = run.stopped_at
    where = f" at step '{bad.title or bad.id}'" if bad else ""
    how = _ENDED.get(run.status, run.status)
    is_denied = bad is not None and is_denial(bad)
    go_on = ANEW if is_denied else f"To go on: imt runs resume {run.id}"
    raise StepError(
        f"Run of '{run.runbook}' {how}{where}: {run.error or 'no reason given'}",
        hint=f"Everything up to there is in {run.output_path}. {go_on}",
    )


_ENDED = {
    "kernel-died": "lost its kernel",
    "timed-out": "took too long",
    "cancelled": "was cancelled",
    "lost": "was lost",
}
"""What became of a run, in words, by its status; 'failed' is one already."""


def carry_out(
    desk: Desk,
    attempt: Attempt,
    on_step: OnStep | None = None,
    control: Control | None = None,
) -> Run:
    """Run what an attempt names, logging each step; the run as the log has it afterwards."""
    from imtkit.runs.execute import execute

    ended: list[StepEvent] = []
    control = control or Control()
    name = attempt.name or attempt.runbook.name
    # Looked up beside the kernel's start: nobody waits for it.
    beside = ThreadPoolExecutor(1, thread_name_prefix="usual") if on_step else None
    usual = beside.submit(expected, desk, name, but=attempt.run_id) if beside else None

    patient = desk.patient(OUTAGE_SECONDS, is_over=lambda: control.stop.is_urgent)
    untold: list[Draft] = []

    def journal(*events: StepEvent) -> None:
        drafts = with_keys([step_draft(desk, attempt.run_id, event) for event in events])
        untold[:] = [draft for draft in drafts if draft.type == "step.finished"]
        if control.stop.is_urgent:
            # It may have been cut off from the log, and another may go on with the run by now.
            patient.store.change(attempt.incident_id, _if_ours(attempt, drafts))
        else:
            patient.store.append(attempt.incident_id, *drafts)
        untold.clear()
        for event in events:
            if event.finished_at is not None:
                ended.append(event)
            if on_step is not None and usual is not None:
                on_step(with_expected(event, usual.result()))

    conditions = _conditions(desk, attempt, control, journal)
    how = ("failed", "the run stopped on a fault of imtkit's own")
    try:
        execute(attempt.runbook, attempt.values, conditions)
        how = outcome(ended)
        if control.stop.is_heeded:
            how = (control.stop.status, control.stop.words)
    except KeyboardInterrupt:
        how = ("cancelled", "cancelled by hand")
        raise
    except StoreDownError as fault:
        how = ("lost", f"it could not be told to the log: {fault}")
        if control.stop.is_heeded:
            how = (control.stop.status, control.stop.words)
        raise
    except ImtkitError as fault:
        how = ("failed", str(fault))
        raise
    finally:
        if beside is not None:
            beside.shutdown()
        _drop_empty(attempt.output)
        with surely_told(desk, attempt.incident_id, attempt.run_id) as surely:
            _finish(surely, attempt, how, untold)
        leases.drop(lease_folder(desk), attempt.run_id)
    return the_run(incidents.get(surely, attempt.incident_id), attempt.run_id)


def _conditions(desk: Desk, attempt: Attempt, control: Control, journal: Journal) -> Conditions:
    lease = _keep_lease(desk, attempt)
    unsent.note(desk, attempt.incident_id, attempt.run_id, attempt.number)
    return Conditions(
        output=attempt.output,
        cwd=desk.settings.root,
        environment=_environment(desk, attempt),
        journal=journal,
        kept=attempt.kept,
        attempt=attempt.number,
        step_seconds=control.step_seconds or attempt.runbook.step_seconds,
        run_seconds=control.run_seconds or attempt.runbook.run_seconds,
        memory_mb=desk.settings.kernels.run_memory_mb or None,
        stop=control.stop,
        wish=lambda: _wish(desk, attempt),
        kernel=control.kernel,
        kernel_up=lambda pid, sockets: _keep(desk, lease.on_kernel(pid, sockets)),
    )


def run_key(run_id: str) -> str:
    """The idempotency key of a run's first entry, by which the run is found."""
    return f"run/{run_id}"


def ended_key(incident_id: str, run_id: str, attempt: int) -> str:
    """The idempotency key of the entry that ends an attempt, whoever writes it."""
    return f"{incident_id}/{run_id}/ended/{attempt}"


def lease_folder(desk: Desk) -> Path:
    """Where the leases are kept of runs that go on."""
    return desk.settings.leases


def _keep_lease(desk: Desk, attempt: Attempt) -> Lease:
    lease = Lease(attempt.run_id, attempt.incident_id, this_process())
    _keep(desk, lease)
    return lease


def _keep(desk: Desk, lease: Lease) -> None:
    with suppress(OSError):  # a full disk must not keep a run from going on
        leases.keep(lease_folder(desk), lease)


def _wish(desk: Desk, attempt: Attempt) -> tuple[str, str] | None:
    """As what somebody elsewhere asked this attempt to end, and in words who; None when nobody
    did, or nobody can tell now.
    """
    ended = ended_key(attempt.incident_id, attempt.run_id, attempt.number)
    cancelled = cancel_key(attempt.run_id, attempt.number)
    taken = take_key(attempt.run_id, attempt.number)
    try:
        found = desk.store.find(ended, cancelled, taken)
    except StoreError:
        return None
    if found is None:
        return None
    if found.key == ended:
        # Others took this process for dead: one of them may go on with the run already.
        return "cancelled", "it was given up as lost"
    if found.key == cancelled:
        return "cancelled", f"cancelled by {found.actor}"
    return "waiting", f"taken over by {found.actor}"


def cancel_key(run_id: str, attempt: int) -> str:
    """The idempotency key of the wish that an attempt end."""
    return f"run/{run_id}/cancel/{attempt}"


def take_key(run_id: str, attempt: int) -> str:
    """The idempotency key of the wish to take an attempt over that still runs."""
    return f"run/{run_id}/take/{attempt}"


def _environment(desk: Desk, attempt: Attempt) -> dict[str, str]:
    return {
        "IMT_WORKSPACE": str(desk.settings.root),
        "IMT_STORE_URL": desk.settings.store_url,
        "IMT_INCIDENT": attempt.incident_id,
        "IMT_RUN": attempt.run_id,
        "IMT_USER": desk.who(),
        "IMT_SOURCE": desk.source,
    }


def _finish(
    desk: Desk, attempt: Attempt, how: tuple[str, str], untold: Sequence[Draft] = ()
) -> None:
    """Log how an attempt ended, waiting for a person or for good, and the step whose end could not
    be told before.
    """
    status, error = how
    data = {"run": attempt.run_id, "status": status, **({"error": error} if error else {})}
    type_ = "run.parked" if status == "waiting" else "run.finished"
    key = ended_key(attempt.incident_id, attempt.run_id, attempt.number)
    ended = desk.draft(type_, data, key=key)
    if not untold:
        desk.store.append(attempt.incident_id, ended)
        return

    desk.store.change(attempt.incident_id, _if_ours(attempt, [*untold, ended]))


def _if_ours(attempt: Attempt, drafts: Sequence[Draft]) -> Decide:
    """What is to be stored unless this attempt has ended in the log, whoever ended it there."""

    def decide(incident: Incident) -> Sequence[Draft]:
        now = the_run(incident, attempt.run_id)
        is_ours = (now.status, now.attempt) == ("running", attempt.number)
        return drafts if is_ours else []

    return decide


def step_draft(desk: Desk, run_id: str, event: StepEvent) -> Draft:
    """The entry that says a step of a run began or ended."""
    data: dict[str, Any] = {
        "run": run_id,
        "step": event.id,
        "index": event.index,
        "title": event.title,
    }
    if event.finished_at is None:
        return replace(desk.draft("step.started", data), occurred_at=event.started_at)
    data |= {
        "status": event.status,
        "started_at": utc_text(event.started_at),
        "finished_at": utc_text(event.finished_at),
        **({"error": event.error} if event.error else {}),
        **({"whole_output": dict(event.whole_output)} if event.whole_output else {}),
    }
    return replace(desk.draft("step.finished", data), occurred_at=event.finished_at)


def sit_down(
    desk: Desk, incident_id: str, *, notebook: str, kernel: str, by_hand: bool = True
) -> str:
    """Log that a person works in a notebook on a kernel; the run id its cells belong to.

    Without ``by_hand`` a machine does, papermill for one, without imtkit's runner. ``notebook``
    is empty where it is not known. The same notebook on the same kernel is one sitting, however
    often it joins.
    """
    run_id = f"{'by-hand' if by_hand else 'machine'}-{kernel}"[:60]
    data: dict[str, Any] = {
        "run": run_id,
        "runbook": Path(notebook).stem or ("notebook" if by_hand else ""),
        "output": notebook,
    }
    machine = {"title": "run without imtkit's runner", "without_runner": True}
    data |= {"by_hand": True} if by_hand else machine

    def unless_there(incident: Incident) -> Sequence[Draft]:
        return [] if incident.run(run_id) else [desk.draft("run.started", data)]

    desk.store.change(incident_id, unless_there)
    return run_id


def log_cell(
    desk: Desk,
    incident_id: str,
    run_id: str,
    *,
    cell: str,
    title: str,
    outcome: tuple[str, str, datetime],
) -> None:
    """Log a cell that a person ran: ``outcome`` is its status, its error, and when it began."""
    status, error, started_at = outcome
    finished_at = desk.clock.now()
    data: dict[str, Any] = {
        "run": run_id,
        "step": cell,
        "title": title,
        "status": status,
        "started_at": utc_text(started_at),
        "finished_at": utc_text(finished_at),
        **({"error": error} if error else {}),
    }
    desk.store.append(incident_id, desk.draft("step.finished", data))


def the_run(incident: Incident, run_id: str) -> Run:
    """The run of this id; NotFoundError names the nearest."""
    run = incident.run(run_id)
    if run is None:
        known = (one.id for one in incident.runs)
        raise NotFoundError.of("Run", run_id, known, where=f" on {incident.id}")
    return run


def new_run_id(at: datetime) -> str:
    """An id that no run has yet: it begins with the moment."""
    return f"{at:%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}"
