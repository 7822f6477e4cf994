"""The page that needs no service: static files, written anew at every change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from errno import EDQUOT, ENOSPC
from pathlib import Path
from tempfile import NamedTemporaryFile
from uuid import uuid4

from imtkit.contracts import Message, PageIncident, PageState, Receipt
from imtkit.errors import ServiceDownError, ServiceError
from imtkit.statuspage import _locks
from imtkit.statuspage import _pagestate as pages
from imtkit.statuspage._http import Wire
from imtkit.statuspage._pagestate import PublicPage
from imtkit.statuspage._site import files_of
from imtkit.statuspage._wording import checked

Told = Iterable[tuple[Message, datetime]]
"""Messages that the page took, each with the time at which it did."""

_STATE = "state.json"
_LOCK = ".lock"


class EmbeddedPage:
    """A folder of static files that any web server can serve.

    The rest is made from ``state.json``, by the same publish or by ``build``, which also takes
    what the log says was published. Every file is written whole or not at all, one process at
    a time. ``components`` are services by name, with the words the page shows for them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        title: str,
        components: Mapping[str, str],
        wire: Wire,
    ) -> None:
        self.name = name
        self._folder = folder
        self._title = title or "Service status"
        self._components = components
        self._wire = wire

    def find(self, incident: str) -> str | None:
        """The incident's id on the page, which is our own, if the page has it."""
        return incident if self._read().incident(incident) else None

    def publish(self, message: Message, *, remote_id: str | None = None) -> Receipt:
        """Put the message on the page; once, however often it is published.

        The page has no subscribers to notify: those who follow it read its feed.
        """
        said = checked(message)
        if remote_id not in (None, said.incident):
            raise ServiceError(
                f"Status page '{self.name}' has no incident {remote_id!r} for {said.incident}.",
                hint="Publish without it: the incident is looked for.",
            )
        with self._alone():
            before = self._read()
            posted_at = datetime.fromtimestamp(self._wire.clock(), UTC)
            page = pages.with_message(before, self._as_shown(said), posted_at)
            if page is not before:
                self._write(_STATE, _json(pages.page_as_data(page)))
            self._write_site(page)
        # Relative to the page: the log names no machine's paths.
        return Receipt(said.incident, f"history.html#{said.incident}", page.description)

    @property
    def folder(self) -> Path:
        """Where the page's files are."""
        return self._folder

    @property
    def is_lost(self) -> bool:
        """Whether there is nothing that says what was published; so it is before the first time."""
        return not (self._folder / _STATE).exists()

    def show(self, told: Told = ()) -> PageState:
        """What the page shows now, or would show with what was ``told``."""
        page = self._with(self._read(), told)
        ours = {words: service for service, words in self._components.items()}
        incidents = tuple(
            PageIncident(one.id, one.title, one.status, one.updated_at, f"history.html#{one.id}")
            for one in page.unresolved
        )
        components = {ours.get(name, name): state for name, state in page.components.items()}
        return PageState(page.status, components, incidents)

    def build(self, told: Told = ()) -> Path:
        """Write every file anew; the address of the front page.

        What was ``told`` and is not on the page any more is put back there.
        """
        with self._alone():
            before = self._read()
            page = self._with(before, told)
            if page is not before or self.is_lost:
                self._write(_STATE, _json(pages.page_as_data(page)))
            self._write_site(page)
        return self._folder / "index.html"

    def _with(self, page: PublicPage, told: Told) -> PublicPage:
        for message, posted_at in told:
            page = pages.with_message(page, self._as_shown(checked(message)), posted_at)
        return page

    def _as_shown(self, said: Message) -> Message:
        words = {self._components.get(one, one): how for one, how in said.components.items()}
        return replace(said, components=words)

    def _alone(self) -> AbstractContextManager[None]:
        return _locks.held(self._folder / _LOCK, page=self.name, sleep=self._wire.sleep)

    def _read(self) -> PublicPage:
        path = self._folder / _STATE
        known = tuple(self._components.values())
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            now = datetime.fromtimestamp(self._wire.clock(), UTC)
            return PublicPage(uuid4(), self._title, now, known)
        except OSError as error:
            raise self._io_error("read", path, error) from error
        except ValueError as error:
            raise self._damaged(path, error) from error
        if isinstance(data, dict) and data.get("version", 0) != pages.VERSION:
            raise ServiceError(
                f"Status page '{self.name}': {path} is of version {data.get('version')}, "
                f"this imtkit knows version {pages.VERSION}.",
                hint="Publish with the imtkit that wrote it, or a newer one.",
            )
        try:
            return pages.page_from_data(data, self._title, known)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._damaged(path, error) from error

    def _write_site(self, page: PublicPage) -> None:
        for name, text in files_of(page).items():
            self._write(name, text)

    def _write(self, name: str, text: str) -> None:
        """Replace the file as a whole: who reads meanwhile gets the old one or the new one."""
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(
                "w", encoding="utf-8", dir=path.parent, prefix=".new-", delete=False
            ) as file:
                temporary = Path(file.name)
                try:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                    temporary.chmod(0o644)  # a web server under another user serves it
                    temporary.replace(path)
                except OSError:
                    with suppress(OSError):
                        temporary.unlink()
                    raise
            _sync_folder(path.parent)
        except OSError as error:
            raise self._io_error("written", path, error) from error

    def _io_error(self, verb: str, path: Path, error: OSError) -> ServiceError:
        message = f"Status page '{self.name}': {path} could not be {verb} ({error.strerror})."
        if error.errno in (ENOSPC, EDQUOT):
            return ServiceDownError(
                message, hint="Free some space, then publish again.", retryable=True
            )
        return ServiceError(
            message, hint="Make the folder readable and writable for imtkit, then publish again."
        )

    def _damaged(self, path: Path, error: Exception) -> ServiceError:
        return ServiceError(
            f"Status page '{self.name}': {path} is not what imtkit wrote ({error}).",
            hint="Move it away, then: imt status build (the log has what was published).",
        )


def _json(data: Mapping[str, object]) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
