"""What runbooks import, and whether what was loaded for them has changed since."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imtkit.errors import InputError
from imtkit.runs.runbook import code_cells, read_notebook, runbook_paths, source

Stamp = tuple[int, int]
"""When a file was last changed (nanoseconds) and its bytes; (-1, -1) when it is not there."""

_GONE: Stamp = (-1, -1)


def stamp(path: str) -> Stamp:
    """What tells a file or folder from what it was before."""
    try:
        told = os.stat(path)  # noqa: PTH116 # hundreds at each claim; Path.stat takes twice as long
    except OSError:
        return _GONE
    return told.st_mtime_ns, told.st_size


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a process loaded, and the stamps of the files that it came from."""

    modules: tuple[str, ...]
    left_out: Mapping[str, str]
    stamps: Mapping[str, Stamp]

    def changed(self) -> str:
        """The first file that is not as it was when it was loaded; empty when all are."""
        return next((path for path, then in self.stamps.items() if stamp(path) != then), "")


class RunbookImports:
    """The modules that the runbooks of some folders import; files are read when they change.

    Asking is quick enough to do each time a kernel is handed out.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._listed: tuple[Stamp, ...] = ()
        self._paths: list[Path] = []
        self._known: dict[str, tuple[Stamp, frozenset[str]]] = {}

    def now(self) -> tuple[str, ...]:
        """Modules as ``a.b``, and what is taken from them as ``a.b:c``, by name."""
        folders = tuple(stamp(str(folder)) for folder in self._folders)
        if folders != self._listed:  # a file came or went
            self._listed, self._paths = folders, runbook_paths(self._folders)
        known, self._known = self._known, {}
        for path in self._paths:
            key = str(path)
            now = stamp(key)
            then, names = known.get(key, (_GONE, frozenset()))
            self._known[key] = (now, names if now == then else imports_of(path))
        return tuple(sorted({name for _, names in self._known.values() for name in names}))


def imports_of(path: Path) -> frozenset[str]:
    """What the code cells of a Python notebook import at their top; nothing if it is no notebook.

    Cells that do not parse are passed over, and so are lines and cells for IPython's magics.
    """
    try:
        _, document = read_notebook(path)
        texts = [source(cell) for cell in code_cells(document)]
    except (InputError, TypeError):  # TypeError: lines of a cell that are no text
        return frozenset()
    if _language(document) not in ("", "python"):
        return frozenset()
    return frozenset(name for text in texts for name in _imports(text))


def interpreter_files() -> tuple[str, ...]:
    """The files whose change makes this Python another one."""
    executable = Path(sys.executable)
    return (str(executable), str(executable.resolve()), str(Path(sys.prefix, "pyvenv.cfg")))


def _language(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    return str(spec.get("language", "")) if isinstance(spec, dict) else ""


def _imports(text: str) -> Iterator[str]:
    if text.lstrip().startswith("%%"):
        return
    lines = (line for line in text.splitlines() if not line.startswith(("%", "!")))
    try:
        body = ast.parse("\n".join(lines)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and not statement.level:
            module = statement.module or ""
            yield from (f"{module}:{alias.name}" for alias in statement.names)
