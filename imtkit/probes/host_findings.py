"""What the figures of a host mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imtkit.model.words import counted, one_line
from imtkit.probes.findings import Finding, Findings, level_of
from imtkit.probes.host_facts import (
    Deleted,
    Disk,
    Disks,
    Load,
    Memory,
    Pressure,
    Process,
    Processes,
    Stall,
    Usage,
)
from imtkit.probes.tables import bytes_text, share_text

Facts = Disks | Memory | Load | Pressure | Processes | Usage | Deleted

_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on it is a warning, and from where on critical; shares are between 0 and 1.

    Load is the last minute's for each core. Stalls are of the last minute; those of memory
    weigh more, because memory stalls only when it is short. A single process is named when it
    takes that share of all cores, or of all memory.
    """

    disk_warning: float = 0.85
    disk_critical: float = 0.95
    memory_warning: float = 0.9
    memory_critical: float = 0.97
    swap_warning: float = 0.5
    load_warning: float = 1.5
    load_critical: float = 4.0
    disk_wait_warning: float = 0.2
    stolen_warning: float = 0.1
    stall_warning: float = 0.2
    stall_critical: float = 0.6
    memory_stall_warning: float = 0.05
    memory_stall_critical: float = 0.3
    process_cpu_warning: float = 0.8
    process_memory_warning: float = 0.5
    stuck_warning: int = 5
    zombies_warning: int = 100
    deleted_bytes_warning: int = _GIB


def diagnose(facts: Facts | None, limits: Limits = Limits()) -> Findings:
    """What one group of figures says; 'ok' with the figures themselves when nothing is wrong.

    Of None (this system does not tell) nothing is said at all.
    """
    match facts:
        case None:
            return Findings()
        case Disks():
            found = _disks(facts, limits)
        case Memory():
            found = _memory(facts, limits)
        case Load():
            found = _load(facts, limits)
        case Pressure():
            found = _pressure(facts, limits)
        case Processes():
            found = _processes(facts, limits)
        case Usage():
            found = _usage(facts)
        case Deleted():
            found = _deleted(facts, limits)
    return Findings(found)


def _disks(facts: Disks, limits: Limits) -> Iterator[Finding]:
    problems = [found for disk in facts.mounts for found in _disk(disk, limits)]
    yield from problems
    if not problems:
        fullest = facts.mounts[0] if facts.mounts else None
        grounds = f"fullest: {_space(fullest)}" if fullest else "no file system is told"
        yield Finding("ok", "No file system is full.", grounds)


def _disk(disk: Disk, limits: Limits) -> Iterator[Finding]:
    if disk.error:
        advice = "Look at the server behind it; processes that touch it hang as well."
        yield Finding("critical", f"{disk.mount} does not work.", disk.error, advice)
        return
    if disk.went_read_only:
        advice = "Read the kernel's log (dmesg) for disk errors before anything else."
        grounds = f"{disk.device} is mounted read-only and would only be so after an error"
        yield Finding("critical", f"{disk.mount} has gone read-only.", grounds, advice)
    if disk.is_read_only:
        return
    level = level_of(disk.share, limits.disk_warning, limits.disk_critical)
    if level != "ok":
        yield Finding(
            level,
            f"{disk.mount} is {share_text(disk.share)} full.",
            _space(disk),
            "See what fills it (directories, large files, deleted files still open); free or "
            "move that, or enlarge it.",
        )
    level = level_of(disk.inode_share, limits.disk_warning, limits.disk_critical)
    if level != "ok":
        yield Finding(
            level,
            f"{disk.mount} has used {share_text(disk.inode_share)} of its inodes.",
            f"{disk.inodes_free} of {disk.inodes} are left; nothing can be made without one",
            "Find the directory with very many small files and clear it.",
        )


