"""Runs: what is queued, runs, waits or failed, who has it in hand, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imtkit.contracts import Query
from imtkit.kit import Desk, running
from imtkit.model.incident import Incident, Run
from imtkit.model.words import one_line
from imtkit.web.asked import Asked
from imtkit.web.live import Tail
from imtkit.web.shelf import Shelf

if TYPE_CHECKING:
    from starlette.responses import Response

_OF_INCIDENTS = 50
_GROUPS = (
    ("Waiting for a person", ("waiting",)),
    ("Running", ("running",)),
    ("Queued", ("queued",)),
    ("Failed", ("failed", "timed-out", "kernel-died", "lost")),
    ("Ended", ("completed", "cancelled")),
)
_LOOK = ("Look into it on its kernel, then go on", "imt take {run}")
_NEXT: Mapping[str, tuple[str, str]] = {
    "queued": ("It begins as soon as a worker is free; to start one", "imt worker"),
    "running": ("To take it over after the step it is at", "imt take {run}"),
    "waiting": ("Work on its kernel and give it back", "imt take {run}"),
    **dict.fromkeys(("failed", "timed-out", "kernel-died", "lost"), _LOOK),
}
"""What to do next, and the command for it, by status."""
_ENDS = ("queued", "running", "waiting")


@dataclass(frozen=True, slots=True)
class RunCard:
    """A run as a page shows it. ``command`` is to be copied; ``done`` counts completed steps."""

    run: Run
    done: int
    is_live: bool
    needs_person: bool
    next_step: str
    command: str


def run_cards(incident: Incident) -> list[RunCard]:
    """An incident's runs, newest first."""
    cards = [run_card(run, has_gate=_has_gate(incident, run)) for run in incident.runs]
    return sorted(cards, key=lambda card: card.run.started_at, reverse=True)


def run_card(run: Run, *, has_gate: bool) -> RunCard:
    """A run with what to do next: answer, take over, resume, or nothing."""
    said, command = _next(run, has_gate=has_gate)
    return RunCard(
        run,
        done=sum(step.status == "completed" for step in run.steps),
        is_live=run.has_runner and run.status in _ENDS,
        needs_person=run.has_runner and bool(command) and run.status not in ("running", "queued"),
        next_step=said,
        command=command,
    )


async def listed(asked: Asked, tail: Tail, shelf: Shelf) -> Response:
    """``/runs``: every run that is not over, those that failed, and on request those that ended."""
    after = await tail.newest()
    is_all = asked.query("show") == "all"

    def look(desk: Desk) -> list[RunCard]:
        rows = desk.store.incidents(Query(limit=_OF_INCIDENTS))
        found = [card for row in rows for card in run_cards(shelf.incident(desk, row.id))]
        found = [card for card in found if card.run.has_runner]
        return sorted(found, key=lambda card: card.run.started_at, reverse=True)

    cards = await asked.work(look)
    groups = [
        (title, [card for card in cards if card.run.status in statuses])
        for title, statuses in _GROUPS
        if is_all or title != "Ended"
    ]
    ended = sum(card.run.status in _GROUPS[-1][1] for card in cards)
    return asked.page(
        "runs.html",
        groups=[(title, found) for title, found in groups if found],
        ended=ended,
        is_all=is_all,
        after=after,
    )


async def cancelled(asked: Asked) -> Response:
    """Ask that a run end; the page it was asked on says what became of that."""
    person, run = asked.person(), asked.path("run")
    done = await asked.work_as(person, lambda desk: running.cancel(desk, run))
    back = "/runs" if asked.said.get("back") == "runs" else f"/incidents/{done.incident}"
    return asked.gone_to(f"{back}#run-{done.id}", person)


def _has_gate(incident: Incident, run: Run) -> bool:
    return any(gate.run == run.id for gate in incident.waiting_gates)


def _next(run: Run, *, has_gate: bool) -> tuple[str, str]:
    """What to do next, in words, and the command for it; nothing where nothing is owed."""
    if not run.has_runner:
        return "", ""
    if run.holder:
        return f"{one_line(run.holder)} has it in hand; to give it back", f"imt runs give {run.id}"
    if run.status == "waiting" and has_gate:
        return "Answer its question; or work on its kernel", f"imt take {run.id}"
    words, command = _NEXT.get(run.status, ("", ""))
    return words, command.replace("{run}", run.id)
