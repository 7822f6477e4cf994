"""What the figures of a host mean, without looking at one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from imtkit.probes.host import command_of
from imtkit.probes.host_facts import (
    Deleted,
    DeletedFile,
    Disk,
    Disks,
    Folder,
    Load,
    Memory,
    Pressure,
    Process,
    Processes,
    Stall,
    Usage,
)
from imtkit.probes.host_findings import Limits, diagnose

GIB = 1024**3
NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)


def disk(**facts: object) -> Disk:
    given = {"total": 100, "used": 10, "free": 90, "inodes": 100, "inodes_free": 90, **facts}
    return Disk("/dev/sda", "/data", "ext4", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "level", "word"),
    [
        ({}, "ok", "fullest: /data"),
        ({"used": 88, "free": 12}, "warning", "88% full"),
        ({"used": 90, "free": 0}, "critical", "100% full"),
        ({"inodes_free": 2}, "critical", "98% of its inodes"),
        ({"inodes": 0, "inodes_free": 0}, "ok", "fullest"),
        ({"used": 100, "free": 0, "is_read_only": True}, "ok", "No file system is full"),
        ({"is_read_only": True, "went_read_only": True}, "critical", "gone read-only"),
        ({"error": "it does not answer"}, "critical", "does not work"),
    ],
)
def test_disks_are_judged_by_space_inodes_and_state(
    facts: dict[str, object], level: str, word: str
) -> None:
    """Full counts as df counts it; a medium that is read-only by nature may be full."""
    found = diagnose(Disks((disk(**facts),)))
    assert found.worst == level
    assert word in found.text


def test_a_path_belongs_to_the_deepest_mount() -> None:
    """/data/x is on /data and not on /; /database is not on /data."""
    disks = Disks((Disk("a", "/", "ext4"), Disk("b", "/data", "ext4")))
    assert disks.of("/data/x").mount == "/data"  # type: ignore[union-attr]
    assert disks.of("/database").mount == "/"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("memory", "level"),
    [
        (Memory(8 * GIB, 4 * GIB, 0, 0), "ok"),
        (Memory(100, 8, 0, 0), "warning"),
        (Memory(100, 1, 0, 0), "critical"),
        (Memory(100, 50, 10, 9), "warning"),
        (Memory(100, 50, 0, 0, group_limit=100, group_used=99), "critical"),
        (Memory(100, 50, 0, 0, group_kills=2), "warning"),
    ],
)
def test_memory_is_judged_for_host_and_container(memory: Memory, level: str) -> None:
    """A container at its limit is in trouble though the host has plenty."""
    assert diagnose(memory).worst == level


@pytest.mark.parametrize(
    ("load", "level"),
    [
        (Load(1, 1, 1, 4, 0.2), "ok"),
        (Load(8, 4, 2, 4, 1.0), "warning"),
        (Load(40, 4, 2, 4, 1.0), "critical"),
        (Load(1, 1, 1, 4, 0.2, waiting_for_disk=0.3), "warning"),
        (Load(1, 1, 1, 4, 0.2, stolen=0.2), "warning"),
    ],
)
def test_load_is_judged_by_core(load: Load, level: str) -> None:
    """The same load is nothing on many cores and much on few."""
    assert diagnose(load).worst == level


def test_a_rising_load_is_called_rising() -> None:
    """A last minute well above the last quarter of an hour is said to rise."""
    assert "rising" in diagnose(Load(8, 4, 2, 4, 1.0)).text
    assert "rising" not in diagnose(Load(2, 4, 8, 4, 1.0)).text


@pytest.mark.parametrize(
    ("stall", "level"),
    [
        (Stall("cpu", "some", 0.9, 0.1, 0.1), "ok"),
        (Stall("cpu", "some", 0.9, 0.3, 0.1), "warning"),
        (Stall("memory", "some", 0.9, 0.1, 0.1), "warning"),
        (Stall("memory", "some", 0.9, 0.4, 0.1), "critical"),
        (Stall("io", "full", 0.9, 0.9, 0.9), "ok"),
    ],
)
def test_pressure_is_judged_over_a_minute(stall: Stall, level: str) -> None:
    """A short peak is nothing; stalls for memory weigh more than those for CPU."""
    assert diagnose(Pressure((stall,))).worst == level


def test_what_is_not_told_is_not_judged() -> None:
    """Where the system does not tell, there is no finding at all, neither good nor bad."""
    assert len(diagnose(None)) == 0
    assert len(diagnose(Deleted(is_known=False))) == 0


def process(pid: int = 1, **facts: object) -> Process:
    given = {"cores": 0.1, "memory": 100, "state": "running", **facts}
    return Process(pid, "java", "app", started_at=NOW, command="java …", **given)  # type: ignore[arg-type]


def test_greedy_processes_are_named() -> None:
    """One that takes nearly all cores, and one that holds half the memory, are findings."""
    burning, holding = process(1, cores=3.9), process(2, memory=60)
    facts = Processes((burning,), (holding,), cores=4, memory=100)
    found = diagnose(facts)
    assert found.worst == "warning"
    assert "pid 1" in found.text
    assert "pid 2" in found.text
    calm = Processes((process(),), (process(memory=1),), cores=4, memory=100)
    assert diagnose(calm).worst == "ok"


def test_stuck_processes_and_zombies_are_counted() -> None:
    """Many processes in the kernel point at disks; many zombies at their parent."""
    stuck = tuple(process(number, state="disk-sleep") for number in range(6))
    assert "disks and network mounts" in diagnose(Processes(stuck=stuck)).text
    assert "zombies" in diagnose(Processes(zombies=200)).text


def test_deleted_space_is_judged_by_its_amount() -> None:
    """Little is well; much names the file and who holds it."""
    file = DeletedFile("/var/log/x", 5 * GIB, (7,), "nginx")
    assert diagnose(Deleted((file,), 5 * GIB)).worst == "warning"
    assert "nginx (pid 7)" in diagnose(Deleted((file,), 5 * GIB)).text
    assert diagnose(Deleted((file,), 5 * GIB), Limits(deleted_bytes_warning=9 * GIB)).worst == "ok"


def test_usage_says_what_is_largest() -> None:
    """The largest directories are the grounds; an incomplete look says 'at least'."""
    facts = Usage("/data", 10, 2, folders=(Folder("/data/logs", 9, 1),), is_complete=False)
    assert "/data/logs: 9 B" in diagnose(facts).text
    assert "at least" in diagnose(facts).text


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["nginx:", "worker"], "nginx worker"),
        (["/usr/bin/app", "serve", "--token", "hunter2"], "app serve …"),
        (["app", "-m", "http.server", "--bind", "x"], "app -m http.server …"),
        (["app", "user:hunter2@db"], "app …"),
        (["app", "TOKEN=hunter2"], "app …"),
        ([], "app"),
    ],
)
def test_commands_are_shown_without_options(words: list[str], shown: str) -> None:
    """Options and what looks like a value or an address can hold secrets; they are left out."""
    name = "nginx" if words[:1] == ["nginx:"] else "app"
    assert command_of(name, words) == shown
