"""What every benchmark says of the machine, and how its tables are drawn."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Sequence
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


def folder_beside(path: str | None) -> Path:
    """Where a benchmark puts its files: the folder named, else the working directory.

    Not the system's temporary folder: that may be memory, which has nothing to sync.
    """
    return Path(path) if path else Path.cwd()


if __name__ == "__main__":
    print(machine())
