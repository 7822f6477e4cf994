"""The whole of outputs that were too big for their notebook: in the record, and checked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from imtkit.model.entries import Entry
from imtkit.model.incident import Incident
from imtkit.model.words import run_name

FOLDER = "outputs"
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class WholeOutput:
    """A file that holds all that a step put out: what the log says of it, and where it is.

    ``dropped`` are bytes that were too much even for the file. ``problem`` is why it cannot be
    relied on.
    """

    entry: Entry
    run: str
    step: str
    file: str
    sha256: str
    size: int
    dropped: int
    path: Path | None
    problem: str = ""

    @property
    def name(self) -> str:
        """The name of its copy in the record, unique by content."""
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", self.file).lstrip(".-") or "output.txt"
        return f"{self.sha256[:12]}-{plain}"

    @property
    def href(self) -> str:
        """The copy's address, relative to the index."""
        return f"{FOLDER}/{quote(self.name)}"


def whole_outputs(incident: Incident, notebooks: Mapping[str, Path]) -> Iterator[WholeOutput]:
    """What the log says of them, in order; ``notebooks``, by run id, are where they lie beside."""
    for entry in incident.entries:
        told = entry.data.get("whole_output")
        if entry.type != "step.finished" or entry.n in incident.superseded:
            continue
        if not isinstance(told, Mapping) or not told.get("file"):
            continue
        id_ = str(entry.data.get("run", ""))
        run = incident.run(id_)
        file = Path(str(told["file"])).name
        notebook = notebooks.get(id_)
        yield WholeOutput(
            entry,
            run_name(run) if run else id_,
            str(entry.data.get("title") or entry.data.get("step", "")),
            file,
            str(told.get("sha256", "")),
            _count(told.get("size")),
            _count(told.get("dropped")),
            notebook.with_name(file) if notebook else None,
            "" if notebook else "it is not known where its file is",
        )


def copy_checked(one: WholeOutput, folder: Path) -> str:
    """Copy a file into a record's folder, if it is what the log says; else why it is not."""
    if one.path is None:
        return one.problem
    place = folder / FOLDER / one.name
    place.parent.mkdir(exist_ok=True)
    found = hashlib.sha256()
    try:
        source = one.path.open("rb")
    except FileNotFoundError:
        return "its file is missing"
    except (OSError, ValueError) as error:
        return f"its file cannot be read: {error}"
    with source, place.open("wb") as copy:
        while piece := source.read(_PIECE):
            found.update(piece)
            copy.write(piece)
    if found.hexdigest() == one.sha256:
        return ""
    place.unlink()
    return f"its file is not what was kept (its SHA-256 begins {found.hexdigest()[:12]})"


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
