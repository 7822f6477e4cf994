"""What terminals and JupyterLab ask about runs: begin, follow, take over, give back, end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tornado.iostream import StreamClosedError

from imtkit.config import is_somebody
from imtkit.errors import InputError
from imtkit.kit import Desk, handover, resume, running, runs
from imtkit.kit.runs import Control, OnStep
from imtkit.lab.handlers import ID, ImtHandler, Routes, guarded
from imtkit.lab.office import Office
from imtkit.lab.runs import Asked, Job, ServerRuns, Tell, run_of_notebook
from imtkit.model.incident import Run
from imtkit.runs.conditions import limit_from

_ORDER = ("runbook", "parameters", "incident", "mode", "timeout", "deadline")


class RunHandler(ImtHandler):
    """A request about runs. The terminal says who acts; a login's name wins over that."""

    def initialize(self, office: Office, **parts: Any) -> None:
        super().initialize(office)
        self.runs: ServerRuns = parts["runs"]
        self.job: Job | None = None

    @property
    def actor(self) -> str:
        """The login's name, else the one the request gives; empty is whom the machine knows."""
        (named,) = self.body("actor") if self.request.body else ("",)
        return self.identity or (str(named) if named and is_somebody(str(named)) else "")

    @property
    def order(self) -> str:
        """What whoever asks for a run calls it, to cancel it before it has an id."""
        (order,) = self.body("order")
        return order if isinstance(order, str) else ""

    async def at_desk(self, task: Callable[[Desk], Any]) -> Any:  # noqa: ANN401
        """What the task answers, with whoever acts at the desk."""
        with self.errors():
            return await self.office.work(task, actor=self.actor)

    async def state(self, run: Run) -> dict[str, Any]:
        """How a run stands, for its page."""
        known = await self.at_desk(lambda desk: desk.actor)
        path = Path(self.office.root)
        with self.errors():
            root = (await self.office.settings()).root
            path = root / run.output_path
        at = run.stopped_at
        return {
            "run": run.id,
            "incident": run.incident,
            "runbook": run.runbook,
            "title": run.title,
            "status": run.status,
            "error": run.error,
            "holder": run.holder,
            "person": known,
            "at": (at.title or at.id) if at else "",
            "done": sum(step.status == "completed" for step in run.steps),
            "steps": len(run.steps),
            "kernel": self.runs.kernel_of(run),
            "notebook": self.office.path_in_browser(path),
            "written": str(path.stat().st_mtime_ns) if path.is_file() else "",
        }

    async def stream(self, begin: Callable[[Tell], Job]) -> None:
        """Tell what happens to a run, a line of JSON each, until its end."""
        lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(line: dict[str, Any]) -> None:
            loop.call_soon_threadsafe(lines.put_nowait, line)

        with self.errors():
            self.job = begin(tell)
        self.set_header("Content-Type", "application/x-ndjson")
        try:
            await self.flush()
            while line := await lines.get():
                self.write(json.dumps(line) + "\n")
                await self.flush()
        except StreamClosedError:
            return  # nobody listens any more; the run goes on

    def on_connection_close(self) -> None:
        """A run that still waits for its turn is not begun when nobody waits for it."""
        super().on_connection_close()
        if self.job is not None:
            self.job.done.cancel()


class RunsHandler(RunHandler):
    """Runs begin here; and which run writes a notebook."""

    @guarded
    async def get(self) -> None:
        """The run of ``?notebook=PATH``, as ``OneRunHandler`` tells it."""
        path = self.office.root / self.get_query_argument("notebook")
        run = await self.at_desk(lambda desk: run_of_notebook(desk, path))
        self.finish(await self.state(run))

    @guarded
    async def post(self) -> None:
        """Run ``{"runbook", "parameters", "incident", "mode", "timeout", "deadline", "actor"}``."""
        name, parameters, incident, mode, timeout, deadline = self.body(*_ORDER)
        with self.errors():
            given = _table(parameters)

        def task(desk: Desk, on_step: OnStep, control: Control) -> Run:
            return runs.start(
                desk,
                str(name or ""),
                incident_id=str(incident or ""),
                parameters=given,
                mode=str(mode or ""),
                on_step=on_step,
                control=control,
            )

        control = Control(limit_from(timeout), limit_from(deadline))
        actor, order = self.actor, self.order
        await self.stream(
            lambda tell: self.runs.begin(task, Asked(actor, "cli", tell, order), control)
        )


