"""A record that another machine built, put in place here as if it were built here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from imtkit.errors import RecordError
from imtkit.model.incident import Incident
from imtkit.record.build import FOLDER, take_away
from imtkit.record.manifest import INDEX, MANIFEST, read_manifest
from imtkit.record.swap import one_builder, put_in_place, restore

Fetch = Callable[[str, Path], str]
"""Writes a record's file of this name to a new place, and tells its SHA-256."""


def bring_record(incident: Incident, folder: Path, manifest: bytes, fetch: Fetch) -> None:
    """Put the record of this manifest in place in ``folder``, in one step, when all of it is here.

    RecordError when one of its files is not what the manifest says, or nothing can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with one_builder(folder):
            restore(folder / FOLDER)
            draft = Path(mkdtemp(prefix=f".{FOLDER}-", dir=folder))
            draft.chmod(0o755)
            try:
                _fill(incident, draft, manifest, fetch)
                replaced = put_in_place(draft, folder / FOLDER)
                if replaced is not None:
                    take_away(replaced, incident)
            finally:
                shutil.rmtree(draft, ignore_errors=True)  # where it did not come that far
    except OSError as error:
        raise RecordError(
            f"The record of {incident.id} cannot be written to {folder}: {error.strerror}.",
            hint="Make room or give access; the record that was there before still is.",
        ) from error


def _fill(incident: Incident, draft: Path, manifest: bytes, fetch: Fetch) -> None:
    (draft / f"{MANIFEST}.part").write_bytes(manifest)
    (draft / f"{MANIFEST}.part").rename(draft / MANIFEST)  # whole, should this be killed
    for name, (sha256, _) in read_manifest(draft).files.items():
        path = draft / name
        if ".." in path.parts or not path.is_relative_to(draft):
            raise RecordError(f"{name} would lie outside the record of {incident.id}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        if fetch(name, path) != sha256:
            raise RecordError(
                f"{name} of the record of {incident.id} is not what was archived.",
                hint=f"Build it again: imt record build {incident.id}",
            )
    built = [one.occurred_at for one in incident.entries if one.type == "record.built"]
    if built and (draft / INDEX).is_file():  # lists tell the page's age as the time of its making
        os.utime(draft / INDEX, (built[-1].timestamp(), built[-1].timestamp()))
