"""``imt run``: run a runbook, and show each step as it goes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from imtkit.cli.arguments import INCIDENT, PAIR, table_from_pairs
from imtkit.cli.face import Face, Verb, pass_face, writes
from imtkit.kit.documents import run_document
from imtkit.model.lifecycle import MODES

if TYPE_CHECKING:
    from imtkit.runs.stop import Stop

SECONDS = click.FloatRange(min=0, min_open=True)


@contextmanager
def ended_by_signal(stop: Stop) -> Iterator[None]:
    """While it lasts, SIGTERM and the terminal's end take a run down the ladder, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return

    def ask(number: int, _frame: object) -> None:
        stop.ask("cancelled", f"its runner was told to end ({signal.Signals(number).name})")

    names = ("SIGTERM", "SIGHUP")
    before = {name: signal.signal(getattr(signal, name), ask) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


@click.command(
    cls=Verb,
    examples=("imt run http-service -p url=https://shop.example/health --incident INC-2026-0042",),
)
@click.argument("runbook")
@click.option(
    "-p", "--parameter", "pairs", type=PAIR, multiple=True, help="A parameter of the runbook."
)
@click.option("--incident", "incident_id", type=INCIDENT, default="", help="Else one is opened.")
@click.option("--mode", type=click.Choice(MODES), help="Else live, or its incident's.")
@click.option("--timeout", type=SECONDS, help="The most seconds that a step may take.")
@click.option("--deadline", type=SECONDS, help="The most seconds that the run may take.")
@writes
@pass_face
def run(
    face: Face,
    /,
    *,
    runbook: str,
    pairs: tuple[tuple[str, str], ...],
    timeout: float | None,
    deadline: float | None,
    **where: Any,
) -> None:
    """Run a runbook, by its name or its path."""
    from imtkit.cli.progress import watched
    from imtkit.kit import runbooks, running, runs

    where["mode"] = where["mode"] or ""
    found = runbooks.find(face.settings(), runbook)
    path, control = str(found.path), runs.Control(timeout, deadline)
    where["parameters"] = table_from_pairs(pairs)
    with face.desk() as desk, watched(face, found) as on_step, ended_by_signal(control.stop):
        running.reap(desk)
        done = runs.start(desk, path, on_step=on_step, control=control, **where)
    output = desk.settings.root / done.output_path
    face.give(
        run_document(done, desk.settings.root),
        f"{done.incident}: {done.runbook} {done.status}. The notebook: {output}",
    )
    runs.require_completed(done)
