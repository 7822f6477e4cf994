"""Runbooks: notebooks with metadata and one ``parameters`` cell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from imtkit.errors import InputError, NotFoundError
from imtkit.model.checklist import slug
from imtkit.runs.conditions import limit_from
from imtkit.runs.parameters import Parameter, parameters_from_source

METADATA = "imtkit"
"""The key of a runbook's own table in the notebook's metadata."""


USUAL_KERNEL = "python3"
"""The kernel of a notebook that names none."""


@dataclass(frozen=True, slots=True)
class Runbook:
    """What a notebook says of itself. ``sha256`` is of the file's bytes.

    ``alert_parameters`` are those that an alert may fill: no other is ever taken from one.
    ``step_seconds`` and ``run_seconds`` are how long a step and a whole run may take.
    """

    name: str
    path: Path
    title: str
    sha256: str
    owner: str = ""
    category: str = ""
    services: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    alert_parameters: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    severity_hints: tuple[str, ...] = ()
    last_reviewed: str = ""
    kernel: str = USUAL_KERNEL
    language: str = "python"
    parameters: tuple[Parameter, ...] = ()
    step_seconds: float | None = None
    run_seconds: float | None = None
    has_metadata: bool = False
    has_parameters_cell: bool = False

    def answers(self, alert: str) -> bool:
        """Whether it says it answers alerts of this name; ``*`` stands for anything."""
        return any(fnmatchcase(alert, pattern) for pattern in self.alerts)


def read_runbook(path: Path, *, known: Runbook | None = None) -> Runbook:
    """The runbook in a file, the ``known`` one where that has not changed since; InputError when
    the file is not a notebook.
    """
    content = _bytes_of(path)
    sha256 = hashlib.sha256(content).hexdigest()
    if known is not None and (known.path, known.sha256) == (path, sha256):
        return known
    document = _document(path, content)
    metadata = _table(document.get("metadata"))
    own = _table(metadata.get(METADATA))
    cell = next((c for c in code_cells(document) if "parameters" in tags(c)), None)
    return Runbook(
        name=path.stem,
        path=path,
        title=_text(own.get("title")) or _heading(document) or path.stem,
        sha256=sha256,
        owner=_text(own.get("owner")),
        category=_text(own.get("category")),
        services=_texts(own.get("services")),
        alerts=_texts(own.get("alerts")),
        alert_parameters=_texts(own.get("alert_parameters")),
        roles=_texts(own.get("roles")),
        severity_hints=_texts(_table(own.get("severity")).get("hints")),
        last_reviewed=_text(own.get("last_reviewed")),
        kernel=_text(_table(metadata.get("kernelspec")).get("name")) or USUAL_KERNEL,
        language=_text(_table(metadata.get("kernelspec")).get("language"))
        or _text(_table(metadata.get("language_info")).get("name"))
        or "python",
        parameters=parameters_from_source(source(cell)) if cell else (),
        step_seconds=limit_from(own.get("step_seconds")),
        run_seconds=limit_from(own.get("run_seconds")),
        has_metadata=bool(own),
        has_parameters_cell=cell is not None,
    )


def read_notebook(path: Path) -> tuple[bytes, Mapping[str, Any]]:
    """A notebook file's bytes and its document, checked only as far as reading it needs."""
    content = _bytes_of(path)
    return content, _document(path, content)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The notebook {path} cannot be read: {error.strerror}.",
            hint="Make it a file that you may read.",
        ) from error


def _document(path: Path, content: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not a notebook: {error}.",
            hint="Put it back from version control, or begin anew: imt runbook new NAME",
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise InputError(
            f"{path} is not a notebook of format 4.",
            hint="Open and save it in JupyterLab, which brings older formats up to date.",
        )
    return document


def find_runbook(folders: Sequence[Path], wanted: str) -> Runbook:
    """The runbook of this name in the folders, first found first, or at this path.

    NotFoundError names the nearest.
    """
    direct = Path(wanted).expanduser()
    if direct.suffix == ".ipynb" and direct.is_file():
        return read_runbook(direct.resolve())
    name = wanted.removesuffix(".ipynb")
    for folder in folders:
        path = folder / f"{name}.ipynb"
        if Path(name).name == name and path.is_file():
            return read_runbook(path)
    known = (path.stem for path in runbook_paths(folders))
    where = f" in {folders[0].name}/ or among those that ship" if folders else ""
    raise NotFoundError.of("Runbook", wanted, known, where=where)


def runbook_paths(folders: Iterable[Path]) -> list[Path]:
    """Every runbook file, by name; one in an earlier folder hides its namesakes later."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.ipynb")):
            found.setdefault(path.stem, path)
    return [found[name] for name in sorted(found)]


def code_cells(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The code cells of a notebook's document, in order."""
    cells = document.get("cells", [])
    return [c for c in cells if isinstance(c, dict) and c.get("cell_type") == "code"]


SKIPPED = "skip-execution"
"""The tag of cells that never run: nbclient's own word for them."""


def tags(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """The tags of a cell."""
    return _texts(_table(cell.get("metadata")).get("tags"))


def source(cell: Mapping[str, Any]) -> str:
    """The text of a cell, which a file may hold as lines."""
    text = cell.get("source", "")
    return "".join(text) if isinstance(text, list) else str(text)


def step_title(cell: Mapping[str, Any], before: str) -> str:
    """What to call a step: its first comment, else the heading above it, else its first line."""
    lines = [line.strip() for line in source(cell).splitlines() if line.strip()]
    if lines and lines[0].startswith("#") and not lines[0].startswith("#!"):
        return lines[0].lstrip("# ")[:80]
    return before or (lines[0][:80] if lines else "empty cell")


def step_titles(document: Mapping[str, Any]) -> dict[int, str]:
    """A title for each code cell, by its place among all cells."""
    titles: dict[int, str] = {}
    heading = ""
    for index, cell in enumerate(document.get("cells", [])):
        if cell.get("cell_type") == "code":
            titles[index] = step_title(cell, heading)
            heading = ""
        elif cell.get("cell_type") == "markdown":
            heading = _first_heading(source(cell)) or heading
    return titles


def _heading(document: Mapping[str, Any]) -> str:
    for cell in document.get("cells", []):
        if isinstance(cell, dict) and cell.get("cell_type") == "markdown":
            return _first_heading(source(cell))
    return ""


def _first_heading(text: str) -> str:
    for line in text.splitlines():
        if line.startswith("#"):
            return line.lstrip("# ").strip()[:80]
    return ""


def file_name(runbook: Runbook) -> str:
    """A runbook's name as part of a file name: letters, digits and hyphens only."""
    return slug(runbook.name)


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()
