"""Keep figures, tables and files as evidence."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from pathlib import Path

from imtkit.config import current_run
from imtkit.errors import InputError, StateError
from imtkit.kit import unsent
from imtkit.kit.desk import Desk, id_of
from imtkit.kit.files import write_whole
from imtkit.model.checklist import slug
from imtkit.model.entries import Draft
from imtkit.model.incident import Evidence, Incident


def keep(
    desk: Desk, incident_id: str, title: str, content: bytes, *, name: str, media_type: str
) -> Evidence:
    """Keep bytes, without the desk's secrets, as a file beside the log, and log its SHA-256.

    The file is on disk before the log names it; the same bytes under the same title twice are
    one entry. ``name`` gives the file's readable part and ending.
    """
    title = title.strip()
    if not title:
        raise InputError("Evidence needs a title.")
    incident = desk.store.incident(id_of(incident_id))
    title = desk.scrubber.text(title)
    content = _scrubbed(desk, content)
    sha256 = hashlib.sha256(content).hexdigest()
    known = _found(incident, title, sha256)
    if known is not None:
        return known
    given = Path(desk.scrubber.text(name))
    ending = "".join(char for char in given.suffix.lower() if char.isalnum() or char == ".")[:10]
    path = Path("evidence") / f"{sha256[:12]}-{slug(given.stem)}{ending}"
    write_whole(desk.folder(incident.id) / path, content)
    data = {
        "title": title,
        "path": path.as_posix(),
        "sha256": sha256,
        "media_type": media_type,
        "size": len(content),
    }
    draft = desk.draft("evidence.added", data)

    def unless_kept(stands: Incident) -> list[Draft]:
        return [] if _found(stands, title, sha256) else [draft]

    # A run's folder is sent when it ends.
    with nullcontext() if current_run() else unsent.noted(desk, incident.id):
        desk.store.change(incident.id, unless_kept)
    kept = _found(desk.store.incident(incident.id), title, sha256)
    if kept is None:
        raise StateError(f"The evidence '{title}' was withdrawn while it was being kept.")
    return kept


def _scrubbed(desk: Desk, content: bytes) -> bytes:
    """The content without secrets; bytes that are no text stay what they are."""
    if not desk.scrubber:
        return content
    text = content.decode("utf-8", "surrogateescape")
    return desk.scrubber.text(text).encode("utf-8", "surrogateescape")


def _found(incident: Incident, title: str, sha256: str) -> Evidence | None:
    same = (one for one in incident.evidence if (one.title, one.sha256) == (title, sha256))
    return next(same, None)
