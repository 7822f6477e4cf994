"""A run on a terminal: one live display of its steps, how long they take and usually took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from imtkit.cli.pages import word
from imtkit.model.words import one_line, time_with_usual

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from imtkit.runs.conditions import StepEvent

_BAR = 12


class RunScreen:
    """Draws a run as it stands; is told of each step as it begins and ends.

    ``since`` is when the run began, where that was before this. Steps that do not fit on the
    terminal are shown when the run is over.
    """

    def __init__(
        self, console: Console, name: str, count: int, since: datetime | None = None
    ) -> None:
        self._console = console
        self._name = one_line(name, most=60)
        self._count = count
        self._since = since or datetime.now(UTC)
        self._steps: dict[str, StepEvent] = {}
        self._ended_at: datetime | None = None

    def __call__(self, event: StepEvent) -> None:
        # Drawn in another thread: a new table, never one that changes meanwhile.
        self._steps = {**self._steps, event.id: event}

    def finish(self) -> None:
        """Leave nothing moving."""
        ends = [one.finished_at for one in self._steps.values() if one.finished_at is not None]
        is_over = len(ends) == len(self._steps) > 0
        self._ended_at = max(ends) if is_over else datetime.now(UTC)

    def __rich__(self) -> RenderableType:
        now = self._ended_at or datetime.now(UTC)
        steps = list(self._steps.values())
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(min_width=_BAR, no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_row(*self._whole(steps, now))
        room = len(steps) if self._ended_at else max(1, self._console.height - 4)
        if len(steps) > room:
            table.add_row(Text(f"  ({len(steps) - room} earlier steps)", style="dim"))
        for step in steps[-room:]:
            usual = step.expected_seconds
            took = (step.finished_at or now) - step.started_at
            said = time_with_usual(took, usual, is_over=step.finished_at is not None)
            title = Text(f"  {one_line(step.title or step.id)}")
            table.add_row(title, word(step.status), Text(said))
        return Group(table, *map(_why, steps))

    def _whole(self, steps: list[StepEvent], now: datetime) -> tuple[RenderableType, ...]:
        ended = sum(one.finished_at is not None for one in steps)
        count = max(self._count, len(steps))  # the way for a denial was not counted
        usual = next((one.expected_run_seconds for one in steps), None)
        took = max(now - self._since, timedelta())
        part = ended / max(1, count)
        if usual and not self._ended_at:
            part = min(took.total_seconds() / usual, 0.95)  # what goes on is not over
        bar = ProgressBar(total=1.0, completed=part, width=_BAR)
        said = time_with_usual(took, usual, is_over=self._ended_at is not None)
        return Text(f"{self._name}  {ended}/{count}", style="bold"), bar, Text(said)


def _why(step: StepEvent) -> RenderableType:
    if not step.error:
        return Group()
    return Text(f"  {one_line(step.title or step.id, most=60)}: {one_line(step.error, most=120)}")
