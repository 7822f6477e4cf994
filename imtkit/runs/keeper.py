"""Keeps a run's output notebook: whole on disk at any moment, and true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from papermill.engines import NotebookExecutionManager

from imtkit.model.entries import utc_text
from imtkit.runs import marks
from imtkit.runs.conditions import StepEvent
from imtkit.runs.echo import Echo

if TYPE_CHECKING:
    from nbformat import NotebookNode


class Keeper(NotebookExecutionManager):  # type: ignore[misc]  # papermill ships no types
    """Keeps the output notebook: whole on disk at any moment, and true."""

    def __init__(
        self,
        nb: NotebookNode,
        output: Path | None,
        *,
        kept: frozenset[str] = frozenset(),
        echo: Echo | None = None,
        **options: Any,
    ) -> None:
        super().__init__(nb, output_path=str(output) if output else None, **options)
        self._kept = kept
        self.echo = echo or Echo()
        self.fault = ""

    def save(self, **kwargs: Any) -> None:
        """Write the notebook under another name, then rename: it is never half there.

        Until the end it is written in the quick way (``marks.write_notebook``). A full disk does
        not end the run: ``fault`` says what was wrong with the newest try, and the last save of
        all (``notebook_complete``) raises it.
        """
        if kwargs.get("nb"):
            self.nb = kwargs["nb"]
        self.last_save_time = self.now()
        self.fault = ""
        try:
            if self.output_path:
                path = Path(self.output_path)
                marks.write_notebook(self.nb, path, is_final=self.end_time is not None)
        except OSError as error:
            self.fault = f"its outputs could not be saved: {error.strerror or error}"

    def notebook_start(self, **kwargs: Any) -> None:
        """Begin: cells lose what an earlier run left in them, but for those that are kept.

        It is not saved yet: that is done while the kernel comes up.
        """
        self.set_timer()
        self.nb.metadata.papermill.update(
            {
                "start_time": self.start_time.isoformat(),
                "end_time": None,
                "duration": None,
                "exception": None,
            }
        )
        if not self._kept:
            self.nb.metadata.pop("widgets", None)
        for cell in self.nb.cells:
            if cell.get("id") not in self._kept:
                marks.empty(cell)

    def step_started(self, cell: NotebookNode, event: StepEvent) -> None:
        """Mark a cell as running."""
        self.echo.cell("Executing", event.index + 1)
        marks.forget(cell)
        told = {"status": "running", "started_at": utc_text(event.started_at)}
        cell.metadata.setdefault("imtkit", {}).update(told)
        cell.metadata.papermill.update(
            {"start_time": event.started_at.isoformat(), "status": self.RUNNING, "exception": False}
        )

    def step_finished(self, cell: NotebookNode, event: StepEvent) -> None:
        """Mark how a cell ended, and save."""
        marks.mark(cell, event)
        self.echo.cell("Ending", event.index + 1)
        if event.status not in marks.IN_PAPERMILLS_WORDS:
            self.nb.metadata.papermill["exception"] = True
        self.save()
        if self.pbar:
            self.pbar.update(1)

    def settle(self) -> None:
        """Leave no cell without its truth."""
        marks.settle(self.nb, self._kept)

    def notebook_complete(self, **kwargs: Any) -> None:
        """Stamp the end. Cells that were never started stay pending: they did not run.

        Where there is nothing to run (text, empty cells) the run came past, or it did not.
        """
        self.end_time = self.now()
        about = self.nb.metadata.papermill
        about["end_time"] = self.end_time.isoformat()
        about["duration"] = (self.end_time - self.start_time).total_seconds()
        for cell in self.nb.cells:
            if marks.is_step(cell):
                if not marks.was_passed(cell):
                    break
            else:
                cell.metadata.papermill.update(status=self.COMPLETED, exception=False)
        self.cleanup_pbar()
        self.save()
        if self.fault:
            raise OSError(self.fault)
