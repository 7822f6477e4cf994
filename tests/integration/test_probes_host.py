"""The host probe against real trouble: full file systems, hogs, deleted files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from disks import small_disk_at
from servers import until

from imtkit.errors import NotFoundError
from imtkit.probes import host

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte and 64 inodes."""
    with small_disk_at(tmp_path / "small", "size=1m,nr_inodes=64") as disk:
        yield disk


@contextmanager
def program(code: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program that runs until the end of the test; it has printed its first line."""
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        started.stdout.readline()
        yield started
    finally:
        started.kill()
        started.communicate()


def make_files(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / str(number)).touch()


def test_a_file_system_that_fills_is_found_and_then_well_again(small: Path) -> None:
    """Really full it is critical, with its name; emptied, nothing is said of it any more."""
    mount = str(small)
    assert mount not in host.diagnose(host.disks()).problems.text
    big = small / "log" / "big.log"
    big.parent.mkdir()
    with pytest.raises(OSError, match="No space"):
        big.write_bytes(b"x" * 2_000_000)
    full = host.disks()
    problems = host.diagnose(full).problems.text
    assert f"{mount} is 100% full" in problems
    assert full.of(str(big)).mount == mount  # type: ignore[union-attr]
    found = host.usage(mount)
    assert found.files[0].path == str(big)
    assert found.folders[0].path == str(big.parent)
    big.unlink()
    assert mount not in host.diagnose(host.disks()).problems.text


def test_used_up_inodes_are_found_though_there_is_space(small: Path) -> None:
    """Very many empty files take no space and every inode; the crowded directory is named."""
    crowd = small / "sessions"
    crowd.mkdir()
    with pytest.raises(OSError, match="No space"):
        make_files(crowd, 100)
    problems = host.diagnose(host.disks()).problems.text
    assert f"{small} has used 100% of its inodes" in problems
    assert f"{small} is " not in problems
    assert host.usage(small).crowded[0].path == str(crowd)


def test_one_file_system_is_shown_once(small: Path) -> None:
    """The same file system, mounted at a second place, is not counted twice."""
    second = small.parent / "second"
    second.mkdir()
    subprocess.run(["mount", "--bind", str(small), str(second)], check=True)
    try:
        mounts = [one.mount for one in host.disks().mounts]
        assert (str(small) in mounts) != (str(second) in mounts)
    finally:
        subprocess.run(["umount", "-l", str(second)], check=True)


@linux
def test_a_deleted_file_that_is_held_open_is_found(tmp_path: Path) -> None:
    """Space of a deleted log is shown with the process that holds it, until it ends."""
    path = tmp_path / "server.log"
    code = (
        f"import os, time; f = open({str(path)!r}, 'wb'); f.write(b'x' * 3_000_000); f.flush(); "
        f"os.fsync(f.fileno()); os.unlink({str(path)!r}); print('ready', flush=True); "
        "time.sleep(60)"
    )
    with program(code) as holder:
        found = host.deleted_files(count=1000)
        mine = [one for one in found.files if one.path == str(path)]
        assert [one.pids for one in mine] == [(holder.pid,)]
        assert mine[0].bytes >= 3_000_000
        told = host.diagnose(found, host.Limits(deleted_bytes_warning=1000)).text
        assert "still open hold" in told
    assert str(path) not in {one.path for one in host.deleted_files(count=1000).files}


def test_a_process_that_burns_cpu_is_named() -> None:
    """A busy loop stands among the first by CPU, and is a finding when the limit is low."""
    with program("print('ready', flush=True)\nwhile True: pass") as hog:
        found = host.processes(count=50, over_seconds=0.5)
        assert hog.pid in {one.pid for one in found.by_cpu}
        told = host.diagnose(found, host.Limits(process_cpu_warning=0.02)).text
    assert f"(pid {hog.pid}, " in told
    assert "cores" in told


def test_a_process_that_holds_memory_is_named() -> None:
    """A large process stands among the first by memory, with what it holds."""
    code = "import time; held = b'x' * 300_000_000; print('ready', flush=True); time.sleep(60)"
    with program(code) as hog:
        found = host.processes(count=5, over_seconds=0.05)
        mine = [one for one in found.by_memory if one.pid == hog.pid]
        assert mine[0].memory >= 300_000_000
        told = host.diagnose(found, host.Limits(process_memory_warning=0.001)).text
    assert f"pid {hog.pid}" in told
    assert hog.pid in set(found.frame()["pid"])


def test_secrets_on_command_lines_are_not_shown() -> None:
    """What follows an option on a command line is left out."""
    words = ["import time; print('ready', flush=True); time.sleep(60)", "--password", "hunter2"]
    with subprocess.Popen([sys.executable, "-c", *words], stdout=subprocess.DEVNULL) as started:
        try:
            until(lambda: _commands(started.pid))
            assert "hunter2" not in _commands(started.pid)[0]
        finally:
            started.kill()


def _commands(pid: int) -> list[str]:
    found = host.processes(count=10_000, over_seconds=0.01).by_memory
    return [one.command for one in found if one.pid == pid]


def test_this_host_is_measured() -> None:
    """Memory, load and disks of this machine have values that can be."""
    memory, load, disks = host.memory(), host.load(over_seconds=0.05), host.disks()
    assert 0 < memory.available <= memory.total
    assert load.cores >= 1
    assert 0.0 <= load.busy <= 1.0
    assert disks.of("/") is not None
    assert len(disks.frame()) == len(disks.mounts)
    for facts in (memory, load, disks, host.pressure()):
        assert host.diagnose(facts) is not None


def test_links_are_not_followed_and_names_counted_once(tmp_path: Path) -> None:
    """A second name for a file takes no second space; a link to elsewhere takes none."""
    (tmp_path / "a").write_bytes(os.urandom(1_000_000))
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to("/")
    os.sync()
    found = host.usage(tmp_path)
    assert 900_000 < found.bytes < 1_500_000
    assert found.is_complete


def test_the_look_ends_at_its_limits(tmp_path: Path) -> None:
    """With a bound on entries or time the answer comes, and says that it is not whole."""
    for number in range(40):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / "file").touch()
    assert not host.usage(tmp_path, most_entries=20).is_complete
    began = time.monotonic()
    assert not host.usage("/", within_seconds=0.02).is_complete
    assert time.monotonic() - began < 2
    assert "at least" in host.diagnose(host.usage(tmp_path, most_entries=20)).text


def test_a_directory_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    """A wrong path is a NotFoundError that names it."""
    with pytest.raises(NotFoundError, match="nowhere"):
        host.usage(tmp_path / "nowhere")
