"""Runs: what is queued, runs, waits or failed, who has it in hand, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imtkit.kit import Desk, running
from imtkit.kit.resume import find
from imtkit.kit.turns import Turns, in_hand, turns_of
from imtkit.model.entries import Entry
from imtkit.model.entry_data import text_of
from imtkit.model.incident import Incident, Run
from imtkit.model.words import one_line
from imtkit.web.asked import Asked
from imtkit.web.live import Tail
from imtkit.web.shelf import Shelf

if TYPE_CHECKING:
    from starlette.responses import Response

_GROUPS = (
    ("Waiting for a person", ("waiting",)),
    ("Running", ("running",)),
    ("Queued", ("queued",)),
    ("Failed", ("failed", "timed-out", "kernel-died", "lost")),
    ("Ended", ("completed", "cancelled")),
)
_RANKS: Mapping[str, int] = {
    status: rank for rank, (_, statuses) in enumerate(_GROUPS) for status in statuses
}
_LOOK = ("Look into it on its kernel, then go on", "imt take {run}")
_NEXT: Mapping[str, tuple[str, str]] = {
    "running": ("To take it over after the step it is at", "imt take {run}"),
    "waiting": ("Work on its kernel and give it back", "imt take {run}"),
    **dict.fromkeys(("failed", "timed-out", "kernel-died", "lost"), _LOOK),
}
"""What to do next, and the command for it, by status; of queued ones their queue tells it."""
_ENDS = ("queued", "running", "waiting")


@dataclass(frozen=True, slots=True)
class RunCard:
    """A run as a page shows it. ``command`` is to be copied; ``done`` counts completed steps.

    ``alert`` is the alert for which a rule asked for it.
    """

    run: Run
    done: int
    is_live: bool
    needs_person: bool
    next_step: str
    command: str
    alert: str = ""


def run_cards(incident: Incident) -> list[RunCard]:
    """An incident's runs: what needs somebody first, of these the newest first."""
    asked = {text_of(e, "run"): e for e in incident.entries if e.type == "run.requested"}
    cards = [
        run_card(run, has_gate=_has_gate(incident, run), asked=asked.get(run.id))
        for run in incident.runs
    ]
    cards.sort(key=lambda card: card.run.started_at, reverse=True)
    return sorted(cards, key=lambda card: _RANKS.get(card.run.status, len(_GROUPS)))


def run_card(run: Run, *, has_gate: bool, asked: Entry | None = None) -> RunCard:
    """A run with what to do next: answer, take over, resume, or nothing.

    ``asked`` is the entry by which it was asked for, if a rule or a person did.
    """
    said, command = _next(run, has_gate=has_gate)
    return RunCard(
        run,
        done=sum(step.status == "completed" for step in run.steps),
        is_live=run.has_runner and run.status in _ENDS,
        needs_person=run.has_runner and bool(command) and run.status not in ("running", "queued"),
        next_step=said,
        command=command,
        alert=text_of(asked, "alert") if asked else "",
    )


def queue_of(desk: Desk, shelf: Shelf) -> Turns:
    """The runs that wait for a worker, worst severity first, then the oldest."""
    runs = [run for row in in_hand(desk) for run in shelf.incident(desk, row.id).runs]
    return turns_of(desk, runs, look=partial(shelf.incident, desk))


def _every(desk: Desk, shelf: Shelf) -> list[RunCard]:
    """The runs of the incidents that matter now, newest first."""
    found = [card for row in in_hand(desk) for card in run_cards(shelf.incident(desk, row.id))]
    found = [card for card in found if card.run.has_runner]
    return sorted(found, key=lambda card: card.run.started_at, reverse=True)


async def listed(asked: Asked, tail: Tail, shelf: Shelf) -> Response:
    """``/runs``: every run that is not over, those that failed, and on request those that ended."""
    after = await tail.newest()
    is_all = asked.query("show") == "all"

    def look(desk: Desk) -> tuple[list[RunCard], Turns]:
        found = _every(desk, shelf)
        runs = [card.run for card in found]
        return found, turns_of(desk, runs, look=partial(shelf.incident, desk))

    cards, queue = await asked.work(look)
    cards.sort(key=lambda card: queue.place(card.run.id))
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
        queue=queue,
        after=after,
    )


async def shown(asked: Asked, tail: Tail, shelf: Shelf) -> Response:
    """``/runs/ID``: one run with its steps, its parameters, and why it runs."""
    after = await tail.newest()

    def look(desk: Desk) -> tuple[RunCard, Incident, Turns | None]:
        run = find(desk, asked.path("run"))
        incident = shelf.incident(desk, run.incident)
        card = next(one for one in run_cards(incident) if one.run.id == run.id)
        return card, incident, queue_of(desk, shelf) if run.status == "queued" else None

    card, incident, queue = await asked.work(look)
    return asked.page(
        "run.html", card=card, incident=incident, queue=queue, after=after, watched=incident.id
    )


async def cancelled(asked: Asked) -> Response:
    """Ask that a run end; the page it was asked on says what became of that."""
    person, run = asked.person(), asked.path("run")
    done = await asked.work_as(person, lambda desk: running.cancel(desk, run))
    pages = {"runs": "/runs", "run": f"/runs/{done.id}"}
    back = pages.get(asked.said.get("back", ""), f"/incidents/{done.incident}")
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
