"""What to expect of a run: how long it and its steps took before, by the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from imtkit.errors import StoreError
from imtkit.kit.desk import Desk
from imtkit.kit.documents import Document, run_document
from imtkit.model.expected import RUNS, Expected, Took, expected_from
from imtkit.model.incident import Run
from imtkit.runs.conditions import StepEvent


def expected(desk: Desk, runbook: str, *, but: str = "") -> Expected:
    """What the newest runs of a runbook that completed let expect; nothing without one.

    ``but`` is a run, by its id, that does not count. Nothing, too, where the log cannot be read
    now: no run waits for this.
    """
    return expected_from(_earlier(desk, runbook), but=but)


def with_expected(event: StepEvent, usual: Expected) -> StepEvent:
    """A step's event for whoever watches, with how long to expect that it takes."""
    return replace(
        event,
        expected_seconds=usual.step_seconds.get(event.id),
        expected_run_seconds=usual.run_seconds,
    )


def documents(desk: Desk, runs: Iterable[Run]) -> list[Document]:
    """Runs for ``--json``, with ``expected_seconds`` of each and of its steps where known."""
    took: dict[str, list[Took]] = {}
    found = []
    for run in runs:
        if run.runbook not in took:
            took[run.runbook] = _earlier(desk, run.runbook)
        usual = expected_from(took[run.runbook], but=run.id)
        told = run_document(run, desk.settings.root)
        for step in told["steps"]:
            if step["id"] in usual.step_seconds:
                step["expected_seconds"] = usual.step_seconds[step["id"]]
        if usual.run_seconds is not None:
            told["expected_seconds"] = usual.run_seconds
        found.append(told)
    return found


def _earlier(desk: Desk, runbook: str) -> list[Took]:
    try:
        return desk.store.completed_runs(runbook, limit=RUNS + 1)
    except StoreError:
        return []
