"""Small file systems for tests: they can be full, out of inodes or read-only, for real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk_at(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own in a new folder, with these options of tmpfs ('size=2m').

    The test is skipped where nobody may mount.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only an administrator on Linux can mount a small file system")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "imt-small", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this system lets nobody mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk to the last byte with one file, which is returned."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"x" * 4_096):
            pass
    return ballast
