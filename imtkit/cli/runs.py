"""``imt runs``: see runs wherever they run, end them, and clear up after those that died."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from imtkit.cli.arguments import INCIDENT, PAIR
from imtkit.cli.face import Face, Noun, everywhere, pass_face, writes
from imtkit.kit.documents import run_document
from imtkit.model.incident import QUEUED
from imtkit.model.words import moment_text, one_line, span_text

if TYPE_CHECKING:
    from imtkit.cli.runs_table import RunsTable
    from imtkit.kit import Desk
    from imtkit.kit.turns import Turns
    from imtkit.model.incident import Run, Step
    from imtkit.runs.conditions import StepEvent

_LOOK_SECONDS = 0.5

follow_option = click.option(
    "--follow", "is_followed", is_flag=True, help="Go on showing until nothing runs any more."
)


@click.group(cls=Noun)
def runs() -> None:
    """See runs wherever they run, end them, clear up after the lost."""


@runs.command("list", examples=("imt runs list --incident INC-2026-0042",))
@click.option("--incident", "incident_id", type=INCIDENT, default="", help="Runs of this one.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="Of how many incidents, newest first.",
)
@follow_option
@everywhere
@pass_face
def list_(face: Face, incident_id: str, limit: int, is_followed: bool) -> None:
    """List runs, newest first, with the step that each is at."""
    from imtkit.kit import running

    with face.desk() as desk:
        running.reap(desk, is_thorough=True)
        look = partial(_looked, desk, incident_id, limit)
        found, turns = look()
        if face.is_json:
            face.give_json(_documents(desk, found, turns))
            return
        if is_followed:
            found, turns = _follow_all(face, look)
        elif found:
            face.draw(_table(found, turns))
    if said := turns.what_now or ("" if found else "No runs. Begin one with: imt run NAME"):
        face.say(said)


def _looked(desk: Desk, incident_id: str, limit: int) -> tuple[list[Run], Turns]:
    """The runs, and their turns among all that are queued."""
    from imtkit.kit import running
    from imtkit.kit.turns import turns_of

    running.reap(desk)
    found = running.list_(desk, incident_id=incident_id, limit=limit)
    return found, turns_of(desk, running.list_(desk) if _any_queued(found) else found)


@runs.command(examples=("imt runs show 20261121T201600Z-1a2b3c --follow",))
@click.argument("run")
@follow_option
@everywhere
@pass_face
def show(face: Face, run: str, is_followed: bool) -> None:
    """Show a run: its state, each step, and where its notebook is."""
    from imtkit.kit import resume, running
    from imtkit.kit.turns import turns_of

    with face.desk() as desk:
        running.reap(desk, is_thorough=True)
        found = resume.find(desk, run)
        if is_followed:
            found = _follow(face, desk, found)
        turns = turns_of(desk, running.list_(desk) if _any_queued([found]) else ())
        [document] = _documents(desk, [found], turns)
    face.give(document, lambda: _page(found, document["output_path"], turns))


@runs.command(examples=("imt runs cancel 20261121T201600Z-1a2b3c",))
@click.argument("run")
@writes
@pass_face
def cancel(face: Face, run: str) -> None:
    """Ask that a run end, wherever it runs; what it put out so far is kept."""
    from imtkit.kit import running

    with face.desk() as desk:
        running.reap(desk, is_thorough=True)
        found = running.cancel(desk, run)
        document = run_document(found, desk.settings.root)
    face.give(document, f"{found.id}: asked to end. See it: imt runs show {found.id} --follow")


@runs.command(
    examples=(
        "imt runs resume 20261121T201600Z-1a2b3c",
        "imt runs resume 20261121T201600Z-1a2b3c -p site=south",
    )
)
@click.argument("run")
@click.option("-p", "--parameter", "pairs", type=PAIR, multiple=True, help="A value to correct.")
@writes
@pass_face
def resume(face: Face, run: str, pairs: tuple[tuple[str, str], ...]) -> None:
    """Go on with a run at its first step that did not complete.

    On the kernel that ran its steps, where a Jupyter server of the workspace keeps it; else on
    a new one.
    """
    _go_on(face, run, dict(pairs))


@runs.command(examples=("imt runs give 20261121T201600Z-1a2b3c",))
@click.argument("run")
@writes
@pass_face
def give(face: Face, run: str) -> None:
    """Give a run back that was taken over: the machine goes on with it."""
    from imtkit.kit import handover
    from imtkit.kit import resume as again

    with face.desk() as desk:
        handover.require_held(again.find(desk, run))
    _go_on(face, run, {})


def _go_on(face: Face, run: str, parameters: Mapping[str, str]) -> None:
    from imtkit.cli import remote
    from imtkit.kit import resume as again
    from imtkit.lab import reach

    with face.desk() as desk:
        found = again.find(desk, run)
        server = reach.server_of(desk.settings, found.id) or reach.server_of(desk.settings)
    if server is not None:
        remote.resume(face, server, found, parameters)
    else:
        _go_on_here(face, run, parameters)


def _go_on_here(face: Face, run: str, parameters: Mapping[str, str]) -> None:
    from imtkit.cli.outputs import say_unsent
    from imtkit.cli.progress import shown_steps
    from imtkit.cli.run import ended_by_signal
    from imtkit.kit import expectation, outputs, requests, running
    from imtkit.kit import resume as again
    from imtkit.kit.runs import Control, require_completed

    control = Control()
    with face.desk() as desk, ended_by_signal(control.stop):
        running.reap(desk, is_thorough=True)
        found = again.find(desk, run)
        order = [step.id for step in found.steps]
        shown = shown_steps(face, found.runbook, len(order), order=order)
        with requests.in_sight(desk, found), shown as on_step:
            done = again.resume(
                desk,
                found.id,
                parameters=parameters,
                on_step=on_step,
                control=control,
                tell=face.say,
            )
        say_unsent(face, desk, outputs.send_if_possible(desk))
        [document] = expectation.documents(desk, [done])
    face.give(document, f"{done.incident}: {done.runbook} {done.status}, run {done.id}.")
    require_completed(done)


@runs.command(examples=("imt runs reap",))
@everywhere
@pass_face
def reap(face: Face) -> None:
    """Mark runs as lost whose runner on this host died, and end what it left behind.

    'imt run' and 'imt runs list' do this too.
    """
    from imtkit.cli.outputs import say_unsent
    from imtkit.kit import outputs, running

    with face.desk() as desk:
        lost = running.reap(desk, is_thorough=True)
        say_unsent(face, desk, outputs.send_if_possible(desk))
        documents = [run_document(run, desk.settings.root) for run in lost]
    lines = [f"{run.incident}: {run.runbook} ({run.id}) is lost." for run in lost]
    face.give(documents, "\n".join(lines) or "Nothing was left behind.")


def _documents(desk: Desk, found: list[Run], turns: Turns) -> list[dict[str, Any]]:
    """Runs for JSON; a queued one tells its place."""
    from imtkit.kit import expectation

    documents = expectation.documents(desk, found)
    for one in documents:
        if place := turns.place(one["id"]):
            about = {"place": place, "of": len(turns.runs), "is_worker_up": turns.is_worker_up}
            one["queue"] = about
    return documents


def _follow_all(face: Face, look: Callable[[], tuple[list[Run], Turns]]) -> tuple[list[Run], Turns]:
    """Show all runs, and again whenever one has changed, until none runs."""
    from rich.live import Live

    console = face.console()
    found, turns = look()
    if not console.is_terminal:
        shown: list[Run] = []
        while found != shown:
            face.draw(_table(found, turns))
            shown = found
            while found == shown and _any_runs(found):
                time.sleep(_LOOK_SECONDS)
                found, turns = look()
        return found, turns
    with Live(_table(found, turns), console=console, auto_refresh=False) as live:
        while _any_runs(found):
            time.sleep(_LOOK_SECONDS)
            found, turns = look()
            live.update(_table(found, turns), refresh=True)
    return found, turns


def _any_queued(found: list[Run]) -> bool:
    return any(run.status == QUEUED for run in found)


def _any_runs(found: list[Run]) -> bool:
    return any(run.status in (QUEUED, "running") for run in found)


def _follow(face: Face, desk: Desk, run: Run) -> Run:
    """Show a run's steps as they go, as ``imt run`` does, until it runs no more."""
    from imtkit.cli.progress import shown_steps
    from imtkit.kit import expectation, resume, running

    told: dict[str, str] = {}
    usual = expectation.expected(desk, run.runbook, but=run.id)
    with shown_steps(face, run.runbook, len(run.steps), run.started_at) as on_step:
        while True:
            for event in _news(run, told):
                on_step(expectation.with_expected(event, usual))
            if run.status not in (QUEUED, "running"):
                return run
            time.sleep(_LOOK_SECONDS)
            running.reap(desk)
            run = resume.find(desk, run.id)


