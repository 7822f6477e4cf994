"""The host this runs on: disks, memory, load, pressure, and the processes behind them.

The only door to psutil. Linux tells everything, macOS most of it; what a system does not tell
is None or an empty list, never a guess. All of it is read without special rights, but only an
administrator sees other people's open files.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from imtkit.probes.files import deleted_files, usage
from imtkit.probes.host_facts import (
    Disk,
    Disks,
    Load,
    Memory,
    Pressure,
    Process,
    Processes,
    Stall,
)
from imtkit.probes.host_findings import Facts, Limits, diagnose
from imtkit.probes.patience import within

if TYPE_CHECKING:
    import psutil

__all__ = [
    "Facts",
    "Limits",
    "deleted_files",
    "diagnose",
    "disks",
    "load",
    "memory",
    "pressure",
    "processes",
    "usage",
]

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")

_PSEUDO = frozenset(
    (  # of the kernel itself, or full by nature
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fuse.gvfsd-fuse",
        "fuse.portal",
        "fusectl",
        "hugetlbfs",
        "iso9660",
        "mqueue",
        "nsfs",
        "nullfs",
        "proc",
        "pstore",
        "ramfs",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "squashfs",
        "sysfs",
        "tracefs",
    )
)


def disks(*, timeout_seconds: float = 2.0) -> Disks:
    """How full each mounted file system is, by space and by inodes, fullest first.

    File systems of the kernel itself are left out, and the same one mounted twice is shown
    once. One that does not answer within ``timeout_seconds`` (a dead network mount) is shown
    with the reason in ``error``.
    """
    import psutil

    found: dict[object, Disk] = {}
    for part in sorted(psutil.disk_partitions(all=True), key=lambda one: len(one.mountpoint)):
        if part.fstype in _PSEUDO or not part.fstype:
            continue
        disk = Disk(part.device, part.mountpoint, part.fstype, *_read_only(part.opts))
        try:
            identity, disk = within(timeout_seconds, partial(_filled, disk))
        except PermissionError:
            continue
        except OSError as exc:
            late = isinstance(exc, TimeoutError)
            reason = "it does not answer" if late else (exc.strerror or str(exc))
            identity, disk = part.mountpoint, replace(disk, error=reason)
        if disk.error or disk.total:
            found.setdefault(identity, disk)
    return Disks(tuple(sorted(found.values(), key=lambda one: -max(one.share, one.inode_share))))


def _read_only(options: str) -> tuple[bool, bool]:
    words = options.split(",")
    return "ro" in words, "ro" in words and "errors=remount-ro" in words


def _filled(disk: Disk) -> tuple[object, Disk]:
    told = os.statvfs(disk.mount)
    unit = told.f_frsize
    return Path(disk.mount).stat().st_dev, replace(
        disk,
        total=told.f_blocks * unit,
        used=(told.f_blocks - told.f_bfree) * unit,
        free=told.f_bavail * unit,
        inodes=told.f_files,
        inodes_free=told.f_favail,
    )


def memory() -> Memory:
    """Memory and swap of the host, and of this control group where one sets a limit; bytes."""
    import psutil

    real, swap = psutil.virtual_memory(), psutil.swap_memory()
    folder = _own_cgroup()
    limit = _number(folder / "memory.max") if folder else None
    return Memory(
        total=real.total,
        available=real.available,
        swap_total=swap.total,
        swap_used=swap.used,
        group_limit=limit,
        group_used=_number(folder / "memory.current") if folder and limit else None,
        group_kills=_count(folder / "memory.events", "oom_kill") if folder else None,
    )


def _own_cgroup() -> Path | None:
    """The folder of this process's control group (version 2), if the system has them."""
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return None
    own = next((line[3:] for line in lines if line.startswith("0::")), "")
    folder = CGROUP / own.lstrip("/")
    return folder if own and (folder / "memory.current").exists() else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # absent, or the word 'max': no limit
        return None


def _count(path: Path, name: str) -> int | None:
    try:
        rows = [line.split() for line in path.read_text().splitlines()]
        return next((int(row[1]) for row in rows if row[0] == name), None)
    except (OSError, ValueError, IndexError):
        return None


