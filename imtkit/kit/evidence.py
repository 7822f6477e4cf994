"""Keep figures, tables and files as evidence."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from uuid import uuid4

from imtkit.errors import InputError, StoreError
from imtkit.kit.desk import Desk
from imtkit.model.checklist import slug
from imtkit.model.incident import Evidence


def keep(
    desk: Desk, incident_id: str, title: str, content: bytes, *, name: str, media_type: str
) -> Evidence:
    """Keep bytes as a file beside the log, and log its SHA-256.

    The file is on disk before the log names it; the same bytes under the same title twice are
    one entry. ``name`` gives the file's readable part and ending.
    """
    if not title.strip():
        raise InputError("Evidence needs a title.")
    incident = desk.store.incident(incident_id.strip().upper())
    sha256 = hashlib.sha256(content).hexdigest()
    for known in incident.evidence:
        if known.sha256 == sha256 and known.title == title:
            return known
    given = Path(name)
    ending = "".join(char for char in given.suffix.lower() if char.isalnum() or char == ".")[:10]
    path = Path("evidence") / f"{sha256[:12]}-{slug(given.stem)}{ending}"
    write_whole(desk.folder(incident.id) / path, content)
    data = {
        "title": title.strip(),
        "path": path.as_posix(),
        "sha256": sha256,
        "media_type": media_type,
        "size": len(content),
    }
    key = f"{incident.id}/evidence/{sha256}/{hashlib.sha256(title.encode()).hexdigest()[:16]}"
    desk.store.append(incident.id, desk.draft("evidence.added", data, key=key))
    found = desk.store.incident(incident.id).evidence
    return next(one for one in found if one.sha256 == sha256 and one.title == title.strip())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole, and on disk, or not at all."""
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Free some space or make the folder writable, and try again.",
            retryable=True,
        ) from error
