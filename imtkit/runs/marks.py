"""What a run writes into the cells of its notebook, and how the notebook is written.

Nothing here needs papermill: ``keeper`` does, and papermill imports our engine with itself.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from imtkit.model.entries import utc_text
from imtkit.runs.conditions import StepEvent, limit_from
from imtkit.runs.denial import TAG
from imtkit.runs.notebook import source_sha256
from imtkit.runs.runbook import SKIPPED

if TYPE_CHECKING:
    from nbformat import NotebookNode

_OURS = ("status", "started_at", "finished_at", "error", "source_sha256")
"""What a run writes of a cell under ``imtkit``; an author's own settings stand beside it."""

IN_PAPERMILLS_WORDS = {"completed": "completed", "running": "running", "not-run": "pending"}
"""What papermill calls a step that ended so; it calls all others failed."""


def settle(nb: NotebookNode, kept: frozenset[str] = frozenset()) -> None:
    """Leave no cell without its truth: what did not begin did not run, what hung has failed."""
    for cell in nb.cells:
        if not is_step(cell) or cell.get("id") in kept:
            continue
        told = cell.metadata.setdefault("imtkit", {})
        if told.get("status") == "running":
            told.update(status="failed", error="the run stopped while it ran")
            cell.metadata.setdefault("papermill", {}).update(status="failed", exception=True)
        else:
            told.setdefault("status", "not-run")


def is_step(cell: NotebookNode) -> bool:
    """Whether there is anything to run in a cell."""
    return bool(cell.cell_type == "code" and cell.source.strip())


def was_passed(cell: NotebookNode) -> bool:
    """Whether the run went on after a cell: it completed, or was not meant to run."""
    status = cell.metadata.papermill["status"]
    is_aside = bool({TAG, SKIPPED} & set(cell.metadata.get("tags", [])))
    return status == "completed" or (is_aside and status == "pending")


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


def empty(cell: NotebookNode) -> None:
    """Take away what an earlier run left in a cell: outputs, and what it wrote of it."""
    forget(cell)
    cell.metadata["papermill"] = {
        "exception": None,
        "start_time": None,
        "end_time": None,
        "duration": None,
        "status": "pending",
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
            "status": IN_PAPERMILLS_WORDS.get(event.status, "failed"),
            "exception": event.status not in IN_PAPERMILLS_WORDS,
        }
    )


def write_notebook(nb: NotebookNode, path: Path, *, is_final: bool = True) -> None:
    """Write a notebook so that it is on disk whole, or not at all.

    The final one is laid out as Jupyter does. While a run goes on it is written after every
    step, on one line: that takes a tenth of the time, and any reader of notebooks reads it.
    """
    import nbformat
    from nbformat.v4.nbjson import BytesEncoder

    quick = {"ensure_ascii": False, "cls": BytesEncoder}
    text = nbformat.writes(nb) if is_final else json.dumps(nb, **quick)
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        with part.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
