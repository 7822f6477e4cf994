"""What processes hold, as the system tells it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from imtkit.runs.memory import is_above

HOLD = "held = b'x' * 100_000_000; print('there', flush=True); input()"


@pytest.fixture
def group() -> Iterator[int]:
    """A process group of two, each of which holds 100 MB."""
    child = (
        f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {HOLD!r}]); {HOLD}"
    )
    with subprocess.Popen(
        [sys.executable, "-c", child],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == b"there\n"
        yield process.pid
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_a_group_holds_what_its_processes_hold(group: int) -> None:
    """All of them together; one that ended holds nothing."""
    assert is_above(group, 180)
    assert not is_above(group, 300)
    assert not is_above(2**22 + 1, 0.001)


def test_looking_is_quick(group: int) -> None:
    """It is done twice a second beside every run that has a cap."""
    began = time.perf_counter()
    for _ in range(5):
        is_above(group, 10_000)
    assert (time.perf_counter() - began) / 5 < 0.25