class OneRunHandler(RunHandler):
    """One run as it stands."""

    @guarded
    async def get(self, run_id: str) -> None:
        """Its state, whose turn it is, and what its kernel is (``ServerRuns.kernel_of``)."""
        self.finish(await self.state(await self.at_desk(lambda desk: resume.find(desk, run_id))))


class ResumeHandler(RunHandler):
    """A run goes on, and is followed."""

    @guarded
    async def post(self, run_id: str) -> None:
        """Go on with ``{"parameters", "actor"}``; lines as for a run that begins."""
        with self.errors():
            given = _table(self.body("parameters")[0])
        run = await self.at_desk(lambda desk: resume.find(desk, run_id))
        asked = partial(Asked, self.actor, "cli", order=self.order)
        await self.stream(lambda tell: self.runs.resume(run, asked(tell), Control(), given))


class TakeHandler(RunHandler):
    """A person takes a run over."""

    @guarded
    async def post(self, run_id: str) -> None:
        """``{"actor"}``; the run's state then."""
        self.finish(await self.state(await self.at_desk(lambda desk: handover.take(desk, run_id))))


class GiveHandler(RunHandler):
    """A person gives a run back."""

    @guarded
    async def post(self, run_id: str) -> None:
        """``{"actor"}``; the run's state when the machine has it again."""
        run = await self.at_desk(lambda desk: handover.require_held(resume.find(desk, run_id)))
        lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(line: dict[str, Any]) -> None:
            loop.call_soon_threadsafe(lines.put_nowait, line)

        actor = self.actor
        with self.errors():
            self.runs.resume(run, Asked(actor, "lab", tell), Control())
        line = await lines.get()
        if "error" in line:
            self.set_status(409)
            self.finish(line["error"])
            return
        self.finish(await self.state(await self.at_desk(lambda desk: resume.find(desk, run.id))))


class CancelOrderHandler(RunHandler):
    """Somebody wishes that what they asked for end, before it is a run with an id."""

    @guarded
    async def post(self, order: str) -> None:
        """``{"actor"}``; what is over, or not known here, stays as it is."""
        actor = self.actor or await self.at_desk(lambda desk: desk.actor)
        self.runs.cancel_order(order, actor or "whoever asked for it")
        self.finish({})


class CancelHandler(RunHandler):
    """Somebody wishes that a run end."""

    @guarded
    async def post(self, run_id: str) -> None:
        """``{"actor"}``; the run's state then."""
        run = await self.at_desk(lambda desk: running.cancel(desk, run_id))
        await self.runs.end_kernel(run)
        self.finish(await self.state(run))


def _table(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError("The parameters are not a table of names and values.")
    return {str(name): one for name, one in value.items()}


def run_routes(office: Office, runs: ServerRuns) -> Routes:
    """The addresses of runs, and who answers there."""
    parts = {"office": office, "runs": runs}
    answering: list[tuple[str, type[ImtHandler]]] = [
        ("/runs", RunsHandler),
        (f"/runs/({ID})", OneRunHandler),
        (f"/runs/({ID})/resume", ResumeHandler),
        (f"/runs/({ID})/take", TakeHandler),
        (f"/runs/({ID})/give", GiveHandler),
        (f"/runs/({ID})/cancel", CancelHandler),
        (f"/orders/({ID})/cancel", CancelOrderHandler),
    ]
    return [(path, handler, parts) for path, handler in answering]
