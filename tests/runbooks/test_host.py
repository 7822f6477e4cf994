"""The runbook for hosts: with a file system that is really full, and without."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import small_disk_at

QUICK = {"over_seconds": 0.2, "look_seconds": 5.0}


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte that a log has filled."""
    with small_disk_at(tmp_path / "full", "size=1m") as disk:
        with pytest.raises(OSError, match="No space"):
            (disk / "server.log").write_bytes(b"x" * 2_000_000)
        yield disk


def test_a_full_disk_is_found_with_what_fills_it(go, full: Path) -> None:
    """Without being told where to look, the runbook names the disk and the file on it."""
    ran = go("host", **QUICK)
    assert f"{full} is 100% full" in ran.said("conclude")
    assert "server.log" in ran.said("usage")
    assert f"{full} is 100% full" in ran.notes
    assert f"{full} is 100% full" in ran.said("verify")
    assert not ran.incident.decisions
    assert "image/png" in {one.media_type for one in ran.incident.evidence}


def test_a_host_without_that_fault_is_not_said_to_have_it(go, tmp_path: Path) -> None:
    """With limits that this machine keeps, the disks are well, and the directory is shown."""
    (tmp_path / "small.bin").write_bytes(os.urandom(100_000))
    ran = go("host", path=str(tmp_path), disk_warning=1.1, disk_critical=1.1, **QUICK)
    assert "No file system is full" in ran.said("conclude")
    assert "is 100% full" not in ran.said("conclude")
    assert "small.bin" in ran.said("usage")
