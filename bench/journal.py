"""What a step costs besides its own work: papermill's engine, ours, and ours with the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import notebooks

from imtkit import open_desk
from imtkit.kit import Desk, incidents, runs
from imtkit.model.opening import Opening
from imtkit.runs.conditions import Conditions, Journal, StepEvent

STEPS = 30


def step_costs(workspace: Path, *, rounds: int) -> Mapping[str, list[float]]:
    """Seconds a step of a notebook of empty steps, by way, one figure for each round."""
    book = notebooks.write(workspace / "empty.ipynb", ["x = 1", *["pass"] * STEPS])
    with open_desk(workspace, actor="Ann Example") as desk:
        journal = _journal(desk)
        ways: Mapping[str, Mapping[str, Any]] = {
            "papermill's engine": {},
            "imt's engine": {"engine_name": "imt", "conditions": Conditions()},
            "imt's engine and log": {
                "engine_name": "imt",
                "conditions": Conditions(journal=journal),
            },
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, options in ways.items():
                seconds = _seconds_a_step(book, workspace / "empty.out.ipynb", options)
                if number:  # the first round imports
                    found[name].append(seconds)
    return found


def _journal(desk: Desk) -> Journal:
    incident = incidents.open_(desk, Opening("What a step costs", mode="test"))

    def keep(*events: StepEvent) -> None:
        drafts = [runs.step_draft(desk, "bench", event) for event in events]
        desk.store.append(incident.id, *drafts)

    return keep


def _seconds_a_step(book: Path, output: Path, options: Mapping[str, Any]) -> float:
    """From the first step's begin to the last one's end, shared out."""
    import papermill

    logging.getLogger("papermill").setLevel(logging.ERROR)
    papermill.execute_notebook(str(book), str(output), progress_bar=False, **options)
    told = [cell["metadata"]["papermill"] for cell in notebooks.code_cells(output)]
    first, last = (datetime.fromisoformat(told[n][name]) for n, name in _ENDS)
    return (last - first).total_seconds() / len(told)


_ENDS = ((0, "start_time"), (-1, "end_time"))
