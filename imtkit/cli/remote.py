"""A run that the workspace's Jupyter server carries out, as the terminal shows it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from imtkit.errors import ImtkitError
from imtkit.lab import reach

if TYPE_CHECKING:
    from imtkit.cli.face import Face
    from imtkit.lab.reach import Server
    from imtkit.model.incident import Run
    from imtkit.runs.conditions import StepEvent
    from imtkit.runs.runbook import Runbook

OnStep = Callable[["StepEvent"], None]


def run(face: Face, server: Server, runbook: Runbook, order: Mapping[str, Any]) -> None:
    """Have the server run a runbook: its steps are shown, its end printed."""
    from imtkit.cli.progress import watched

    names = {"incident_id": "incident"}
    body = {names.get(name, name): value for name, value in order.items()}
    body |= {"runbook": str(runbook.path), "actor": face.person()}
    _give(face, carried_out(face, server, ("runs", body), watched(face, runbook)))


def resume(face: Face, server: Server, run: Run, parameters: Mapping[str, str]) -> None:
    """Have the server go on with a run: on the kernel that ran its steps, where that lives."""
    from imtkit.cli.progress import shown_steps

    body = {"parameters": dict(parameters), "actor": face.person()}
    shown = shown_steps(face, run.runbook, len(run.steps), order=[step.id for step in run.steps])
    _give(face, carried_out(face, server, (f"runs/{run.id}/resume", body), shown))


def carried_out(
    face: Face,
    server: Server,
    asked: tuple[str, Mapping[str, Any]],
    shown: AbstractContextManager[OnStep],
) -> dict[str, Any]:
    """Have the server carry a run out, showing its steps; the last that it tells: {"run"}.

    It is asked (a path, and a body) before what shows the steps is loaded. Ctrl-C, SIGTERM and
    the terminal's end ask the server to cancel the run, and its end is waited for; a second
    Ctrl-C waits no longer.
    """
    path, body = asked
    wish = _Wish(server, str(body.get("actor", "")))
    ended: dict[str, Any] = {}
    with wish.heard():
        lines = reach.follow(server, path, {**body, "order": wish.order})
        with shown as on_step:
            for line in lines:
                if "waits" in line:
                    before = "1 other run" if line["waits"] == 1 else f"{line['waits']} other runs"
                    face.say(f"This one waits for its turn: {before} came before it.")
                elif "resumed" in line:
                    face.say(line["resumed"])
                elif "begun" in line:
                    wish.begun(str(line["begun"]["run"]))
                elif "step" in line:
                    on_step(_event(line["step"]))
                else:
                    ended = line
    return {**ended, "is_stopped": wish.is_uttered}


def _give(face: Face, ended: Mapping[str, Any]) -> None:
    """Print how the run ended; what kept it from completing is raised."""
    run = ended["run"]
    words = f"{run['incident']}: {run['runbook']} {run['status']}, run {run['id']}."
    face.give(run, f"{words} The notebook: {run['output_path']}")
    if ended["is_stopped"] and run["status"] == "cancelled":
        raise KeyboardInterrupt
    if "problem" in ended:
        raise reach.error_of(ended["problem"])


class _Wish:
    """That the run end: uttered by a signal, perhaps before the run has an id.

    ``order`` is what it is called until then. ``is_uttered`` is so when Ctrl-C was pressed.
    """

    def __init__(self, server: Server, actor: str) -> None:
        self.order = uuid4().hex
        self.is_uttered = False
        self._server = server
        self._actor = actor
        self._run = ""

    def begun(self, run: str) -> None:
        """The run has an id now."""
        self._run = run

    @contextmanager
    def heard(self) -> Iterator[None]:
        """While it lasts, signals ask for the run's end instead of ending this process."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        names = ("SIGINT", "SIGTERM", "SIGHUP")
        before = {name: signal.signal(getattr(signal, name), self._ask) for name in names}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(getattr(signal, name), handler)

    def _ask(self, number: int, _frame: object) -> None:
        if self.is_uttered and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.is_uttered = self.is_uttered or number == signal.SIGINT
        # Not in the handler: it may have come in the middle of reading the answer.
        threading.Thread(target=self._cancel).start()

    def _cancel(self) -> None:
        body = {"actor": self._actor} if self._actor else {}
        with suppress(ImtkitError):  # it is over already
            place = f"runs/{self._run}" if self._run else f"orders/{self.order}"
            reach.ask(self._server, "POST", f"{place}/cancel", body)


def _event(told: Mapping[str, Any]) -> StepEvent:
    from imtkit.runs.conditions import StepEvent

    times = {
        name: datetime.fromisoformat(told[name]) if told[name] else None
        for name in ("started_at", "finished_at")
    }
    return StepEvent(**{**told, **times})