def _news(run: Run, told: dict[str, str]) -> Iterator[StepEvent]:
    """What happened to a run's steps since it was told; ``told`` remembers it."""
    from imtkit.runs.conditions import StepEvent

    for index, step in enumerate(run.steps):
        if step.status != "not-run" and told.get(step.id) != step.status:
            told[step.id] = step.status
            began = step.started_at or run.started_at
            yield StepEvent(
                step.id, index, step.title, step.status, began, step.finished_at, step.error
            )


def _table(found: list[Run], turns: Turns) -> RunsTable:
    from imtkit.cli.runs_table import RunsTable

    return RunsTable(found, datetime.now(UTC), turns)


def _page(run: Run, output: str, turns: Turns) -> str:
    head = f"{run.id}: {run.runbook}, {run.status}{f': {run.error}' if run.error else ''}"
    lines = list(_history(run))
    if run.status == QUEUED:
        waited = span_text(datetime.now(UTC) - run.started_at)
        lines.append(f"{turns.words(run.id)}, for {waited}. {turns.what_now}")
    lines += map(_step_line, run.steps)
    told = [one_line(line, most=300) for line in lines]
    return "\n  ".join([one_line(head, most=300), *told, *([output] if output else [])])


def _history(run: Run) -> Iterator[str]:
    """Who asked for a run, when it began, and who or what went on with it."""
    for_rule = f" for the rule '{run.rule}'" if run.rule else ""
    asked_at = moment_text(run.requested_at or run.started_at)
    how = "asked for by" if run.requested_at else "by"
    yield f"{run.incident}, {how} {run.actor}{for_rule}, {asked_at}"
    if run.requested_at and run.status != QUEUED:
        yield f"began {moment_text(run.started_at)}"
    if run.resumed_at is not None:
        yield f"gone on with by {run.resumed_by}, {moment_text(run.resumed_at)}"
    if run.holder:
        yield f"in the hands of {run.holder}"


def _step_line(step: Step) -> str:
    took = ""
    if step.started_at and step.finished_at:
        took = f", {span_text(step.finished_at - step.started_at)}"
    return f"{step.title or step.id}: {step.status}{took}{f': {step.error}' if step.error else ''}"
