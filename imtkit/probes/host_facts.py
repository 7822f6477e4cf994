"""What is known of a host; measured by ``probes.host``. Sizes are bytes, shares 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from imtkit.probes.tables import frame_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Disk:
    """One mounted file system. ``free`` is what ordinary users may still take.

    ``went_read_only``: it is read-only, and its options say that only an error makes it so.
    """

    device: str
    mount: str
    kind: str
    is_read_only: bool = False
    went_read_only: bool = False
    total: int = 0
    used: int = 0
    free: int = 0
    inodes: int = 0
    inodes_free: int = 0
    error: str = ""

    @property
    def share(self) -> float:
        """Used of what ordinary users may have, as df(1) counts it."""
        return self.used / (self.used + self.free) if self.used + self.free else 0.0

    @property
    def inode_share(self) -> float:
        """Used inodes; 0 where a file system has no fixed number of them."""
        return 1 - self.inodes_free / self.inodes if self.inodes else 0.0


@dataclass(frozen=True, slots=True)
class Disks:
    """Mounted file systems, fullest first."""

    mounts: tuple[Disk, ...] = ()

    def of(self, path: str) -> Disk | None:
        """The file system that a path stands on, as far as mount points tell."""
        below = [one for one in self.mounts if _is_below(path, one.mount)]
        return max(below, key=lambda one: len(one.mount), default=None)

    def frame(self) -> pd.DataFrame:
        """One row a file system, with its shares of space and inodes in use."""
        table = frame_of(Disk, self.mounts)
        table.insert(2, "share", [one.share for one in self.mounts])
        table.insert(3, "inode_share", [one.inode_share for one in self.mounts])
        return table


def _is_below(path: str, mount: str) -> bool:
    return path == mount or path.startswith(mount.rstrip("/") + "/")


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory and swap; ``group`` is this control group (a container's), if it has a limit.

    ``group_kills`` counts processes killed in it for want of memory since it was made.
    """

    total: int
    available: int
    swap_total: int
    swap_used: int
    group_limit: int | None = None
    group_used: int | None = None
    group_kills: int | None = None

    @property
    def share(self) -> float:
        """Memory that is neither free nor can be freed at once."""
        return 1 - self.available / self.total if self.total else 0.0

    @property
    def swap_share(self) -> float:
        """Used swap; 0 without any."""
        return self.swap_used / self.swap_total if self.swap_total else 0.0

    @property
    def group_share(self) -> float:
        """Used of the control group's limit, caches included; 0 without a limit."""
        return (self.group_used or 0) / self.group_limit if self.group_limit else 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """Load averages over 1, 5 and 15 minutes; shares of CPU time measured just now."""

    one: float
    five: float
    fifteen: float
    cores: int
    busy: float
    waiting_for_disk: float = 0.0
    stolen: float = 0.0

    @property
    def per_core(self) -> float:
        """The load of the last minute for each core: above 1, work waits."""
        return self.one / max(1, self.cores)


@dataclass(frozen=True, slots=True)
class Stall:
    """The share of time that some, or all ('full'), work stalled for one resource."""

    resource: str
    kind: str
    over_10: float
    over_60: float
    over_300: float


@dataclass(frozen=True, slots=True)
class Pressure:
    """Stalls for cpu, memory and io over the last 10, 60 and 300 seconds."""

    stalls: tuple[Stall, ...] = ()

    def frame(self) -> pd.DataFrame:
        """One row a resource and kind."""
        return frame_of(Stall, self.stalls)


@dataclass(frozen=True, slots=True)
class Process:
    """One process; CPU in cores, memory resident. ``command`` leaves out options and values."""

    pid: int
    name: str
    user: str
    state: str
    cores: float
    memory: int
    started_at: datetime
    command: str


@dataclass(frozen=True, slots=True)
class Processes:
    """The greediest processes, of a host with so many cores and so much memory.

    ``stuck`` ones wait in the kernel, usually for a disk.
    """

    by_cpu: tuple[Process, ...] = ()
    by_memory: tuple[Process, ...] = ()
    stuck: tuple[Process, ...] = ()
    zombies: int = 0
    count: int = 0
    over_seconds: float = 0.0
    cores: int = 1
    memory: int = 0

    def frame(self) -> pd.DataFrame:
        """One row a process, most CPU first, then those with most memory."""
        return frame_of(Process, dict.fromkeys((*self.by_cpu, *self.by_memory)))


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory: bytes with everything below it, and the entries directly in it."""

    path: str
    bytes: int
    entries: int


@dataclass(frozen=True, slots=True)
class LargeFile:
    """A file and what it takes on disk."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What fills a directory: ``folders`` by size, ``crowded`` by entries, ``files`` by size."""

    path: str
    bytes: int
    entries: int
    folders: tuple[Folder, ...] = ()
    crowded: tuple[Folder, ...] = ()
    files: tuple[LargeFile, ...] = ()
    unreadable: int = 0
    is_complete: bool = True

    def frame(self) -> pd.DataFrame:
        """One row a directory, largest first."""
        return frame_of(Folder, self.folders)

    def file_frame(self) -> pd.DataFrame:
        """One row a file, largest first."""
        return frame_of(LargeFile, self.files)


@dataclass(frozen=True, slots=True)
class DeletedFile:
    """A deleted file whose space is still taken, and the processes that hold it open."""

    path: str
    bytes: int
    pids: tuple[int, ...]
    process: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """Deleted files still open, largest first; ``bytes`` of all of them.

    ``unreadable`` counts processes whose files we may not see; ``is_known`` is False where the
    system does not tell.
    """

    files: tuple[DeletedFile, ...] = ()
    bytes: int = 0
    unreadable: int = 0
    is_complete: bool = True
    is_known: bool = True

    def frame(self) -> pd.DataFrame:
        """One row a file."""
        return frame_of(DeletedFile, self.files)