def _space(disk: Disk) -> str:
    return (
        f"{disk.mount} ({disk.device}, {disk.kind}): {bytes_text(disk.free)} of "
        f"{bytes_text(disk.total)} free, {share_text(disk.share)} used, "
        f"{share_text(disk.inode_share)} of inodes"
    )


def _memory(facts: Memory, limits: Limits) -> Iterator[Finding]:
    swap = f"{bytes_text(facts.swap_used)} of {bytes_text(facts.swap_total)} swap"
    grounds = (
        f"{bytes_text(facts.available)} of {bytes_text(facts.total)} available; "
        f"{swap if facts.swap_total else 'no swap'}"
    )
    advice = "See which process holds it; restart or stop that before the kernel chooses one."
    level = level_of(facts.share, limits.memory_warning, limits.memory_critical)
    what = f"{share_text(facts.share)} of memory is in use."
    yield Finding(level, what, grounds, advice if level != "ok" else "")
    if facts.swap_share >= limits.swap_warning:
        what = f"{share_text(facts.swap_share)} of swap is in use."
        yield Finding("warning", what, grounds, "Look at memory pressure: does it swap now?")
    level = level_of(facts.group_share, limits.memory_warning, limits.memory_critical)
    if level != "ok":
        limit = bytes_text(facts.group_limit or 0)
        what = f"This container has used {share_text(facts.group_share)} of its memory limit."
        yield Finding(level, what, f"{bytes_text(facts.group_used or 0)} of {limit}", advice)
    if facts.group_kills:
        what = f"The kernel has killed processes here for want of memory: {facts.group_kills}."
        grounds = "oom_kill of this control group, since it was made"
        yield Finding("warning", what, grounds, "See in the kernel's log when, and which.")


def _load(facts: Load, limits: Limits) -> Iterator[Finding]:
    level = level_of(facts.per_core, limits.load_warning, limits.load_critical)
    grounds = (
        f"load {facts.one:.2f}, {facts.five:.2f}, {facts.fifteen:.2f} over 1, 5, 15 minutes; "
        f"CPU {share_text(facts.busy)} busy, {share_text(facts.waiting_for_disk)} waiting for disk"
    )
    rising = " and rising" if facts.one > facts.fifteen * 1.2 else ""
    what = f"The load is {facts.per_core:.2f} for each of {facts.cores} cores{rising}."
    advice = "See which processes take the CPU, or wait for a disk."
    yield Finding(level, what, grounds, advice if level != "ok" else "")
    if facts.waiting_for_disk >= limits.disk_wait_warning:
        what = f"{share_text(facts.waiting_for_disk)} of CPU time is spent waiting for a disk."
        yield Finding("warning", what, grounds, "Look at io pressure and at stuck processes.")
    if facts.stolen >= limits.stolen_warning:
        what = f"The hypervisor takes {share_text(facts.stolen)} of the CPU time."
        yield Finding("warning", what, grounds, "Another machine is greedy: move this one.")


def _pressure(facts: Pressure, limits: Limits) -> Iterator[Finding]:
    problems = [found for one in facts.stalls if (found := _stall(one, limits)) is not None]
    yield from problems
    if not problems:
        worst = max(facts.stalls, key=lambda one: one.over_60, default=None)
        grounds = f"most for {worst.resource}: {share_text(worst.over_60)}" if worst else ""
        yield Finding("ok", "Work does not stall for CPU, memory or disk.", grounds)


def _stall(stall: Stall, limits: Limits) -> Finding | None:
    if stall.kind != "some":  # 'full' is part of it
        return None
    warning, critical = limits.stall_warning, limits.stall_critical
    if stall.resource == "memory":
        warning, critical = limits.memory_stall_warning, limits.memory_stall_critical
    level = level_of(stall.over_60, warning, critical)
    if level == "ok":
        return None
    return Finding(
        level,
        f"Work stalled for {stall.resource} in {share_text(stall.over_60)} of the last minute.",
        f"{share_text(stall.over_10)} over 10 s, {share_text(stall.over_300)} over 5 min",
        _AFTER_STALL[stall.resource],
    )


