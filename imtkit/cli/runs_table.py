"""How runs look in a list on a terminal: one a line, however narrow it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from imtkit.cli.pages import word
from imtkit.model.incident import QUEUED
from imtkit.model.words import one_line, span_text, time_with_usual, visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

    from imtkit.kit.turns import Turns
    from imtkit.model.incident import Run

_NARROW, _VERY_NARROW, _NARROWEST = 110, 90, 80
_WIDTHS = {
    # the least and the most that a column takes; what is longer ends in '…'
    "Runbook": (7, 24),
    "At": (9, 40),
}


class RunsTable:
    """Runs, newest first; ``now`` ends the time of those that go on.

    ``turns`` tells the places of those that are queued.

    Where there is little room, the moment they began at is left to their ids, which begin with
    it; then go the number of steps, and their incident.
    """

    def __init__(self, found: Sequence[Run], now: datetime, turns: Turns) -> None:
        self._found = found
        self._now = now
        self._turns = turns

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        rows = [_cells(run, self._now, self._turns) for run in self._found]
        width = options.max_width
        names = ["Run", "Incident", "Runbook", "Status", "Steps", "At", "Began (UTC)", "Took"]
        if width < _NARROW:
            names.remove("Began (UTC)")
        if width < _VERY_NARROW:
            names.remove("Steps")
        if width < _NARROWEST:
            names = ["Run", "Runbook", "Status", "Took"]
        gap = 2 if width >= _VERY_NARROW else 1
        table = Table(box=None, padding=(0, gap, 0, 0), header_style="bold", pad_edge=False)
        for name in names:
            is_cut = name in _WIDTHS  # the others keep their width
            least, most = _WIDTHS.get(name, (max(len(row[name]) for row in rows), None))
            table.add_column(
                Text(name, no_wrap=True, overflow="ellipsis"),
                no_wrap=not is_cut,
                overflow="ellipsis",
                min_width=least,
                max_width=most,
            )
        for row in rows:
            table.add_row(*(row[name] for name in names))
        yield table


def _cells(run: Run, now: datetime, turns: Turns) -> dict[str, Text]:
    done = sum(step.status == "completed" for step in run.steps)
    # What a completed run left out was for a denial; nothing of it is missing.
    count = done if run.status == "completed" else len(run.steps)
    is_queued = run.status == QUEUED
    is_going_on = is_queued or run.status == "running"
    began = "" if is_queued else f"{run.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    took = time_with_usual(now - run.started_at, None, is_over=False)
    return {
        "Run": Text(visible(run.id)),
        "Incident": Text(visible(run.incident)),
        "Runbook": _cut(run.runbook),
        "Status": word(run.status),
        "Steps": Text("" if is_queued else f"{done}/{count}"),
        "At": _cut(turns.words(run.id) if is_queued else _at(run)),
        "Began (UTC)": Text(began),
        "Took": Text(took if is_going_on else span_text(run.elapsed) if run.elapsed else ""),
    }


def _cut(text: str) -> Text:
    """It may be made narrower, and never takes a second line."""
    return Text(one_line(text), no_wrap=True, overflow="ellipsis")


def _at(run: Run) -> str:
    """The step that a run is at, or where it ended early."""
    step = run.stopped_at
    return (step.title or step.id) if step else ""
