"""Mend the notebook of a run whose runner died."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from imtkit.errors import InputError
from imtkit.model.entries import utc_from_text
from imtkit.model.lifecycle import STEP_STATUSES
from imtkit.runs.conditions import StepEvent

if TYPE_CHECKING:
    from nbformat import NotebookNode

DIED = "its runner died"


def ended_cells(path: Path) -> Mapping[str, StepEvent]:
    """How the cells ended, by id, as the notebook has it; cells that did not are left out.

    A step whose outputs and end are in the notebook has ended, though its runner died before
    the log was told.
    """
    nb = _read(path)
    events: dict[str, StepEvent] = {}
    for index, cell in enumerate(nb.cells if nb is not None else ()):
        told = cell.metadata.get("imtkit", {})
        if cell.get("id") and told.get("status") in STEP_STATUSES and "finished_at" in told:
            began, ended = (utc_from_text(told[name]) for name in ("started_at", "finished_at"))
            error = str(told.get("error", ""))
            events[cell.id] = StepEvent(cell.id, index, "", told["status"], began, ended, error)
    return events


def mend(path: Path, died: Mapping[str, datetime], at: datetime) -> None:
    """Say in the notebook what is true: these cells died with their runner, and when they began.

    Cells that never began did not run. An empty file, from before anything ran, is removed.
    """
    from imtkit.runs.marks import mark, settle, write_notebook

    nb = _read(path)
    if nb is None:
        if path.exists() and path.stat().st_size == 0:
            path.unlink()
        return
    for index, cell in enumerate(nb.cells):
        if cell.get("id") in died:
            began = died[cell.id]
            mark(cell, StepEvent(cell.id, index, "", "kernel-died", began, at, DIED))
    settle(nb)
    nb.metadata.setdefault("papermill", {}).update(exception=True, end_time=at.isoformat())
    write_notebook(nb, path)


def agree(path: Path, completed: Mapping[str, StepEvent]) -> None:
    """Say in the notebook, too, of these steps that they completed, as the log says.

    A person who works in JupyterLab runs cells of which the notebook's metadata tells nothing,
    or tells of an earlier try.
    """
    from imtkit.runs.marks import mark, write_notebook

    nb = _read(path)
    stale = [
        cell
        for cell in (nb.cells if nb is not None else ())
        if cell.get("id") in completed
        and cell.metadata.get("imtkit", {}).get("status") != "completed"
    ]
    for cell in stale:
        cell.metadata.setdefault("papermill", {})
        mark(cell, completed[cell.id])
    if stale:
        write_notebook(nb, path)


def _read(path: Path) -> NotebookNode | None:
    import nbformat
    from nbformat.reader import NotJSONError

    try:
        return nbformat.read(path, 4)
    except (FileNotFoundError, NotJSONError):
        return None
    except OSError as error:
        raise InputError(f"The notebook {path} cannot be read: {error.strerror}.") from error
