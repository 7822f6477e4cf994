"""Whether the disk that holds the log takes any more, before somebody must find out."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryFile

import sqlalchemy as sa

from imtkit.errors import StoreError

_BYTES = 64 * 1024
"""About what one append of an alert takes, with the pages that SQLite writes around it."""


def check_room(url: str) -> None:
    """StoreError when the disk of the log at ``url`` is full or read-only.

    A file without a name is written there and gone again: the log does not grow. Of a database
    that is elsewhere nothing is known here.
    """
    address = sa.engine.make_url(url)
    if address.get_backend_name() != "sqlite" or address.database in (None, "", ":memory:"):
        return
    folder = Path(str(address.database)).parent
    try:
        with TemporaryFile(dir=folder) as file:
            file.write(b"\0" * _BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(
            f"Nothing can be written in {folder}: {error.strerror}.",
            hint="Free some space, or make the folder writable.",
            retryable=True,
        ) from error
