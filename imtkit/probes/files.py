"""What takes the space: large files and directories, and files deleted but still open."""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from imtkit.errors import NotFoundError
from imtkit.probes.host_facts import Deleted, DeletedFile, Folder, LargeFile, Usage

PROC = Path("/proc")
_BLOCK = 512  # the unit of st_blocks, whatever the file system's own (stat(2))
_IN_MEMORY = ("/memfd:", "/dev/shm/", "/SYSV")  # noqa: S108 # only compared with, never written
"""What looks like a deleted file, and takes no disk."""
_GONE = " (deleted)"


@dataclass
class _Walk:
    """A look through directories under way."""

    parents: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    files: list[tuple[int, str]] = field(default_factory=list)
    linked: set[int] = field(default_factory=set)
    unreadable: int = 0
    scanned: int = 0
    is_complete: bool = True


def usage(
    path: str | Path,
    *,
    count: int = 15,
    within_seconds: float = 10.0,
    most_entries: int = 500_000,
) -> Usage:
    """What fills a directory: the largest directories and files below it, on its file system.

    Sizes are what is taken on disk; a file with several names counts once, links are not
    followed. The look goes from the top down and stops at its limits; then ``is_complete`` is
    False, and sizes are at least what is told. NotFoundError when there is no such directory.
    """
    top = Path(path)
    if not top.is_dir():
        raise NotFoundError(
            f"Directory '{top}' not found.", hint="Name an existing directory of this host."
        )
    walk = _Walk()
    deadline = time.monotonic() + within_seconds
    device = top.stat().st_dev
    waiting = deque([str(top)])
    walk.parents[str(top)] = ""
    while waiting:
        if time.monotonic() > deadline or walk.scanned >= most_entries:
            walk.is_complete = False
            break
        waiting.extend(_look_into(waiting.popleft(), device, walk, count))
    return _told(str(top), walk, count)


def _look_into(folder: str, device: int, walk: _Walk, count: int) -> list[str]:
    """Count what stands in one directory; the directories in it, on the same file system."""
    inner = []
    size = entries = 0
    try:
        with os.scandir(folder) as listing:
            for entry in listing:
                entries += 1
                try:
                    told = entry.stat(follow_symlinks=False)
                except OSError:  # it went away, or may not be read
                    walk.unreadable += 1
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if told.st_dev == device:
                        inner.append(entry.path)
                        walk.parents[entry.path] = folder
                elif told.st_nlink > 1 and told.st_ino in walk.linked:
                    continue
                else:
                    if told.st_nlink > 1:
                        walk.linked.add(told.st_ino)
                    taken = told.st_blocks * _BLOCK
                    size += taken
                    _remember(walk.files, (taken, entry.path), count)
    except OSError:
        walk.unreadable += 1
    walk.sizes[folder], walk.entries[folder] = size, entries
    walk.scanned += entries
    return inner


def _remember(largest: list[tuple[int, str]], file: tuple[int, str], count: int) -> None:
    if len(largest) < count:
        heapq.heappush(largest, file)
    else:
        heapq.heappushpop(largest, file)


def _told(top: str, walk: _Walk, count: int) -> Usage:
    whole = dict(walk.sizes)
    largest_child: dict[str, int] = {}
    for folder in reversed(walk.parents):  # children were met after their parents
        parent = walk.parents[folder]
        if parent and folder in whole:
            whole[parent] += whole[folder]
            largest_child[parent] = max(largest_child.get(parent, 0), whole[folder])
    # A directory whose size is nearly all in one directory below it tells nothing by itself.
    telling = [name for name in whole if largest_child.get(name, 0) < 0.9 * whole[name]]
    by_size = heapq.nlargest(count, telling, key=lambda name: whole[name])
    by_entries = heapq.nlargest(count, walk.entries, key=lambda name: walk.entries[name])
    return Usage(
        path=top,
        bytes=whole.get(top, 0),
        entries=walk.scanned,
        folders=tuple(Folder(name, whole[name], walk.entries[name]) for name in by_size),
        crowded=tuple(Folder(name, whole[name], walk.entries[name]) for name in by_entries),
        files=tuple(LargeFile(name, size) for size, name in sorted(walk.files, reverse=True)),
        unreadable=walk.unreadable,
        is_complete=walk.is_complete,
    )


def deleted_files(*, count: int = 10, within_seconds: float = 5.0) -> Deleted:
    """Files that were deleted while a process has them open: space that no directory shows.

    Linux only (elsewhere the list is empty and ``is_known`` is False). Each file counts once,
    with the processes that hold it. ``unreadable`` processes belong to other users.
    """
    if not (PROC / "self" / "fd").exists():
        return Deleted(is_known=False)
    deadline = time.monotonic() + within_seconds
    found: dict[tuple[int, int], tuple[str, int, list[int]]] = {}
    unreadable, is_complete = 0, True
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        if time.monotonic() > deadline:
            is_complete = False
            break
        try:
            _held_by(folder, found)
        except PermissionError:
            unreadable += 1
        except OSError:  # the process ended meanwhile
            continue
    files = [
        DeletedFile(name, size, tuple(sorted(pids)), _name_of(pids[0]))
        for name, size, pids in found.values()
    ]
    return Deleted(
        files=tuple(sorted(files, key=lambda one: -one.bytes)[:count]),
        bytes=sum(one.bytes for one in files),
        unreadable=unreadable,
        is_complete=is_complete,
    )


def _held_by(folder: Path, found: dict[tuple[int, int], tuple[str, int, list[int]]]) -> None:
    for link in (folder / "fd").iterdir():
        try:
            name = str(link.readlink())
            if not name.endswith(_GONE) or name.startswith(_IN_MEMORY):
                continue
            told = link.stat()
        except OSError:  # closed meanwhile
            continue
        if told.st_blocks and told.st_nlink == 0:
            pid = int(folder.name)
            known = found.setdefault(
                (told.st_dev, told.st_ino), (name.removesuffix(_GONE), told.st_blocks * _BLOCK, [])
            )
            if pid not in known[2]:
                known[2].append(pid)


def _name_of(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""
