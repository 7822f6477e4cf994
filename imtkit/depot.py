"""A depot: the address where outputs are kept besides the workspace; the one door to fsspec."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from imtkit.config.depot import DepotSettings
from imtkit.errors import (
    ConfigError,
    NotFoundError,
    ServiceDownError,
    ServiceError,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_EXTRAS = {"s3": "s3", "s3a": "s3"}
"""The extra of imtkit that brings what serves a scheme."""

_PATIENCE = {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 1}}
_TRIES = 2
"""How long S3 is waited for: left to itself its library tries for minutes, and runs wait."""

_PART = ".part"
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Depot:
    """Files at an address, by names with slashes. ServiceDownError while it cannot be reached,
    ServiceError when it refuses; both are told without credentials.
    """

    address: str
    _files: AbstractFileSystem
    _root: str
    _is_local: bool = False

    def sizes(self, folder: str) -> dict[str, int]:
        """The files in a folder and below it: their names from the address on, and their bytes."""
        with self._door(folder, is_missing_fine=True):
            found = self._files.find(self._path(folder), detail=True)
            return {
                name.removeprefix(f"{self._root}/"): int(about.get("size") or 0)
                for name, about in found.items()
                if not name.endswith(_PART)
            }
        return {}

    def send(self, name: str, file: Path | bytes) -> None:
        """Put a file there, over an older one of that name: readers see the one or the other.

        ServiceError where the bucket, or the folder of a ``file://`` address, does not exist:
        neither is made, for a folder may be missing because nothing is mounted there.
        """
        try:
            with self._door(name):
                if self._is_local:
                    Path(self._root).stat()  # or it would be made where nothing is mounted
                    _write_whole(Path(self._path(name)), file)
                elif isinstance(file, bytes):
                    self._files.pipe_file(self._path(name), file)
                else:
                    self._files.put_file(str(file), self._path(name))
        except NotFoundError as error:
            raise ServiceError(
                f"{self.address} does not exist.",
                hint="Make it or mount it, or mend [outputs] in imt.toml.",
            ) from error

    def fetch(self, name: str, path: Path) -> str:
        """Write what is there to a new file; its SHA-256. NotFoundError when nothing is there.

        ServiceError also when the file cannot be written; what there is of it then is the caller's.
        """
        content = hashlib.sha256()
        with writing_here(path), path.open("xb") as here:
            for piece in self._pieces(name):
                content.update(piece)
                here.write(piece)
            here.flush()
            os.fsync(here.fileno())
        return content.hexdigest()

    def read(self, name: str) -> bytes | None:
        """What is there, for small files; None when nothing is."""
        with self._door(name, is_missing_fine=True):
            return bytes(self._files.cat_file(self._path(name)))
        return None

    def _pieces(self, name: str) -> Iterator[bytes]:
        with self._door(name), self._files.open(self._path(name), "rb") as there:
            while piece := there.read(_PIECE):
                yield piece

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _door(self, name: str, *, is_missing_fine: bool = False) -> Iterator[None]:
        """Errors of fsspec and of what serves it, as ours."""
        try:
            yield
        except FileNotFoundError as error:
            if not is_missing_fine:
                raise NotFoundError(f"There is no {name} at {self.address}.") from error
        except Exception as error:  # the libraries behind fsspec share no kind of error
            if type(error).__module__ == "builtins" and not isinstance(error, OSError):
                raise
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> ServiceError:
        said = f"{type(error).__name__}: {error}".split("\n")[0][:300]
        if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
            return ServiceError(
                f"{self.address} does not let imtkit in ({said}).",
                hint="Give it credentials in the library's own way: the environment, ~/.aws.",
            )
        return ServiceDownError(f"{self.address} cannot be used now ({said}).", retryable=True)


def open_depot(settings: DepotSettings) -> Depot:
    """The depot that ``[outputs]`` names; nothing is asked of it yet.

    ConfigError when its address cannot be served: the scheme is unknown, its library is not
    installed, or an option is none of that library's.
    """
    from fsspec.core import url_to_fs

    scheme = settings.address.partition("://")[0]
    options = {"use_listings_cache": False, **settings.resolved()}
    if scheme in _EXTRAS:
        options["config_kwargs"] = {**_PATIENCE, **options.get("config_kwargs", {})}
    try:
        files, root = url_to_fs(settings.address, **options)
    except ImportError as error:
        extra = f"imtkit[{_EXTRAS[scheme]}]" if scheme in _EXTRAS else ""
        raise ConfigError(
            f"Outputs go to {settings.address}, for which a library is missing here: {error}.",
            hint=f"pip install '{extra}'" if extra else "",
        ) from error
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"[outputs] of imt.toml cannot be served: {error}",
            hint="Addresses begin as fsspec's do: s3://, gs://, abfs://, file:///.",
        ) from error
    if scheme in _EXTRAS:
        files.retries = _TRIES
    return Depot(settings.address, files, root.rstrip("/"), scheme in ("file", "local"))


@contextmanager
def writing_here(path: Path) -> Iterator[None]:
    """Faults of this machine's disk as faults of sending and fetching: the log is well, and nobody
    must take it for broken.
    """
    try:
        yield
    except OSError as error:
        raise ServiceError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Free some space or make the folder writable, and try again.",
            retryable=True,
        ) from error


def _write_whole(place: Path, file: Path | bytes) -> None:
    """Write a file so that it is there whole, and on disk, or not at all."""
    part = place.with_name(f".{place.name}.{uuid4().hex[:8]}{_PART}")
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("xb") as copy:
            if isinstance(file, bytes):
                copy.write(file)
            else:
                with file.open("rb") as source:
                    shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