def load(*, over_seconds: float = 1.0) -> Load:
    """The load averages against the cores, and what the cores did in ``over_seconds``."""
    import psutil

    one, five, fifteen = psutil.getloadavg()
    spent = psutil.cpu_times_percent(interval=over_seconds)
    return Load(
        one,
        five,
        fifteen,
        cores=_cores(),
        busy=1.0 - (spent.idle + getattr(spent, "iowait", 0.0)) / 100,
        waiting_for_disk=getattr(spent, "iowait", 0.0) / 100,
        stolen=getattr(spent, "steal", 0.0) / 100,
    )


def _cores() -> int:
    """The cores that this process may use, which may be fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pressure() -> Pressure | None:
    """The share of time in which work stalled for CPU, memory or disk; None where not told.

    Linux 4.20 and newer, https://docs.kernel.org/accounting/psi.html.
    """
    stalls = []
    for resource in ("cpu", "memory", "io"):
        try:
            lines = (PROC / "pressure" / resource).read_text().splitlines()
        except OSError:  # absent before 4.20, and refused where it is compiled in but off
            continue
        stalls += [_stall(resource, line) for line in lines if line]
    return Pressure(tuple(stalls)) if stalls else None


def _stall(resource: str, line: str) -> Stall:
    """One line such as ``some avg10=0.75 avg60=0.43 avg300=0.81 total=14415217``."""
    kind, *pairs = line.split()
    told = dict(pair.split("=", 1) for pair in pairs)
    ten, sixty, long = (float(told.get(f"avg{n}", 0.0)) / 100 for n in (10, 60, 300))
    return Stall(resource, kind, ten, sixty, long)


def processes(*, count: int = 10, over_seconds: float = 1.0) -> Processes:
    """The processes that took most CPU during ``over_seconds``, and those with most memory.

    CPU is in cores (1.5: one and a half of them). Also counted are those that wait in the
    kernel (state D, usually for a disk) and zombies.
    """
    import psutil

    watched = [one for one in psutil.process_iter() if _cores_of(one) is not None]
    began = time.perf_counter()
    time.sleep(over_seconds)
    took = time.perf_counter() - began
    seen = [found for one in watched if (found := _process(one)) is not None]
    by_cpu = sorted((one for one in seen if one.cores), key=lambda one: -one.cores)
    by_memory = sorted((one for one in seen if one.memory), key=lambda one: -one.memory)
    return Processes(
        by_cpu=tuple(by_cpu[:count]),
        by_memory=tuple(by_memory[:count]),
        stuck=tuple(one for one in seen if one.state == "disk-sleep"),
        zombies=sum(one.state == "zombie" for one in seen),
        count=len(seen),
        over_seconds=took,
        cores=_cores(),
        memory=psutil.virtual_memory().total,
    )


def _cores_of(process: psutil.Process) -> float | None:
    """The CPU it took since this was last asked, in cores; None when it has gone."""
    import psutil

    try:
        return process.cpu_percent(None) / 100
    except psutil.Error:
        return None


def _process(process: psutil.Process) -> Process | None:
    import psutil

    cores = _cores_of(process)
    if cores is None:
        return None
    try:
        with process.oneshot():
            return Process(
                pid=process.pid,
                name=process.name(),
                user=process.username(),
                state=process.status(),
                cores=cores,
                memory=process.memory_info().rss,
                started_at=datetime.fromtimestamp(process.create_time(), UTC),
                command=command_of(process.name(), process.cmdline()),
            )
    except psutil.Error:
        return None


def command_of(name: str, words: list[str]) -> str:
    """A command as far as it may be shown: options and their values can hold secrets.

    What is kept is the program, the module after ``-m``, and arguments before any option.
    """
    kept = [name]
    rest = iter(words[1:])
    for word in rest:
        if word == "-m" and len(kept) == 1:
            return " ".join([*kept, "-m", next(rest, "")]) + " …"
        if word.startswith("-") or "=" in word or "@" in word:
            return " ".join([*kept, "…"])
        kept.append(word)
        if len(kept) == 4:
            break
    return " ".join(kept)
