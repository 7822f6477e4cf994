"""A run that the workspace's Jupyter server carries out, as the terminal shows it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

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
    shown = shown_steps(face, run.runbook, len(run.steps))
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
    wish = _Wish(server, str(asked[1].get("actor", "")))
    ended: dict[str, Any] = {}
    with wish.heard():
        lines = reach.follow(server, *asked)
        with shown as on_step:
            for line in lines:
                if "waits" in line:
                    others = f"{line['waits']} other runs go on or wait"
                    face.say(f"{others}; this one waits for its turn.")
                elif "begun" in line:
                    wish.begun(str(line["begun"]["run"]))
                elif "step" in line:
                    on_step(_event(line["step"]))
                else:
                    ended = line
    return ended


def _give(face: Face, ended: Mapping[str, Any]) -> None:
    """Print how the run ended; what kept it from completing is raised."""
    run = ended["run"]
    words = f"{run['incident']}: {run['runbook']} {run['status']}"
    face.give(run, f"{words}. The notebook: {run['output_path']}")
    if "problem" in ended:
        raise reach.error_of(ended["problem"])


class _Wish:
    """That the run end: uttered by a signal, perhaps before the run has a name."""

    def __init__(self, server: Server, actor: str) -> None:
        self._server = server
        self._actor = actor
        self._run = ""
        self._is_asked = False

    def begun(self, run: str) -> None:
        """The run has a name now."""
        self._run = run
        if self._is_asked:
            self._cancel()

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
        if self._is_asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._is_asked = True
        if self._run:
            # Not in the handler: it may have come in the middle of reading the answer.
            threading.Thread(target=self._cancel).start()

    def _cancel(self) -> None:
        body = {"actor": self._actor} if self._actor else {}
        with suppress(ImtkitError):  # it is over already
            reach.ask(self._server, "POST", f"runs/{self._run}/cancel", body)


def _event(told: Mapping[str, Any]) -> StepEvent:
    from imtkit.runs.conditions import StepEvent

    times = {
        name: datetime.fromisoformat(told[name]) if told[name] else None
        for name in ("started_at", "finished_at")
    }
    return StepEvent(**{**told, **times})
