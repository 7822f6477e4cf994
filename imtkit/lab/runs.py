"""The runs that a Jupyter Server carries out: for terminals, for people, and by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from imtkit.config import Settings
from imtkit.config.place import place_in
from imtkit.errors import ImtkitError, InputError, NotFoundError, RunError, StateError
from imtkit.kit import Desk, expectation, handover, incidents, resume, running
from imtkit.kit.documents import plain
from imtkit.kit.outputs import SENDER
from imtkit.kit.requests import WORKER_ENDS
from imtkit.kit.runs import Control, OnStep, lease_folder, require_completed
from imtkit.kit.sender import Sender
from imtkit.lab.held import Ahead, HeldKernels, ServerKernel
from imtkit.lab.office import Office
from imtkit.model.entries import AUTOMATION
from imtkit.model.gates import ANEW
from imtkit.model.incident import Run
from imtkit.runs import lease as leases
from imtkit.runs.conditions import StepEvent
from imtkit.runs.denial import is_denial
from imtkit.runs.execute import load_engine
from imtkit.runs.kernels import Kernel, Wanted
from imtkit.runs.lease import Lease, this_process

SERVER = f"{AUTOMATION}server"
"""Who goes on with a run whose gate somebody has answered."""

SERVER_ENDS = "the Jupyter server that ran it was told to end"
"""Why a run is cancelled whose server ends."""

_LOOK_SECONDS = 1.0
_SENDING_SECONDS = 10.0
"""How long a server that ends waits until the outputs of its runs are sent."""

_REAP_EVERY = 60
"""Looks between two passes of the reaper."""

Tell = Callable[[dict[str, Any]], None]
"""Is told what happens to a run, from the run's thread."""
Task = Callable[[Desk, OnStep, Control], Run]


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a run, through which face, and what hears of it.

    ``order`` is what they call it before it is a run with an id. ``at_end`` is why the run is
    cancelled when the server is told to end; a run that others go on with then has its own words.
    """

    actor: str
    source: str
    tell: Tell
    order: str = ""
    at_end: str = SERVER_ENDS


@dataclass(frozen=True, slots=True)
class Job:
    """One run's work here: it waits for its turn, goes on, or is over."""

    done: Future[None]
    control: Control
    asked: Asked


