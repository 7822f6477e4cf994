"""A run as it goes: a bar a step on a terminal, a line a step elsewhere. All of it is talk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imtkit.model.words import one_line, span_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

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
def shown_steps(face: Face, name: str, count: int) -> Iterator[OnStep]:
    """Shows the steps of one run of this many, as it is told of them."""
    console = face.console(is_talk=True)
    if not console.is_terminal:
        yield _Lines(face, name, count)
        return
    with _progress(face) as progress:
        bars = _Bars(progress, progress.add_task(f"{name}: starting", total=count, said=""))
        yield bars
        bars.finish(name)


def _progress(face: Face) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[said]}", markup=False),
        TimeElapsedColumn(),
        console=face.console(is_talk=True),
    )


class _Lines:
    """A line when the first step begins, and one for each step that has ended."""

    def __init__(self, face: Face, name: str, count: int) -> None:
        self._face = face
        self._name = name
        self._is_begun = False
        self._count = count
        self._ended = 0

    def __call__(self, event: StepEvent) -> None:
        if not self._is_begun:
            self._is_begun = True
            self._face.say(f"Running {self._name}: {self._count} steps.")
        if event.finished_at is None:
            return
        self._ended += 1
        self._count = max(self._count, self._ended)  # the way for a denial was not counted
        took = span_text(event.finished_at - event.started_at)
        line = f"  [{self._ended}/{self._count}] {one_line(event.title, most=70)}: {event.status}"
        self._face.say(f"{line}, {took}{_why(event)}")


class _Bars:
    """One bar for the run, and one for each step that has begun."""

    def __init__(self, progress: Progress, whole: TaskID) -> None:
        self._progress = progress
        self._whole = whole
        self._bars: dict[str, TaskID] = {}

    def __call__(self, event: StepEvent) -> None:
        title = one_line(event.title, most=60)
        if event.id not in self._bars:
            self._progress.update(self._whole, description="The run", said="")
            self._bars[event.id] = self._progress.add_task(f"  {title}", total=None, said="")
        if event.finished_at is not None:
            bar = self._bars[event.id]
            self._progress.update(bar, total=1, completed=1, said=f"{event.status}{_why(event)}")
            self._progress.advance(self._whole)

    def finish(self, name: str) -> None:
        """Leave no bar moving."""
        self._progress.update(self._whole, description=name)
        self._progress.stop_task(self._whole)


def _why(event: StepEvent) -> str:
    return f": {one_line(event.error, most=120)}" if event.error else ""
