"""Appends per second, each on disk when it returns, against the disk's own rate.

    python bench/log.py [FOLDER]

Rounds of three are interleaved, so that each ratio is taken within one round: the disk alone
(write a line and fdatasync), one writer, eight processes. Ends within 90 seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from facts import folder_for, machine, table

from imtkit.model.entries import Draft
from imtkit.store import open_store

ROUNDS = 5
SECONDS = 1.5
PROCESSES = 8


def note(number: int) -> Draft:
    """A note as people write them."""
    return Draft("note.added", {"text": f"note {number}: restarted it"}, actor="Ann Example")


def timed(act: Callable[[int], object], until: float) -> list[float]:
    """How long each call took, in seconds, until a monotonic time."""
    spans: list[float] = []
    before = time.monotonic()
    while before < until:
        act(len(spans))
        now = time.monotonic()
        spans.append(now - before)
        before = now
    return spans


def disk(folder: Path) -> list[float]:
    """Write a line as long as an entry, and wait until it is on disk."""
    line = b"x" * 399 + b"\n"
    file = os.open(folder / "floor", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def act(_: int) -> None:
        os.write(file, line)
        os.fdatasync(file)

    spans = timed(act, time.monotonic() + SECONDS)
    os.close(file)
    return spans


def append(url: str, incident: str, begins_at: float, ends_at: float) -> list[float]:
    """Append between two monotonic times, which all processes share."""
    store = open_store(url)
    time.sleep(max(0.0, begins_at - time.monotonic()))
    spans = timed(lambda number: store.append(incident, note(number)), ends_at)
    store.close()
    return spans


def fresh(folder: Path, name: str) -> tuple[str, str]:
    """A new log and an incident in it."""
    url = f"sqlite:///{folder}/{name}.db"
    store = open_store(url)
    incident = store.open_incident(Draft("incident.opened", {"title": "x"}, actor="Ann")).incident
    store.append(incident, *(note(n) for n in range(100)))
    store.close()
    return url, incident


def one_writer(folder: Path, name: str) -> list[float]:
    """One process alone at a log."""
    now = time.monotonic()
    return append(*fresh(folder, name), now, now + SECONDS)


def many_writers(folder: Path, name: str, pool: ProcessPoolExecutor) -> list[float]:
    """Eight processes at one log, begun together."""
    url, incident = fresh(folder, name)
    begins_at = time.monotonic() + 0.5
    work = [
        pool.submit(append, url, incident, begins_at, begins_at + SECONDS) for _ in range(PROCESSES)
    ]
    spans = [span for one in work for span in one.result()]
    store = open_store(url)
    assert store.verify() == [], "the log does not verify"
    assert sum(1 for _ in store.entries(incident)) == len(spans) + 101, "an append is missing"
    store.close()
    return spans


def main() -> None:
    """Measure, and print one table."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["imtkit.store.log"])
    floors: list[list[float]] = []
    alone: list[list[float]] = []
    together: list[list[float]] = []
    with (
        folder_for(sys.argv[1] if len(sys.argv) > 1 else None) as folder,
        ProcessPoolExecutor(PROCESSES, mp_context=context) as pool,
    ):
        many_writers(folder, "warm", pool)
        for number in range(ROUNDS):
            floors.append(disk(folder))
            alone.append(one_writer(folder, f"one{number}"))
            together.append(many_writers(folder, f"many{number}", pool))
    print(machine())
    rows = [
        row("write + fdatasync", floors, floors),
        row("1 writer", alone, floors),
        row(f"{PROCESSES} processes", together, floors),
    ]
    head = ("log.append", "a second", "of the disk's", "round by round", "p50", "p99", "longest")
    table(f"{ROUNDS} rounds of {SECONDS} s, medians over rounds", head, rows)


def row(name: str, rounds: list[list[float]], floors: list[list[float]]) -> tuple[str, ...]:
    """Rate, its ratio to the disk's within each round, and waits in milliseconds."""
    ratios = [len(one) / len(floor) for one, floor in zip(rounds, floors, strict=True)]
    every = sorted(span * 1000 for one in rounds for span in one)
    return (
        name,
        f"{statistics.median(len(one) for one in rounds) / SECONDS:,.0f}",
        f"{statistics.median(ratios):.0%}",
        f"{min(ratios):.0%} to {max(ratios):.0%}",
        f"{every[len(every) // 2]:.2f} ms",
        f"{every[len(every) * 99 // 100]:.1f} ms",
        f"{every[-1]:.0f} ms",
    )


if __name__ == "__main__":
    main()
