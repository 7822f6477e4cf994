"""Leases: which process runs which run on which kernel, kept in a small file while it does.

A runner that is killed leaves its file behind, and with it all that is needed to end its kernel
and to remove the folder of its sockets.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

CONNECTION = "kernel.json"
"""What the connection file of a kernel is called, in the folder of its sockets."""

_GIVEN_UP = "given up"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of one host. ``started`` tells it from a later one that has its number."""

    host: str
    pid: int
    started: str

    @property
    def name(self) -> str:
        """What tells it from every other process, on whichever machine, fit for a file's name."""
        host = re.sub(r"[^A-Za-z0-9.-]", "-", self.host)
        return f"{host}-{self.pid}-{hashlib.sha256(self.started.encode()).hexdigest()[:12]}"

    @property
    def given_up(self) -> Process:
        """As what a living process leaves the lease of a run that it could not tell the log of."""
        return replace(self, started=_GIVEN_UP)

    def speaks_for(self, other: Process) -> bool:
        """Whether it is the other one, or what that one gave up; another may have its number."""
        return self in (other, other.given_up)

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended; nobody knows that of another host's."""
        return self.host == platform.node() and _started(self.pid) != self.started


@dataclass(frozen=True, slots=True)
class Lease:
    """A run that goes on: its runner, and its kernel and the folder of its sockets once known."""

    run: str
    incident: str
    runner: Process
    kernel: Process | None = None
    sockets: str = ""

    def on_kernel(self, pid: int, sockets: Path | None) -> Lease:
        """The same lease when its kernel has come to life; 0 when it is about to."""
        kernel = process_of(pid) if pid else None
        return replace(self, kernel=kernel, sockets=str(sockets) if sockets else "")


def process_told(told: Mapping[str, Any]) -> Process | None:
    """The process that a log's entry names; None where it names none."""
    host, pid, started = (told.get(name) for name in ("host", "pid", "started"))
    if not isinstance(host, str) or not isinstance(pid, int) or not isinstance(started, str):
        return None
    return Process(host, pid, started)


def this_process() -> Process:
    """The process that this runs in."""
    return process_of(os.getpid())


def process_of(pid: int) -> Process:
    """A process of this host by its number; ``started`` is empty when there is none."""
    return Process(platform.node(), pid, _started(pid))


def keep(folder: Path, lease: Lease) -> None:
    """Write a lease into the folder of leases, over an earlier state of the same."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f".{lease.run}.{uuid4().hex[:8]}.part"
    try:
        part.write_text(json.dumps(asdict(lease)), encoding="utf-8")
        part.replace(_path(folder, lease.run))
    finally:
        part.unlink(missing_ok=True)


def drop(folder: Path, run: str) -> None:
    """Remove a run's lease, if there is one; one that cannot be removed is the reaper's."""
    with suppress(OSError):  # such as no folder: what went wrong before is told, not this
        _path(folder, run).unlink(missing_ok=True)


def left_behind(folder: Path) -> Iterator[Lease]:
    """The leases whose runner was on this host and is gone."""
    for path in sorted(folder.glob("*.json")):
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            # One that another reaper has just removed, or that is no lease, is not ours to end.
            told = json.loads(path.read_text(encoding="utf-8"))
            kernel = Process(**told["kernel"]) if told["kernel"] else None
            runner = Process(**told["runner"])
            lease = Lease(told["run"], told["incident"], runner, kernel, told["sockets"])
            if runner.is_gone:
                yield lease


def runner_of(folder: Path, run: str) -> Process | None:
    """The process that holds a run and its kernel; None where nobody does, or it is gone."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads(_path(folder, run).read_text(encoding="utf-8"))
        runner = Process(**told["runner"])
        return None if runner.is_gone else runner
    return None


def end_kernel(lease: Lease) -> None:
    """Kill what is left of a lease's kernel and its children, and remove its sockets."""
    kernel = lease.kernel
    if kernel is not None and kernel.started and _started(kernel.pid) in ("", kernel.started):
        # A kernel leads a group of its own: children that outlived it are still in it.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(kernel.pid, signal.SIGKILL)
    folder = Path(lease.sockets)
    if folder.name.startswith("imt-"):
        if kernel is None:  # its runner was killed before it knew the process that it started
            kill_kernels_at([folder])
        remove_sockets(folder)


def remove_sockets(folder: Path) -> None:
    """Remove a folder of sockets, also one in which a kernel that was killed made another."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.01)  # what was killed may end a moment later


def kill_kernels_at(folders: Collection[Path]) -> None:
    """Kill this user's kernels that were started with a connection file in one of these folders."""
    files = [str(folder / CONNECTION).encode() for folder in folders]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            arguments = path.read_bytes().split(b"\0")
            is_at = any(
                argument == file or argument.endswith(b"=" + file)
                for argument in arguments
                for file in files
            )
            if is_at and path.parent.stat().st_uid == os.getuid():
                kill_group(int(path.parent.name))


def kill_group(pid: int) -> None:
    """Kill a process, and the group that it leads: a kernel's children are in it."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _path(folder: Path, run: str) -> Path:
    return folder / f"{Path(run).name}.json"


def _started(pid: int) -> str:
    """When a process began, in whatever way the system tells it apart; empty when it ended."""
    if not _BOOT.exists():
        return _started_by_ps(pid)
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    # proc(5): after the name in parentheses comes the state, and 19 fields on the start time.
    fields = told.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return ""
    return f"{_BOOT.read_text(encoding='utf-8').strip()}/{fields[19]}"


def _started_by_ps(pid: int) -> str:
    done = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, started = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()
