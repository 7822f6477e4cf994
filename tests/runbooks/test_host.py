"""The runbook for hosts: with a file system that is really full, and without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

QUICK = {"over_seconds": 0.2, "look_seconds": 5.0}


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte that a log has filled."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only an administrator on Linux can mount a small file system")
    folder = tmp_path / "full"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "imt-full", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this system lets nobody mount: {mounted.stderr.strip()}")
    try:
        with pytest.raises(OSError, match="No space"):
            (folder / "server.log").write_bytes(b"x" * 2_000_000)
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


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