class ServerRuns:
    """Runs that share one server: so many at once, each with its kernel and its thread.

    A run that parks leaves its kernel with the server. When its gate is answered it goes on by
    itself, unless a person has taken it over. Used on the server's event loop.
    """

    def __init__(self, office: Office, kernels: HeldKernels) -> None:
        self._office = office
        self._kernels = kernels
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hands: ThreadPoolExecutor | None = None
        self._jobs: set[Job] = set()
        self._going_on: set[str] = set()
        self._renewed: set[str] = set()
        self._watch: asyncio.Task[None] | None = None
        self._sparing: asyncio.Task[None] | None = None
        self._is_ending = False
        self._sender = Sender(lambda task: office.now(task, actor=SENDER))

    async def start(self, settings: Settings) -> None:
        """Begin to look after runs."""
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._hands = ThreadPoolExecutor(settings.kernels.runs_at_once, thread_name_prefix="run")
        self._watch = asyncio.create_task(self._look_after())
        self._sender.start(settings)
        self._hands.submit(load_engine)  # the first run need not wait for the imports

    def keep_spare(self, kernel_name: str) -> None:
        """From now on have a kernel up before a run wants it: where nobody wonders whose it is."""
        self._sparing = asyncio.create_task(self._keep_spare(kernel_name))

    async def _keep_spare(self, name: str) -> None:
        while True:
            with suppress(Exception):  # the run that wants one says what is wrong
                await self._kernels.keep_spare(name, self._settings.root)
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """End every run as a cancel does, and every kernel that is kept."""
        self._is_ending = True
        for task in (self._watch, self._sparing):
            if task is not None:
                task.cancel()
        for job in self._jobs:
            if not job.done.cancel():
                job.control.stop.ask("cancelled", job.asked.at_end)
        ending = [asyncio.wrap_future(job.done) for job in self._jobs]
        await asyncio.gather(*ending, return_exceptions=True)
        for held in self._kernels.all():
            await self._kernels.end(held.run)
            leases.drop(self._settings.leases, held.run)
        await asyncio.to_thread(self._sender.stop, _SENDING_SECONDS)

    def begin(self, task: Task, asked: Asked, control: Control) -> Job:
        """Have a run carried out as soon as there is room.

        Whoever asked hears {"waits"} when there is none yet, {"begun"} with the run's id, {"step"}
        for each step, {"resumed"} with words of how a run goes on, at the end {"run"} or {"error"},
        and then the empty message. NotFoundError when this server has no workspace, StateError
        when it is about to end.
        """
        if self._hands is None or self._loop is None:
            raise NotFoundError("This Jupyter server has no workspace to run in.")
        if self._is_ending:
            raise StateError("This Jupyter server is about to end; it begins no more runs.")
        loop, tell = self._loop, asked.tell

        ahead: list[Ahead] = []

        def foresee(name: str, cwd: Path) -> None:
            coming = asyncio.run_coroutine_threadsafe(self._kernels.start_ahead(name, cwd), loop)
            ahead.append(Ahead(name, cwd, coming))

        def kernel(wanted: Wanted) -> Kernel:
            tell({"begun": _begun(wanted)})
            return ServerKernel(self._kernels, loop, wanted, ahead[0] if ahead else None)

        told = replace(control, kernel=kernel, foresee=foresee)

        def carry(desk: Desk) -> None:
            self._carry(desk.acting_as(desk.who(), asked.source), task, told, tell)

        def work() -> None:
            try:
                self._office.now(carry, actor=asked.actor)
            except ImtkitError as error:
                tell({"error": error_document(error)})
            finally:
                tell({})
                for one in ahead:
                    asyncio.run_coroutine_threadsafe(self._kernels.drop(one), loop)

        before = sum(not job.done.done() for job in self._jobs)
        if before >= self._settings.kernels.runs_at_once:
            tell({"waits": before})
        job = Job(self._hands.submit(work), told, asked)
        self._jobs.add(job)
        job.done.add_done_callback(lambda _: loop.call_soon_threadsafe(self._over, job))
        return job

    def hand_on(self, at_end: str) -> None:
        """End the runs that end for this reason (``Asked.at_end``): others take them over."""
        for job in self._jobs:
            if job.asked.at_end == at_end:
                job.control.stop.ask("cancelled", at_end)

    def cancel_order(self, order: str, actor: str) -> None:
        """End what was asked for: out of the queue, or as a cancel does before its first step."""
        for job in [one for one in self._jobs if order and one.asked.order == order]:
            if job.done.cancel():
                problem = RunError("It was cancelled while it waited for its turn; nothing ran.")
                job.asked.tell({"error": error_document(problem)})
                job.asked.tell({})
            else:
                job.control.stop.ask("cancelled", f"cancelled by {actor}")

    def _over(self, job: Job) -> None:
        self._jobs.discard(job)
        self._sender.wake()
        if not job.done.cancelled():
            job.done.result()  # a fault of ours goes to the server's log, with its traceback

    def _carry(self, desk: Desk, task: Task, control: Control, tell: Tell) -> None:
        """In the run's thread: the whole of it, told from its beginning to its end."""

        def on_step(event: StepEvent) -> None:
            tell({"step": plain(event)})

        run = task(desk, on_step, control)
        self._keep_lease(desk, run)
        told: dict[str, Any] = {"run": expectation.documents(desk, [run])[0]}
        try:
            require_completed(run)
        except ImtkitError as problem:
            told["problem"] = error_document(problem) | self._what_now(run)
        tell(told)

    def _what_now(self, run: Run) -> dict[str, str]:
        """The hint for a run that did not complete, and whose kernel lives on here."""
        if self._kernels.of(run.id) is None:
            return {}
        take = f"take it over on its kernel: imt take {run.id}"
        if run.status == "waiting":
            return {"hint": f"Answer it (imt gate list) and it goes on by itself; or {take}"}
        bad = run.stopped_at
        if bad is not None and is_denial(bad):
            return {"hint": f"{ANEW} Or {take}"}
        return {"hint": f"Go on with it: imt runs resume {run.id}; or {take}"}

    def _keep_lease(self, desk: Desk, run: Run) -> None:
        """Whoever clears up after this server finds the kernel that it kept."""
        held = self._kernels.of(run.id)
        if held is not None:
            lease = Lease(run.id, run.incident, this_process()).on_kernel(held.pid, None)
            with suppress(OSError):  # a full disk; the kernel ends with its server anyway
                leases.keep(lease_folder(desk), lease)

    def resume(
        self,
        run: Run,
        asked: Asked,
        control: Control,
        parameters: Mapping[str, Any] | None = None,
    ) -> Job:
        """Have a run go on: on the kernel that ran its steps, where that lives.

        One that was requested is another worker's to go on with, should this server end.
        StateError when it is about to go on here already.
        """
        run_id = run.id
        if run.requested_at:
            asked = replace(asked, at_end=WORKER_ENDS)
        if run_id in self._going_on:
            raise StateError(
                f"Run {run_id} goes on already; it may wait for its turn.",
                hint="See how runs stand: imt runs list",
            )

        def task(desk: Desk, on_step: OnStep, control: Control) -> Run:
            # Now, and not when it was asked for: it may have waited long for its turn.
            if asked.actor == SERVER and not handover.may_go_on(desk, run_id):
                raise StateError(f"Run {run_id} does not go on by itself any more.")
            held = self._kernels.of(run_id)
            is_same = held is not None and self._kernels.is_same(held)
            if not is_same:
                self._renewed.add(run_id)
            return resume.resume(
                desk,
                run_id,
                parameters=parameters,
                on_step=on_step,
                control=replace(control, is_same_kernel=is_same),
                tell=lambda words: asked.tell({"resumed": words}),
            )

        job = self.begin(task, asked, control)
        loop = asyncio.get_running_loop()
        self._going_on.add(run_id)
        job.done.add_done_callback(
            lambda _: loop.call_soon_threadsafe(self._going_on.discard, run_id)
        )
        return job

    async def end_kernel(self, run: Run) -> None:
        """End the kernel that was kept for a run that is over now; one that runs ends by itself."""
        if run.status != "running" and self._kernels.of(run.id) is not None:
            await self._kernels.end(run.id)
            leases.drop(self._settings.leases, run.id)

    def kernel_of(self, run: Run) -> str:
        """What a run's kernel is: 'same' (it ran the steps), 'renewed' (it ran those since the run
        was resumed on it, and the setup cells), 'new' (restarted since), or 'none'.
        """
        held = self._kernels.of(run.id)
        if held is None or not self._kernels.pid(held.kernel):
            return "none"
        if not self._kernels.is_same(held):
            return "new"
        return "renewed" if run.id in self._renewed else "same"

    async def _look_after(self) -> None:
        """Once a second: go on with what was answered, end what nobody uses."""
        for look in count():
            try:
                if look % _REAP_EVERY == 0:
                    await self._quietly(running.reap)
                await self._look()
            except Exception as fault:  # noqa: BLE001 # the next run must be looked after, too
                told = {"message": "imtkit could not look after its runs", "exception": fault}
                asyncio.get_running_loop().call_exception_handler(told)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> None:
        for run_id in await self._kernels.end_idle(self._settings.kernels.keep_minutes * 60):
            leases.drop(self._settings.leases, run_id)
        for held in self._kernels.all():
            if held.idle_since is None or held.run in self._going_on:
                continue
            run = await self._quietly(partial(resume.find, run_id=held.run))
            if run is not None and run.status == "cancelled":
                await self.end_kernel(run)
            elif run is not None:
                await self._go_on_if_answered(run)

    async def _go_on_if_answered(self, run: Run) -> None:
        if not await self._quietly(lambda desk: handover.may_go_on(desk, run.id)):
            return
        with suppress(StateError):  # somebody else has just asked for it
            self.resume(run, Asked(SERVER, "server", lambda _: None), Control())

    async def _quietly(self, task: Callable[[Desk], Any]) -> Any:  # noqa: ANN401
        """What a task answers; None while the log cannot be read: the next look tries anew."""
        with suppress(ImtkitError):
            return await self._office.work(task, actor=SERVER)
        return None


def error_document(error: ImtkitError) -> dict[str, str]:
    """An error, so that the terminal can raise it again."""
    return {"kind": type(error).__name__, "message": str(error), "hint": error.hint}


def _begun(wanted: Wanted) -> dict[str, str]:
    """The first that is known of a run: its id, its incident, its notebook."""
    return {
        "run": wanted.environment["IMT_RUN"],
        "incident": wanted.environment["IMT_INCIDENT"],
        "notebook": str(wanted.notebook or ""),
    }


def run_of_notebook(desk: Desk, path: Path) -> Run:
    """The run that writes this notebook; NotFoundError when none does."""
    with suppress(ValueError, InputError, NotFoundError):  # elsewhere, or in no incident's folder
        place = place_in(desk.settings.root, path)
        top, incident, *_ = place.split("/")
        if top == desk.settings.outputs.name:
            for run in reversed(incidents.get(desk, incident).runs):
                if run.output_path == place and run.has_runner:
                    return run
    raise NotFoundError(f"{path.name or path} is no run's notebook.")