_AFTER_STALL = {
    "cpu": "See which processes take the CPU; fewer at once, or more cores.",
    "memory": "See which process holds the memory; the host may be about to kill one.",
    "io": "See which processes wait for a disk, and whether that disk is full or failing.",
}


def _processes(facts: Processes, limits: Limits) -> Iterator[Finding]:
    problems = [*_greedy(facts, limits)]
    if len(facts.stuck) >= limits.stuck_warning:
        what = f"{counted(len(facts.stuck), 'process', 'processes')} stuck in the kernel."
        names = ", ".join(sorted({one.name for one in facts.stuck})[:8])
        problems.append(Finding("warning", what, names, "Look at disks and network mounts."))
    if facts.zombies >= limits.zombies_warning:
        what = f"{facts.zombies} processes have ended and nobody took note (zombies)."
        problems.append(Finding("warning", what, "", "Restart the program that started them."))
    yield from problems
    if not problems:
        yield Finding("ok", "No process is greedy.", _greediest(facts))


def _greedy(facts: Processes, limits: Limits) -> Iterator[Finding]:
    for one in facts.by_cpu:
        if one.cores >= limits.process_cpu_warning * facts.cores:
            what = f"{_who(one)} takes {one.cores:.1f} of {facts.cores} cores."
            advice = "Ask its owner whether that is meant; a stack sample says what it does."
            yield Finding("warning", what, f"over {facts.over_seconds:.1f} s", advice)
    for one in facts.by_memory:
        if facts.memory and one.memory >= limits.process_memory_warning * facts.memory:
            what = f"{_who(one)} holds {share_text(one.memory / facts.memory)} of memory."
            grounds = f"{bytes_text(one.memory)} of {bytes_text(facts.memory)} resident"
            yield Finding("warning", what, grounds, "See whether it grows; restart it if it leaks.")


def _greediest(facts: Processes) -> str:
    if not facts.by_cpu or not facts.by_memory:
        return "no process is visible"
    cpu, held = facts.by_cpu[0], facts.by_memory[0]
    return (
        f"most CPU: {_who(cpu)}, {cpu.cores:.2f} cores; "
        f"most memory: {_who(held)}, {bytes_text(held.memory)}"
    )


def _who(process: Process) -> str:
    return f"{one_line(process.command, most=60)} (pid {process.pid}, {process.user})"


def _usage(facts: Usage) -> Iterator[Finding]:
    part = "" if facts.is_complete else " at least; the look was cut off at its limits"
    largest = [(one.path, one.bytes) for one in facts.folders[:3]]
    largest += [(one.path, one.bytes) for one in facts.files[:2]]
    grounds = "; ".join(f"{one_line(path, most=200)}: {bytes_text(size)}" for path, size in largest)
    what = f"Below {one_line(facts.path, most=80)}, {bytes_text(facts.bytes)} are taken{part}."
    yield Finding("ok", what, grounds or "there is nothing")


def _deleted(facts: Deleted, limits: Limits) -> Iterator[Finding]:
    if not facts.is_known:
        return
    unseen = (
        f"; {facts.unreadable} of the processes may not be looked into" if facts.unreadable else ""
    )
    if facts.bytes < limits.deleted_bytes_warning:
        what = "Deleted files that are still open hold little space."
        yield Finding("ok", what, f"{bytes_text(facts.bytes)} in all{unseen}")
        return
    first = facts.files[0]
    yield Finding(
        "warning",
        f"Deleted files that are still open hold {bytes_text(facts.bytes)}.",
        f"largest: {one_line(first.path, most=80)}, {bytes_text(first.bytes)}, "
        f"held by {first.process} (pid {', '.join(map(str, first.pids[:5]))}){unseen}",
        "Let that process open its files anew (reload), or restart it: then the space is free.",
    )
