"""Find runbooks, make new ones, check them, and lay out copies to work in."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from imtkit.config import Settings, shipped
from imtkit.errors import InputError, StoreError
from imtkit.kit.desk import Desk, id_of
from imtkit.kit.files import write_whole
from imtkit.runs.lint import Complaint, lint_runbook
from imtkit.runs.runbook import (
    METADATA,
    Runbook,
    file_name,
    find_runbook,
    read_runbook,
    runbook_paths,
)


def list_(settings: Settings, *, known: Sequence[Runbook] = ()) -> list[Runbook]:
    """Every runbook, the workspace's own and those that ship; broken files are left out.

    Those of the ``known`` ones whose files are as they were need not be understood again.
    """
    found = []
    then = {runbook.path: runbook for runbook in known}
    for path in runbook_paths(settings.runbook_folders):
        try:
            found.append(read_runbook(path, known=then.get(path)))
        except InputError:
            continue  # the linter names it; a list must not fail because of one file
    return found


def broken(settings: Settings) -> list[str]:
    """Why each file that a list leaves out cannot be read as a runbook."""
    found = []
    for path in runbook_paths(settings.runbook_folders):
        try:
            read_runbook(path)
        except InputError as error:
            found.append(str(error))
    return found


def find(settings: Settings, name: str) -> Runbook:
    """The runbook of this name or at this path; NotFoundError names the nearest."""
    return find_runbook(settings.runbook_folders, name)


def answering(settings: Settings, alert: str) -> list[Runbook]:
    """The runbooks whose metadata says they answer alerts of this name."""
    return [runbook for runbook in list_(settings) if runbook.answers(alert)]


def lint(settings: Settings, names: Sequence[str] = ()) -> list[Complaint]:
    """What the linter has to say of the named runbooks, or of the workspace's own."""
    if names:
        paths = [find(settings, name).path for name in names]
    else:
        paths = runbook_paths([settings.root / "runbooks"])
    return [c for path in paths for c in lint_runbook(path, settings.severities)]


def new(
    settings: Settings, name: str, *, title: str = "", owner: str = "", replace: bool = False
) -> Path:
    """Make a runbook from the starting notebook; never over one that is there.

    With ``replace`` it may take the place of one that ships, whose file stays as it is.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name):
        raise InputError(
            f"'{name}' is not a runbook's name.",
            hint="Use small letters, digits and hyphens, such as db-failover.",
        )
    path = settings.root / "runbooks" / f"{name}.ipynb"
    if path.exists():
        raise InputError(f"{path} exists already.", hint="Choose another name, or edit that one.")
    if not replace and any(name == one.stem for one in runbook_paths(settings.runbook_folders)):
        raise InputError(
            f"A runbook '{name}' ships with imtkit; one of that name would take its place.",
            hint="Choose another name, or give --replace.",
        )
    start = shipped("templates") / "runbook" / "start.ipynb"
    document = json.loads(start.read_text(encoding="utf-8"))
    own = document["metadata"][METADATA]
    own["title"] = title or name.replace("-", " ").capitalize()
    own["owner"] = owner
    for cell in document["cells"]:
        cell["source"] = [
            line.replace("TITLE", own["title"]).replace("NAME", name) for line in cell["source"]
        ]
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    write_whole(path, text.encode())
    return path


def output_path(desk: Desk, runbook: Runbook, incident_id: str, at: datetime) -> Path:
    """A free place for a run's notebook: ``outputs/<incident>/<UTC time>-<runbook>.ipynb``.

    The name is taken at once (an empty file), so that two runs never share one.
    """
    folder = desk.folder(incident_id)
    stem = f"{at:%Y%m%dT%H%M%SZ}-{file_name(runbook)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            path = folder / f"{stem}{'' if number == 1 else f'-{number}'}.ipynb"
            try:
                path.touch(exist_ok=False)
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written: {error.strerror}.",
            hint="Make it writable, or free some space.",
            retryable=True,
        ) from error
    raise StoreError(f"{folder} holds a thousand runs of '{runbook.name}' in one second.")


def copy_for(desk: Desk, runbook: Runbook, incident_id: str) -> Path:
    """A fresh copy of a runbook in an incident's folder, to work in by hand."""
    incident = desk.store.incident(id_of(incident_id))
    path = output_path(desk, runbook, incident.id, desk.clock.now())
    write_whole(path, runbook.path.read_bytes())
    return path
