"""Write files so that they are there whole, or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from imtkit.errors import StoreError


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
        _sync_folder(path.parent)  # or a power cut could forget the name
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise StoreError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Free some space or make the folder writable, and try again.",
            retryable=True,
        ) from error


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
