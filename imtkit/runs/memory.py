"""How much memory a kernel and its children hold, where the system tells it (/proc)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LOOK_SECONDS = 0.5
"""How often it is looked at: who allocates faster than that may hold more for so long."""

_PROC = Path("/proc")
_RESIDENT = re.compile(r"^(?:VmRSS|VmSwap):\s+(\d+) kB$", re.MULTILINE)
_SHARE = re.compile(r"^(?:Pss|SwapPss):\s+(\d+) kB$", re.MULTILINE)


async def above(group: int, most_mb: float) -> None:
    """Return once a process group holds more than this many MB (of 1024 × 1024 bytes).

    Where the system does not tell, it never returns.
    """
    while not await asyncio.to_thread(is_above, group, most_mb):
        await asyncio.sleep(LOOK_SECONDS)


def is_above(group: int, most_mb: float) -> bool:
    """Whether a process group holds more than this many MB, in memory or swapped out.

    What processes share with others, such as a kernel with the one it was forked from, counts
    by its share. That takes the system a while to add up, so it is only asked for when needed.
    """
    most = most_mb * 1024
    pids = list(_members(group))
    if sum(_kilobytes(pid, "status", _RESIDENT) for pid in pids) <= most:
        return False
    return sum(_kilobytes(pid, "smaps_rollup", _SHARE) for pid in pids) > most


def _members(group: int) -> Iterator[int]:
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            told = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            # proc(5): after the name in parentheses come state, parent and process group.
            if told.rpartition(")")[2].split()[2] == str(group):
                yield int(folder.name)


def _kilobytes(pid: int, file: str, counted: re.Pattern[str]) -> int:
    try:
        told = (_PROC / str(pid) / file).read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended, or is not ours to look at
        return 0
    return sum(int(number) for number in counted.findall(told))
