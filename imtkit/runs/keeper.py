"""Keeps a run's output notebook: whole on disk at any moment, and true."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from papermill.engines import NotebookExecutionManager

from imtkit.model.entries import utc_text
from imtkit.runs.conditions import StepEvent, limit_from
from imtkit.runs.notebook import source_sha256

if TYPE_CHECKING:
    from nbformat import NotebookNode

_OURS = ("status", "started_at", "finished_at", "error", "source_sha256")
"""What a run writes of a cell under ``imtkit``; an author's own settings stand beside it."""

_IN_PAPERMILLS_WORDS = {"completed": "completed", "running": "running", "not-run": "pending"}


class Keeper(NotebookExecutionManager):  # type: ignore[misc]  # papermill ships no types
    """Keeps the output notebook: whole on disk at any moment, and true."""

    def __init__(
        self,
        nb: NotebookNode,
        output: Path | None,
        *,
        kept: frozenset[str] = frozenset(),
        **options: Any,
    ) -> None:
        super().__init__(nb, output_path=str(output) if output else None, **options)
        self._kept = kept
        self.fault = ""

    def save(self, **kwargs: Any) -> None:
        """Write the notebook under another name, then rename: it is never half there.

        A full disk does not end the run: ``fault`` says what was wrong with the newest try,
        and the last save of all (``notebook_complete``) raises it.
        """
        if kwargs.get("nb"):
            self.nb = kwargs["nb"]
        self.last_save_time = self.now()
        self.fault = ""
        try:
            if self.output_path:
                write_notebook(self.nb, Path(self.output_path))
        except OSError as error:
            self.fault = f"its outputs could not be saved: {error.strerror or error}"

    def notebook_start(self, **kwargs: Any) -> None:
        """Begin: cells lose what an earlier run left in them, but for those that are kept."""
        self.set_timer()
        self.nb.metadata.papermill.update(
            {
                "start_time": self.start_time.isoformat(),
                "end_time": None,
                "duration": None,
                "exception": None,
            }
        )
        for cell in self.nb.cells:
            if cell.get("id") not in self._kept:
                _empty(cell)
        self.save()

    def step_started(self, cell: NotebookNode, event: StepEvent) -> None:
        """Mark a cell as running."""
        forget(cell)
        told = {"status": "running", "started_at": utc_text(event.started_at)}
        cell.metadata.setdefault("imtkit", {}).update(told)
        cell.metadata.papermill.update(
            {"start_time": event.started_at.isoformat(), "status": self.RUNNING, "exception": False}
        )

    def step_finished(self, cell: NotebookNode, event: StepEvent) -> None:
        """Mark how a cell ended, and save."""
        mark(cell, event)
        if event.status not in _IN_PAPERMILLS_WORDS:
            self.nb.metadata.papermill["exception"] = True
        self.save()
        if self.pbar:
            self.pbar.update(1)

    def settle(self) -> None:
        """Leave no cell without its truth."""
        settle(self.nb, self._kept)

    def notebook_complete(self, **kwargs: Any) -> None:
        """Stamp the end. Cells that were never started stay pending: they did not run."""
        self.end_time = self.now()
        about = self.nb.metadata.papermill
        about["end_time"] = self.end_time.isoformat()
        about["duration"] = (self.end_time - self.start_time).total_seconds()
        for cell in self.nb.cells:
            if cell.cell_type != "code":
                cell.metadata.papermill["status"] = self.COMPLETED
        self.cleanup_pbar()
        self.save()
        if self.fault:
            raise OSError(self.fault)


def settle(nb: NotebookNode, kept: frozenset[str] = frozenset()) -> None:
    """Leave no cell without its truth: what did not begin did not run, what hung has failed."""
    for cell in nb.cells:
        if cell.cell_type != "code" or cell.get("id") in kept:
            continue
        told = cell.metadata.setdefault("imtkit", {})
        if told.get("status") == "running":
            told.update(status="failed", error="the run stopped while it ran")
            cell.metadata.setdefault("papermill", {}).update(status="failed", exception=True)
        elif cell.source.strip():
            told.setdefault("status", "not-run")


def seconds_allowed(cell: NotebookNode) -> float | None:
    """The most seconds that a cell gives itself (``imtkit.timeout_seconds``), if it does."""
    return limit_from(cell.metadata.get("imtkit", {}).get("timeout_seconds"))


def forget(cell: NotebookNode) -> None:
    """Take away what an earlier run wrote of a cell; what its author wrote there stays."""
    about = cell.metadata.get("imtkit")
    if about is not None:
        for name in _OURS:
            about.pop(name, None)
        if not about:
            del cell.metadata["imtkit"]


def _empty(cell: NotebookNode) -> None:
    forget(cell)
    cell.metadata["papermill"] = {
        "exception": None,
        "start_time": None,
        "end_time": None,
        "duration": None,
        "status": Keeper.PENDING,
    }
    if cell.cell_type == "code":
        cell.execution_count = None
        cell.outputs = []


def mark(cell: NotebookNode, event: StepEvent) -> None:
    """Write how a step ended into its cell: our words, then papermill's nearest."""
    finished_at = event.finished_at or event.started_at
    seconds = (finished_at - event.started_at).total_seconds()
    forget(cell)
    told = {
        "status": event.status,
        "started_at": utc_text(event.started_at),
        "finished_at": utc_text(finished_at),
        "source_sha256": source_sha256(cell.source),
        **({"error": event.error} if event.error else {}),
    }
    cell.metadata.setdefault("imtkit", {}).update(told)
    cell.metadata.papermill.update(
        {
            "end_time": finished_at.isoformat(),
            "duration": seconds,
            "status": _IN_PAPERMILLS_WORDS.get(event.status, "failed"),
            "exception": event.status not in _IN_PAPERMILLS_WORDS,
        }
    )


def write_notebook(nb: NotebookNode, path: Path) -> None:
    """Write a notebook so that it is on disk whole, or not at all."""
    import nbformat

    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        with part.open("x", encoding="utf-8") as file:
            file.write(nbformat.writes(nb))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
