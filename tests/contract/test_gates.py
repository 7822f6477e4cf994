"""Two people at one gate in the same instant, on every database that two can open."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING

from imtkit.config import load_settings
from imtkit.contracts import SystemClock
from imtkit.errors import StateError
from imtkit.kit import Desk, gates, incidents
from imtkit.kit.gates import Question
from imtkit.model.opening import Opening

if TYPE_CHECKING:
    from imtkit.store.log import SqlStore

TIMES = 100


def test_of_two_answers_in_one_instant_one_counts(
    open_again: Callable[[], SqlStore], workspace: Path
) -> None:
    """A hundred times: one answer is taken, the other person is told whose it was."""
    settings, clock = load_settings(workspace), SystemClock()
    people = [Desk(settings, open_again(), clock, name, "cli") for name in ("Ann", "Bo")]
    incident_id = incidents.open_(people[0], Opening("Orders fail")).id
    asked = [gates.open_(people[0], incident_id, Question(f"Go {n}?")).id for n in range(TIMES)]
    together = Barrier(len(people))
    losses: list[str] = []

    def answer_all(desk: Desk) -> list[str]:
        mine = "yes" if desk is people[0] else "no"
        taken = []
        for gate in asked:
            together.wait(timeout=60)
            try:
                taken.append(gates.answer(desk, incident_id, gate, mine).id)
            except StateError as told:
                losses.append(str(told))
        return taken

    with ThreadPoolExecutor(len(people)) as pool:
        anns, bos = pool.map(answer_all, people)
    assert sorted((*anns, *bos)) == sorted(asked)
    assert len(losses) == TIMES
    assert all("was answered already" in loss for loss in losses)
    entries = list(people[0].store.entries(incident_id))
    answered = [entry.data["gate"] for entry in entries if entry.type == "gate.answered"]
    assert sorted(answered) == sorted(asked)
    state = incidents.get(people[0], incident_id)
    assert {gate.id for gate in state.gates if gate.by == "Ann"} == set(anns)
