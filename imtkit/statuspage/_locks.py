"""One at a time, across threads and processes of one machine."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from imtkit.errors import ServiceDownError, ServiceError


@contextmanager
def held(
    path: Path,
    *,
    page: str,
    patience_seconds: float = 30.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Nobody else is inside a block of the same file while this one is.

    The system lets go when the holder dies. ServiceDownError when another holds it for longer
    than the patience; ServiceError when the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise ServiceError(
            f"Status page '{page}': {path.parent} cannot be written ({error.strerror}).",
            hint="Make the folder writable for the user that imtkit runs as.",
        ) from error
    with file:
        waited = 0.0
        while not _taken(file.fileno()):
            if waited >= patience_seconds:
                raise ServiceDownError(
                    f"Status page '{page}': another process has held {path} for "
                    f"{patience_seconds:g} seconds.",
                    hint="Try again; if nothing is being published, look for a hanging process.",
                    retryable=True,
                )
            sleep(0.05)
            waited += 0.05
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
