"""An executed notebook, as a run left it: what ran, and what somebody edited since."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from imtkit.runs.denial import TAG
from imtkit.runs.runbook import SKIPPED, code_cells, read_notebook, source, tags

_AGAIN = frozenset({"setup", "parameters", "injected-parameters"})


@dataclass(frozen=True, slots=True)
class ExecutedCell:
    """One code cell of an executed notebook."""

    id: str
    tags: tuple[str, ...]
    is_edited: bool


@dataclass(frozen=True, slots=True)
class ExecutedNotebook:
    """The code cells of an executed notebook, in order."""

    cells: tuple[ExecutedCell, ...]

    @property
    def edited(self) -> tuple[str, ...]:
        """The cells, by id, whose text is not what ran."""
        return tuple(cell.id for cell in self.cells if cell.is_edited)


def read_executed(path: Path) -> ExecutedNotebook:
    """The executed notebook in a file; InputError when it is none."""
    _, document = read_notebook(path)
    found = []
    for cell in code_cells(document):
        told = cell.get("metadata", {}).get("imtkit", {}).get("source_sha256", "")
        is_edited = bool(told) and source_sha256(source(cell)) != told
        found.append(ExecutedCell(str(cell.get("id", "")), tags(cell), is_edited))
    return ExecutedNotebook(tuple(found))


def kept_cells(notebook: ExecutedNotebook, completed: Collection[str]) -> frozenset[str]:
    """The cells that are not run again on a new kernel, given the steps that completed.

    Everything that completed, up to the first cell that did not, but for what later cells need:
    cells tagged ``setup`` and the parameters. A ``once`` cell that completed is always kept. Cells
    for a denial stand apart: they hold nothing up, and what was done of them is done.
    """
    kept = set()
    is_before = True
    for cell in notebook.cells:
        is_given = "injected-parameters" in cell.tags
        is_for_denial = TAG in cell.tags
        is_aside = is_for_denial or SKIPPED in cell.tags
        is_before = is_before and (cell.id in completed or is_given or is_aside)
        if cell.id not in completed:
            continue
        is_done = (is_before or is_for_denial) and not _AGAIN & set(cell.tags)
        if "once" in cell.tags or is_done:
            kept.add(cell.id)
    return frozenset(kept)


def cells_that_stand(
    notebook: ExecutedNotebook, completed: Collection[str], *, are_values_new: bool
) -> frozenset[str]:
    """The cells that are not run again on the kernel that ran them: all that completed.

    But for the parameters where values were corrected.
    """
    parameters = {"parameters", "injected-parameters"}
    return frozenset(
        cell.id
        for cell in notebook.cells
        if (not parameters & set(cell.tags) and cell.id in completed)
        or (parameters & set(cell.tags) and not are_values_new)
    )


def source_sha256(text: str) -> str:
    """The hash of a cell's text as it ran: shows later whether somebody edited it since."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
