"""What every benchmark says of the machine, and how its tables are drawn."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path


def machine() -> str:
    """One line: cores, load, Python, SQLite, SQLAlchemy, and where the files lie."""
    load = os.getloadavg()[0]
    libraries = f"SQLite {sqlite3.sqlite_version}, SQLAlchemy {version('sqlalchemy')}"
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {load:.1f}; "
        f"Python {platform.python_version()}, {libraries}, imtkit {version('imtkit')}"
    )


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a small table, the first column left, the others right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    print(f"\n{title}")
    for row in (head, tuple("-" * width for width in widths), *rows):
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join((first, *others)))


def span(seconds: Sequence[float]) -> str:
    """Milliseconds: the median, and the range of the rounds."""
    if not seconds:
        return "-"
    low, middle, high = (1000 * f(seconds) for f in (min, statistics.median, max))
    digits = 1 if middle < 100 else 0
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def folder_beside(path: str | None) -> Path:
    """Where a benchmark puts its files: the folder named, else the working directory.

    Not the system's temporary folder: that may be memory, which has nothing to sync.
    """
    return Path(path) if path else Path.cwd()


@contextmanager
def folder_for(path: str | None) -> Iterator[Path]:
    """A folder of a benchmark's own in ``folder_beside``, which goes with it."""
    with tempfile.TemporaryDirectory(prefix="imt-bench-", dir=folder_beside(path)) as made:
        yield Path(made)


if __name__ == "__main__":
    print(machine())
