"""The live display of a run: what it shows, at any width, and that nothing is made up."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta

from rich.console import Console

from imtkit.cli.run_screen import RunScreen
from imtkit.model.words import time_with_usual, usual_text
from imtkit.runs.conditions import StepEvent


def began() -> datetime:
    """When what is drawn began: twenty seconds ago."""
    return datetime.now(UTC) - timedelta(seconds=20)


def event(id_: str, status: str, seconds: float | None = None, **more: object) -> StepEvent:
    """A step's event; without seconds it runs."""
    at = began()
    ended = None if seconds is None else at + timedelta(seconds=seconds)
    return StepEvent(id_, 0, f"Look at {id_}", status, at, ended, **more)  # type: ignore[arg-type]


def drawn(screen: RunScreen, width: int = 80, height: int = 24) -> list[str]:
    """What stands on a terminal of this size, without colours."""
    screen._console = Console(width=width, height=height)
    file = io.StringIO()
    Console(file=file, width=width, height=height, no_color=True).print(screen)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_step_title_status_elapsed_and_expected_time_fit_80_columns() -> None:
    """One line a step, and one for the run."""
    screen = RunScreen(Console(), "http-service", 3, began())
    screen(event("disk", "completed", 2.5, expected_seconds=2.0, expected_run_seconds=60.0))
    screen(event("x" * 90, "running", expected_seconds=45.2))
    whole, disk, long = drawn(screen)
    assert whole.startswith("http-service  1/3")
    assert re.search(r" \d\d s \(usually 1 min 0 s\)$", whole)
    assert " ".join(disk.split()) == "Look at disk completed 2.5 s (usually 2.0 s)"
    assert long.startswith("  Look at xxxx")
    assert "… running" in long
    assert re.search(r" \d\d s \(usually 45 s\)$", long)
    assert all(len(line) <= 60 for line in drawn(screen, 60))


def test_without_history_no_expectation_is_shown() -> None:
    """No number is made up."""
    screen = RunScreen(Console(), "new", 2, began())
    screen(event("disk", "completed", 2.5))
    screen(event("net", "running"))
    assert "usually" not in "\n".join(drawn(screen))


def test_more_steps_than_the_terminal_has_lines() -> None:
    """The newest are shown while it runs, all of them when it is over; then nothing moves."""
    screen = RunScreen(Console(), "long", 40, began())
    for n in range(39):
        screen(event(f"s{n}", "completed", 1))
    screen(event("s39", "running"))
    shown = drawn(screen, height=10)
    assert len(shown) <= 10
    assert "(34 earlier steps)" in shown[1]
    assert "Look at s39" in shown[-1]
    screen(event("s39", "failed", 30, error="no\x1b[31m way\nout"))
    screen.finish()
    over = drawn(screen, height=10)
    assert over == drawn(screen, height=10)
    assert sum("Look at" in line for line in over) == 41
    assert over[0].startswith("long  40/40")
    assert over[0].endswith("30.0 s")
    assert over[-1].startswith("  Look at s39: no")
    assert "\x1b" not in over[-1]


def test_times_in_words() -> None:
    """What goes on is told in whole seconds, what is over exactly."""
    took = timedelta(seconds=12.345)
    assert time_with_usual(took, None) == "12.3 s"
    assert time_with_usual(took, 30.0, is_over=False) == "12 s (usually 30 s)"
    assert time_with_usual(timedelta(seconds=-1), None, is_over=False) == "0 s"
    assert [usual_text(n) for n in (0.35, 9.44, 61, 7200)] == [
        "350 ms",
        "9.4 s",
        "1 min 1 s",
        "2 h 0 min",
    ]
