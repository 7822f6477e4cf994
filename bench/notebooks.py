"""The notebooks that the benchmarks of runs execute, and what is read of an executed one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FIRST_OUTPUT = "first look: all is as it should be"
"""What the first cell prints that says anything."""

TRIVIAL = ("x = 1", f"print({FIRST_OUTPUT!r})", "print('done', x)")

REALISTIC = (
    "hours = 24",
    f"print({FIRST_OUTPUT!r})",
    "import random\nrandom.seed(hours)\nprint('seeded')",
    "import pandas as pd",
    "index = pd.date_range('2026-11-21', periods=hours, freq='h', tz='UTC')\n"
    "latency = [100 + random.random() * 20 for _ in range(hours)]\n"
    "errors = [random.randrange(9) for _ in latency]\n"
    "table = pd.DataFrame({'ms': latency, 'errors': errors}, index)",
    "table.describe()",
    "print('worst hour:', table['ms'].idxmax())",
    "busy = table[table['errors'] > 4]\nprint(len(busy), 'hours with errors')",
    "busy.head()",
    "import matplotlib.pyplot as plt",
    "figure, axes = plt.subplots(figsize=(6, 2.5))\ntable['ms'].plot(ax=axes)\n"
    "axes.set_ylabel('latency, ms')\nplt.show()",
    "print('done', hours)",
)


def write(path: Path, sources: Iterable[str]) -> Path:
    """A notebook whose first cell holds its parameters."""
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{number}",
            "metadata": {} if number else {"tags": ["parameters"]},
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(sources)
    ]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": spec, "language_info": {"name": "python"}}
    document = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def code_cells(path: Path) -> Sequence[dict[str, Any]]:
    """The code cells of a notebook file."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def cell_seconds(path: Path) -> float:
    """What the cells of an executed notebook took, as its metadata in papermill's words has it."""
    told = (cell["metadata"].get("papermill", {}) for cell in code_cells(path))
    return sum(about.get("duration") or 0.0 for about in told)


def is_whole(path: Path) -> bool:
    """Whether every code cell of an executed notebook completed and printed what it had to."""
    cells = code_cells(path)
    told = [cell["metadata"].get("papermill", {}).get("status") for cell in cells]
    return set(told) == {"completed"} and "done" in json.dumps(cells[-1]["outputs"])
