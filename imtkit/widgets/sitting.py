"""Cells run by hand are steps of the record: when, how long, and how they ended."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import Any

from imtkit.errors import ImtkitError
from imtkit.kit import Desk, incidents, runs
from imtkit.kit.resume import RESUMABLE
from imtkit.model.words import one_line
from imtkit.widgets import notebook
from imtkit.widgets.notebook import Cell

UNKNOWN = "an unnamed person"
"""Who ran a cell on a run's kernel without taking the run over."""
_PATIENCE_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.0)


class Sitting:
    """One person (or plain papermill) at one notebook on one kernel.

    IPython calls it before and after every cell. What cannot be logged is said loudly in that
    cell's output, and never stops the cell. Where a person sits (``by_hand``), cells that a
    machine's run has there are its runner's to log: nobody can be asked for input in them.
    """

    def __init__(self, desk: Desk, incident_id: str, run_id: str, *, by_hand: bool = True) -> None:
        self.incident_id = incident_id
        self.run_id = run_id
        self._desk = desk
        self._by_hand = by_hand
        self._running: tuple[Cell, datetime] | None = None

    def at_desk(self) -> Desk:
        """The desk, with whoever runs these cells at it."""
        return self._desk

    def begin(self, cell: Cell) -> None:
        """Take the time, if it is this sitting's: this cell begins."""
        is_ours = not self._by_hand or notebook.has_front_end(notebook.shell())
        self._running = (cell, self._desk.clock.now()) if is_ours else None

    def end(self, error: BaseException | None, count: int) -> None:
        """Log the cell that began: completed, failed, or cancelled by an interrupt.

        ``count`` is its number in the session, and stands for an id where there is none.
        """
        if self._running is None:
            return
        (cell, began_at), self._running = self._running, None
        try:
            runs.log_cell(
                self.at_desk(),
                self.incident_id,
                self.run_id,
                cell=cell.id or f"in-{count}",
                title=cell.title,
                outcome=(*_outcome(error), began_at),
            )
        except ImtkitError as fault:
            hint = f" {fault.hint}" if fault.hint else ""
            sys.stderr.write(f"imtkit: THIS CELL IS NOT IN THE LOG. {fault}{hint}\n")

    def before_cell(self, info: Any) -> None:  # noqa: ANN401 - IPython ships no types
        """IPython's ``pre_run_cell``."""
        self.begin(Cell(str(info.cell_id or ""), str(info.raw_cell)))

    def after_cell(self, result: Any) -> None:  # noqa: ANN401
        """IPython's ``post_run_cell``."""
        self.end(result.error_before_exec or result.error_in_exec, result.execution_count or 0)


class Guest(Sitting):
    """A person at the kernel of a run that a machine began.

    Their cells are steps of the same run, by whoever took it over.
    """

    def at_desk(self) -> Desk:
        """The desk, with whoever holds the run at it."""
        for seconds in _PATIENCE_SECONDS:
            run = incidents.get(self._desk, self.incident_id).run(self.run_id)
            if run is None or run.holder or run.status not in RESUMABLE:
                break
            # The page takes the run over as the cell begins; a short cell may end before that.
            time.sleep(seconds)
        return self._desk.acting_as((run.holder if run else "") or UNKNOWN, "notebook")


def _outcome(error: BaseException | None) -> tuple[str, str]:
    if error is None:
        return "completed", ""
    said = one_line(f"{type(error).__name__}: {error}", most=300)
    return ("cancelled" if isinstance(error, KeyboardInterrupt) else "failed"), said
