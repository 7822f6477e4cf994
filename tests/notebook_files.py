"""Small real notebooks, written where a test wants them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


def code(id_: str, source: str, *tags: str) -> Cell:
    """A code cell without outputs."""
    metadata = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": id_,
        "metadata": metadata,
        "outputs": [],
        "source": source,
    }


def markdown(id_: str, source: str) -> Cell:
    """A markdown cell."""
    return {"cell_type": "markdown", "id": id_, "metadata": {}, "source": source}


def write_notebook(
    path: Path,
    cells: Sequence[Cell],
    *,
    kernel: str = "python3",
    about: dict[str, Any] | None = None,
) -> Path:
    """Write a notebook; ``about`` is a runbook's own metadata table."""
    spec = {"display_name": kernel, "language": "python", "name": kernel}
    metadata = {"kernelspec": spec, **({"imtkit": about} if about else {})}
    document = {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


SOUND = {
    "title": "Trial",
    "owner": "platform",
    "services": ["orders"],
    "alerts": ["Orders*"],
    "severity": {"hints": ["sev2 when most requests fail"]},
    "roles": ["incident commander"],
    "last_reviewed": "2026-11-01",
}
"""Metadata the linter has nothing to say of."""
