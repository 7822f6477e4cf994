"""The archive: records that were built, as static files that can do nothing."""

from __future__ import annotations

import re
import time
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from imtkit.contracts import Query
from imtkit.errors import ImtkitError, NotFoundError, ServiceError
from imtkit.kit import Desk, copies
from imtkit.kit.desk import id_of
from imtkit.kit.outputs import built_last
from imtkit.model.incident import Incident, Summary
from imtkit.web.asked import Asked
from imtkit.web.drawing import GUARDED

if TYPE_CHECKING:
    from starlette.responses import Response

_POLICY = (
    "sandbox allow-popups; default-src 'none'; img-src 'self' data:; "
    "style-src 'unsafe-inline'; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""As the record's own pages say, and besides: whatever else it holds runs no script either."""

_SHOWN = {
    # what a browser may show; all else is a download
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".csv": "text/plain; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
}
_ID = re.compile(r"[A-Z0-9][A-Z0-9-]{0,60}")
_MOST = 500
_INDEX = "index.html"


@dataclass(frozen=True, slots=True)
class Kept:
    """A record in the archive: whose, and when it was built."""

    incident: str
    built_at: datetime
    summary: Summary | None


async def listed(asked: Asked) -> Response:
    """``/archive``: the records in the workspace's outputs, newest first.

    Where outputs have an address, also those of closed incidents that other machines sent there.
    """

    def look(desk: Desk) -> list[Kept]:
        known = {one.id: one for one in desk.store.incidents(Query(limit=_MOST))}
        found = [
            Kept(
                index.parent.parent.name,
                datetime.fromtimestamp(index.stat().st_mtime, UTC),
                known.get(index.parent.parent.name),
            )
            for index in desk.settings.outputs.glob("*/record/index.html")
            if _ID.fullmatch(index.parent.parent.name)
        ]
        if desk.settings.depot.address:
            here = {one.incident for one in found}
            found += [
                Kept(id_, row.closed_at, row)
                for id_, row in known.items()
                if row.closed_at is not None and id_ not in here
            ]
        return sorted(found, key=lambda one: one.built_at, reverse=True)[:_MOST]

    return asked.page("archive.html", kept=await asked.work(look))


def has_record(desk: Desk, incident: Incident) -> bool:
    """Whether the archive has an incident's record, here or where outputs are sent."""
    is_here = (desk.folder(incident.id) / "record" / _INDEX).is_file()
    return is_here or (bool(desk.settings.depot.address) and bool(built_last(incident)))


class Elsewhere:
    """The records that other machines sent to the address of outputs.

    An address that failed is left alone for so many seconds: each look at one that is away waits
    long, and keeps one of the few who work at pages.
    """

    def __init__(self, pause_seconds: float = 30.0) -> None:
        self._pause_seconds = pause_seconds
        self._fault, self._failed_at = ServiceError(), float("-inf")

    def see_to(self, desk: Desk, incident: str, name: str) -> None:
        """Have the newest record here, before its index is shown or where it is not here at all.

        What is here stays what is shown, whatever keeps the newest from coming.
        """
        is_here = (desk.folder(incident) / "record" / _INDEX).is_file()
        if not desk.settings.depot.address or (is_here and name != _INDEX):
            return
        try:
            self._fetch(desk, incident)
        except ImtkitError:
            if not is_here:
                raise

    def _fetch(self, desk: Desk, incident: str) -> None:
        if time.monotonic() - self._failed_at < self._pause_seconds:
            raise copy(self._fault)
        try:
            copies.fetch_record(desk, incident)
        except ServiceError as error:
            self._fault, self._failed_at = error, time.monotonic()
            raise


async def file(asked: Asked, elsewhere: Elsewhere) -> Response:
    """A file of a record; its folder's name alone leads to its index. NotFoundError otherwise."""
    from starlette.responses import FileResponse, RedirectResponse

    incident, name = asked.path("incident"), asked.path("file")
    if not name:
        to = f"/archive/{id_of(incident)}/index.html" if _ID.fullmatch(id_of(incident)) else "/"
        return RedirectResponse(to, 303, headers=dict(GUARDED))
    path = await asked.work(lambda desk: _within(desk, elsewhere, incident, name))
    kind = _SHOWN.get(path.suffix.lower())
    return FileResponse(
        path,
        media_type=kind or "application/octet-stream",
        filename=None if kind else path.name,
        headers={**GUARDED, "Content-Security-Policy": _POLICY},
    )


def _within(desk: Desk, elsewhere: Elsewhere, incident: str, name: str) -> Path:
    """The file of this name in an incident's record, and nowhere else, links followed."""
    missing = NotFoundError(
        f"The archive has no {name[:200]!r} of {incident[:60]!r}.", hint="See what it has: /archive"
    )
    parts = name.split("/")
    if not _ID.fullmatch(incident) or "\0" in name or any(p in ("", ".", "..") for p in parts):
        raise missing
    if any(part.startswith(".") or "\\" in part for part in parts):
        raise missing
    elsewhere.see_to(desk, incident, name)
    folder = (desk.folder(incident) / "record").resolve()
    path = folder.joinpath(*parts).resolve()
    is_ours = folder.is_relative_to(desk.settings.outputs.resolve()) and path.is_relative_to(folder)
    try:
        is_there = is_ours and path.is_file()
    except OSError:  # a name too long for any file
        is_there = False
    if not is_there:
        raise missing
    return path
