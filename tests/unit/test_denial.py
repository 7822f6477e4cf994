"""How a run ends whose step was denied."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from imtkit.runs.conditions import StepEvent
from imtkit.runs.denial import outcome

NO = ("failed", "DeniedError: Bo denied the change 'Promote': too risky")
DONE = ("completed", "")


def told(*steps: tuple[str, str]) -> tuple[str, str]:
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    events = [StepEvent(f"s{n}", n, f"Step {n}", s, at, at, e) for n, (s, e) in enumerate(steps)]
    return outcome(events)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), DONE),
        ((DONE, DONE), DONE),
        ((DONE, ("failed", "OSError: no")), ("failed", "OSError: no")),
        ((DONE, ("waiting", "Go?")), ("waiting", "Go?")),
        ((DONE, NO), ("failed", "Bo denied the change 'Promote': too risky")),
        (
            (NO, DONE),
            ("failed", "Bo denied the change 'Promote': too risky; the cell for that ran"),
        ),
        (
            (DONE, NO, DONE, DONE),
            ("failed", "Bo denied the change 'Promote': too risky; the 2 cells for that ran"),
        ),
        (
            (NO, DONE, ("kernel-died", "the kernel died")),
            (
                "kernel-died",
                "Bo denied the change 'Promote': too risky; of the cells for that, 'Step 2' "
                "ended as kernel-died: the kernel died",
            ),
        ),
    ],
)
def test_a_run_says_how_it_ended(
    steps: tuple[tuple[str, str], ...], expected: tuple[str, str]
) -> None:
    """As its first step that did not complete; after a denial, with what came of the way for it."""
    assert told(*steps) == expected
