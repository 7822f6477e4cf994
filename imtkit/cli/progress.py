"""A run as it goes: a live display on a terminal, a line a step elsewhere. All of it is talk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imtkit.model.words import counted, one_line, time_with_usual, usual_text

if TYPE_CHECKING:
    from datetime import datetime

    from imtkit.cli.face import Face
    from imtkit.runs.conditions import StepEvent
    from imtkit.runs.runbook import Runbook

OnStep = Callable[["StepEvent"], None]


@contextmanager
def watched(face: Face, runbook: Runbook) -> Iterator[OnStep]:
    """Shows the steps of one run of a runbook while it goes on."""
    from imtkit.runs.execute import planned_steps

    count = len(planned_steps(runbook, is_denied=False))
    with shown_steps(face, runbook.name, count) as on_step:
        yield on_step


@contextmanager
def shown_steps(
    face: Face,
    name: str,
    count: int,
    since: datetime | None = None,
    order: Sequence[str] = (),
) -> Iterator[OnStep]:
    """Shows the steps of one run of this many, as it is told of them.

    ``since`` is when the run began, where somebody looks at it only now; ``order`` are its
    steps, by id, where not all of them will be told of.
    """
    if not sys.stderr.isatty():
        yield _Lines(face, name, count, order)
        return
    from rich.live import Live

    from imtkit.cli.run_screen import RunScreen

    console = face.console(is_talk=True)
    screen = RunScreen(console, name, count, since)
    with Live(screen, console=console, refresh_per_second=4):
        try:
            yield screen
        finally:
            screen.finish()


class _Lines:
    """A line when the first step begins, and one for each step that has ended."""

    def __init__(self, face: Face, name: str, count: int, order: Sequence[str] = ()) -> None:
        self._face = face
        self._name = name
        self._is_begun = False
        self._count = count
        self._ended = 0
        self._order = tuple(order)

    def __call__(self, event: StepEvent) -> None:
        if not self._is_begun:
            self._is_begun = True
            usual = event.expected_run_seconds
            words = f", usually {usual_text(usual)}" if usual is not None else ""
            self._face.say(f"Running {self._name}: {counted(self._count, 'step')}{words}.")
        if event.finished_at is None:
            return
        at = self._order.index(event.id) if event.id in self._order else self._ended
        self._ended = at + 1
        self._count = max(self._count, self._ended)  # the way for a denial was not counted
        took = time_with_usual(event.finished_at - event.started_at, event.expected_seconds)
        line = f"  [{self._ended}/{self._count}] {one_line(event.title, most=70)}: {event.status}"
        self._face.say(f"{line}, {took}{_why(event)}")


def _why(event: StepEvent) -> str:
    return f": {one_line(event.error, most=120)}" if event.error else ""
