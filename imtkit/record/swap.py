"""Replacing a whole folder so that at every moment there is either the old one or the new one."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_RENAME_SWAP = 2
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


@contextmanager
def one_builder(folder: Path) -> Iterator[None]:
    """Lets one process at a time build in a folder; the lock ends with its process."""
    with (folder / ".record.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def put_in_place(new: Path, place: Path) -> Path | None:
    """Put a finished folder where another may stand; the old one is returned, under ``new``'s
    name. What is in it is on disk first.
    """
    for path in sorted(new.rglob("*"), reverse=True):
        _flush(path)
    _flush(new)
    if not place.exists():
        new.rename(place)
        _flush(place.parent)
        return None
    if not _exchange(new, place):
        _step_aside(new, place)
    _flush(place.parent)
    return new


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders' names in one indivisible step; False where the system cannot."""
    call = _system_call()
    if call is None or call(os.fsencode(one), os.fsencode(other)) == 0:
        return call is not None
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _system_call() -> Callable[[bytes, bytes], int] | None:
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux" and hasattr(libc, "renameat2"):
        rename = libc.renameat2
        return lambda one, two: int(rename(_AT_FDCWD, one, _AT_FDCWD, two, _RENAME_EXCHANGE))
    if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        swap = libc.renamex_np
        return lambda one, two: int(swap(one, two, _RENAME_SWAP))
    return None


def _step_aside(new: Path, place: Path) -> None:
    """Two renames, for file systems that cannot exchange: the old folder is whole all the time,
    for a moment under a name where ``restore`` finds it.
    """
    aside = _aside(place)
    place.rename(aside)
    new.rename(place)
    aside.rename(new)


def restore(place: Path) -> None:
    """Put back a folder that a killed process had stepped aside with."""
    if _aside(place).is_dir() and not place.exists():
        _aside(place).rename(place)


def _aside(place: Path) -> Path:
    return place.with_name(f".{place.name}-aside")
