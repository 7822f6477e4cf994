"""``imt run``: run a runbook, and show each step as it goes."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from imtkit.cli.arguments import INCIDENT, PAIR, table_from_pairs
from imtkit.cli.face import Face, Verb, pass_face, writes
from imtkit.model.lifecycle import MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imtkit.config import Settings
    from imtkit.lab.reach import Server
    from imtkit.runs.runbook import Runbook
    from imtkit.runs.stop import Stop

_OUR_SECRETS = "secret://env/"

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
    examples=(
        "imt run http-service -p url=https://shop.example/health --incident INC-2026-0042",
        "imt run host --queue",
    ),
)
@click.argument("runbook")
@click.option(
    "-p", "--parameter", "pairs", type=PAIR, multiple=True, help="A parameter of the runbook."
)
@click.option("--incident", "incident_id", type=INCIDENT, default="", help="Else one is opened.")
@click.option("--mode", type=click.Choice(MODES), help="Else live, or its incident's.")
@click.option("--timeout", type=SECONDS, help="The most seconds that a step may take.")
@click.option("--deadline", type=SECONDS, help="The most seconds that the run may take.")
@click.option("--here", is_flag=True, help="In this process, though a Jupyter server is up.")
@click.option("--queue", "is_queued", is_flag=True, help="Leave it to a worker that has room.")
@writes
@pass_face
def run(
    face: Face,
    /,
    *,
    runbook: str,
    pairs: tuple[tuple[str, str], ...],
    here: bool,
    is_queued: bool,
    **where: Any,
) -> None:
    """Run a runbook, by its name or its path.

    A Jupyter server of the workspace ('imt worker', 'imt lab') carries it out where one is up.
    """
    from imtkit.kit import runbooks

    order = {**where, "mode": where["mode"] or "", "parameters": table_from_pairs(pairs)}
    if is_queued:
        if here or order["timeout"] or order["deadline"]:
            raise click.UsageError("--queue goes with none of --here, --timeout, --deadline.")
        _ask_for(face, runbook, order)
        return
    settings = face.settings()
    found = runbooks.find(settings, runbook)
    if sys.stderr.isatty():  # whoever waits sees that it begins, before what is heavy is loaded
        face.say(f"Running {found.name} …")
    server = None if here else _server(settings, found, order["parameters"])
    if server is None:
        _run_here(face, settings, found, order)
        return
    from imtkit.cli import remote

    remote.run(face, server, found, order)


def _ask_for(face: Face, runbook: str, order: Mapping[str, Any]) -> None:
    """Have it wait for a worker, wherever one is."""
    from imtkit.errors import StoreError
    from imtkit.kit import expectation, requests

    where = {name: order[name] for name in ("mode", "parameters")}
    queue = requests.open_queue(face.settings())
    try:
        with face.desk() as desk:
            asked = requests.request(desk, order["incident_id"], runbook, **where)
            try:
                requests.enqueue_requested(desk, queue, incident_ids=[asked.incident])
                if not queue.is_served:
                    face.say("No worker is up to begin it. Start one: imt worker")
            except StoreError as error:  # the log has it, and workers look there
                face.say(f"{error} A worker finds the run in the log, a little later.")
            [document] = expectation.documents(desk, [asked])
    finally:
        queue.close()
    words = f"{asked.incident}: {asked.runbook} is queued, run {asked.id}."
    face.give(document, f"{words} Follow it: imt runs show {asked.id} --follow")


def _server(settings: Settings, runbook: Runbook, given: Mapping[str, str]) -> Server | None:
    """The server that carries the run out; none where a secret is to come from this terminal."""
    defaults = (one.default for one in runbook.parameters)
    texts = [one for one in (*given.values(), *defaults) if isinstance(one, str)]
    if any(text.startswith(_OUR_SECRETS) for text in texts):
        return None
    from imtkit.lab import reach

    return reach.server_of(settings)


def _run_here(face: Face, settings: Settings, found: Runbook, order: Mapping[str, Any]) -> None:
    """Run it in this process, on a kernel of its own."""
    from imtkit.kit.ahead import kernel_ahead
    from imtkit.runs.later import put_off_requests
    from imtkit.runs.stop import Stop

    put_off_requests()
    stop = Stop()
    with ended_by_signal(stop), kernel_ahead(settings, found) as kernel:
        # While the kernel comes up, the rest is loaded.
        from imtkit.cli.outputs import say_unsent
        from imtkit.cli.progress import watched
        from imtkit.kit import expectation, outputs, running, runs

        where = {name: order[name] for name in ("incident_id", "mode", "parameters")}
        control = runs.Control(order["timeout"], order["deadline"], stop, kernel)
        with face.desk() as desk, watched(face, found) as on_step:
            running.reap(desk)
            done = runs.start(desk, str(found.path), on_step=on_step, control=control, **where)
            say_unsent(face, desk, outputs.send_if_possible(desk))
        [document] = expectation.documents(desk, [done])
    words = f"{done.incident}: {done.runbook} {done.status}, run {done.id}."
    face.give(document, f"{words} The notebook: {document['output_path']}")
    runs.require_completed(done)
