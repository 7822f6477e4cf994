"""Programs, watched from outside: what they show, what they leave on disk, what they weigh."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
from notebooks import FIRST_OUTPUT, cell_seconds, is_whole

LOOK_SECONDS = 0.005
"""How often the disk is looked at: the error of the times that are read from it."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One run, in seconds from its start; what never came is infinite.

    ``screen`` is the first byte on its terminal, ``output`` the first diagnostic output in the
    notebook on disk, ``notebook`` the notebook's last write, ``end`` the end of the program,
    and ``cells`` what the cells themselves took.
    """

    screen: float
    output: float
    notebook: float
    end: float
    cells: float
    is_whole: bool

    @property
    def besides(self) -> float:
        """What is not the cells' own time, of the way to the notebook."""
        return self.notebook - self.cells


@dataclass(frozen=True, slots=True)
class Told:
    """A program to run: its arguments, its folder, what its environment has besides ours.

    ``notebook`` names the file it writes, once it is there.
    """

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    notebook: Callable[[], Path | None]


def watch(told: Told, seconds: float = 120) -> Watched:
    """Run a program on a terminal of its own to its end; it is killed when it takes too long."""
    screen, far = pty.openpty()
    began, clock = time.perf_counter(), time.time()
    child = subprocess.Popen(
        told.command,
        cwd=told.folder,
        env={**os.environ, **told.environment},
        stdin=subprocess.DEVNULL,
        stdout=far,
        stderr=far,
    )
    os.close(far)
    shown = output = float("inf")
    while child.poll() is None and time.perf_counter() - began < seconds:
        if _has_said(screen):
            shown = min(shown, time.perf_counter() - began)
        if output == float("inf") and _holds_output(told.notebook()):
            output = time.perf_counter() - began
    child.kill()
    child.wait()
    end = time.perf_counter() - began
    os.close(screen)
    path = told.notebook()
    if path is None:
        return Watched(shown, output, float("inf"), end, 0.0, is_whole=False)
    written = path.stat().st_mtime - clock
    return Watched(shown, min(output, end), written, end, cell_seconds(path), is_whole(path))


def _has_said(screen: int) -> bool:
    """Whether a program wrote to its terminal; waits a moment for it."""
    if select.select([screen], [], [], LOOK_SECONDS)[0]:
        with suppress(OSError):  # the far end is closed: the program is at its end
            return bool(os.read(screen, 65536))
        time.sleep(LOOK_SECONDS)
    return False


def _holds_output(path: Path | None) -> bool:
    if path is None:
        return False
    with suppress(OSError):
        # In the source it stands in quotes; in an output it ends with its line.
        return f"{FIRST_OUTPUT}\\n" in path.read_text(encoding="utf-8")
    return False


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many runs at once: seconds until each had its first output and its end, and how it went.

    ``peak`` is the most memory that their processes had at a time, in bytes: the sum of their
    proportional shares (PSS), so that what they share counts once.
    """

    outputs: Sequence[float]
    ends: Sequence[float]
    whole: int
    peak: int


class Child(Protocol):
    """One of many that run at once."""

    def poll(self) -> int | None:
        """None until it is over."""
        ...


class Asked:
    """A run that this process asks of a server, as a webhook would, in a thread."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._thread = threading.Thread(target=ask, daemon=True)
        self._thread.start()

    def poll(self) -> int | None:
        """None until the server has told the run's end."""
        return None if self._thread.is_alive() else 0


def watch_all(
    all_told: Sequence[Told],
    seconds: float,
    root: psutil.Process | None,
    begin: Callable[[Told], Child] | None = None,
) -> Crowd:
    """Run programs all at once; ``root`` is a server that works for them, if one does."""
    began = time.perf_counter()
    children = [(begin or started)(told) for told in all_told]
    outputs, ends = [float("inf")] * len(children), [float("inf")] * len(children)
    peak, weighed_at = 0, 0.0
    while float("inf") in ends and time.perf_counter() - began < seconds:
        for number, child in enumerate(children):
            now = time.perf_counter() - began
            if ends[number] == float("inf") and child.poll() is not None:
                ends[number] = now
            if outputs[number] == float("inf") and _holds_output(all_told[number].notebook()):
                outputs[number] = now
        if time.perf_counter() - weighed_at > 1:
            peak = max(peak, _weight([psutil.Process(), *([root] if root else [])]))
            weighed_at = time.perf_counter()
        time.sleep(0.02)
    for child in children:
        if isinstance(child, subprocess.Popen):
            _end(child)
    paths = [told.notebook() for told in all_told]
    whole = sum(path is not None and is_whole(path) for path in paths)
    return Crowd(outputs, ends, whole, peak)


def started(told: Told) -> subprocess.Popen[bytes]:
    """Its program, which shows nothing."""
    return subprocess.Popen(
        told.command,
        cwd=told.folder,
        env={**os.environ, **told.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a program and the kernels that it started."""
    if child.poll() is None:
        with suppress(psutil.NoSuchProcess):
            for one in psutil.Process(child.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
        child.kill()
    child.wait()


def _weight(roots: Sequence[psutil.Process]) -> int:
    """The proportional share of memory of all processes below these, in bytes."""
    found: dict[int, psutil.Process] = {}
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            found |= {one.pid: one for one in root.children(recursive=True)}
    found |= {root.pid: root for root in roots if root.pid != os.getpid()}
    total = 0
    for one in found.values():
        with suppress(psutil.Error, OSError):
            total += one.memory_full_info().pss
    return total
