"""Receiver and worker killed at random moments under load, and what the log says afterwards.

``IMT_CHAOS_KILLS=100 pytest tests/integration/test_chaos.py`` is the same for longer;
``IMT_CHAOS_SEED`` chooses other moments.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from notebook_files import Cell, code, write_notebook
from servers import until
from storms import (
    SOURCE,
    Receiver,
    Senders,
    Worker,
    assert_nothing_lost,
    deliveries,
    is_handled,
)

from imtkit.kit import Desk, open_desk, running
from imtkit.kit.requests import MOST_ATTEMPTS
from imtkit.model.incident import Run

KILLS = int(os.environ.get("IMT_CHAOS_KILLS", "6"))
SEED = int(os.environ.get("IMT_CHAOS_SEED", "1"))
PAUSE = 2.5
GROUPS = 2 * KILLS
"""They begin one after the other, so that there are runs to be killed all the time."""
ALERTS = 10 * GROUPS
ENDS = ("completed", "failed", "waiting")

LINE = "with open(witness, 'a') as file: file.write('{} ' + run + '\\n')"
LOOKS: list[Cell] = [
    code("values", "witness = ''", "parameters"),
    code("setup", "import os, time\nrun = os.environ['IMT_RUN']", "setup"),
    code("once", LINE.format("once"), "once"),
    code("look", "time.sleep(2)"),
    code("after", LINE.format("after")),
]
ASKS: list[Cell] = [
    *LOOKS[:2],
    code("join", "import imtkit as imt\ninc = imt.join()", "setup"),
    *LOOKS[2:4],
    code("ask", "inc.gate('Go on?')"),
]
RULES = """
[[alerts.rules]]
name = "looks"
match = ['first="yes"']
runbooks = ["looks"]
parameters = {{ witness = "{witness}" }}

[[alerts.rules]]
name = "asks"
match = ['first="asks"']
runbooks = ["asks"]
parameters = {{ witness = "{witness}" }}
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose log is in a file, or in PostgreSQL, with rules that run two runbooks."""
    if request.param == "postgres":
        monkeypatch.setenv("IMT_STORE_URL", request.getfixturevalue("postgres_log"))
    write_notebook(workspace / "runbooks" / "looks.ipynb", LOOKS)
    write_notebook(workspace / "runbooks" / "asks.ipynb", ASKS)
    with (workspace / "imt.toml").open("a") as settings:
        settings.write(SOURCE + RULES.format(witness=workspace / "witness"))
    return workspace


@pytest.mark.timeout(150 + 10 * KILLS)
def test_kills_at_any_moment_lose_no_alert_and_leave_no_run_untold(place: Path):
    """After each kill -9 the next one goes on: alerts, incidents and runs are as if none died."""
    storm = sorted(deliveries(ALERTS, GROUPS, new=2), key=lambda one: int(one.group[2:]))
    with ExitStack() as ends:
        receiver = Receiver(place)
        ends.callback(receiver.end)
        worker = Worker(place)
        ends.callback(worker.end)
        until(lambda: worker.is_up, 60)
        senders = Senders(receiver.port, storm, lines=4, seconds=KILLS * PAUSE)
        with open_desk(place, actor="Bo Berg") as desk:
            kill_now_and_then(desk, receiver, worker)
            told = senders.told(60)
            assert told.again["broken"], "no sender noticed a kill"
            until(lambda: is_handled(desk, told), 60)
            found = assert_nothing_lost(desk, told, ALERTS, GROUPS)
            assert len(found.requested) == GROUPS
            until(lambda: all(is_told(run) for run in runs_of(desk)), 90)
            assert {str(one.data["run"]) for one in found.requested} == {
                run.id for run in runs_of(desk)
            }
            ended_as_it_should(desk, place / "witness")


def kill_now_and_then(desk: Desk, receiver: Receiver, worker: Worker) -> None:
    """Kill them in turn, now and then both, and start what was killed again.

    The moments are the seed's; the worker's lie in a run where there is one.
    """
    dice = random.Random(SEED)
    victims: list[Receiver | Worker] = [worker, receiver]
    for number in range(KILLS):
        chosen = victims if dice.random() < 0.2 else [victims[number % 2]]
        if worker in chosen:
            wait_for_a_run(desk)
        time.sleep(dice.uniform(0.1, PAUSE))
        for one in chosen:
            one.kill()
        for one in chosen:
            one.start()


def wait_for_a_run(desk: Desk, seconds: float = 12) -> None:
    """Until a runbook is being run; in vain when there is no more to be done."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        if any(run.status == "running" for run in running.list_(desk, limit=100_000)):
            return
        time.sleep(0.2)


def runs_of(desk: Desk) -> list[Run]:
    """All runs; those whose runner is gone are known to be lost afterwards."""
    running.reap(desk)
    return running.list_(desk, limit=100_000)


def is_told(run: Run) -> bool:
    """Whether it ended or waits for a person; lost for good only when workers died of it often."""
    return run.status in ENDS or (run.status == "lost" and run.attempt >= MOST_ATTEMPTS)


def ended_as_it_should(desk: Desk, witness: Path) -> None:
    """Who looks completed, who asks waits; what is done once was done once.

    But for a death between the cell's work and the word of its end in the log: nobody can know
    then, and the log says that the step died.
    """
    runs = runs_of(desk)
    for run in runs:
        if run.status != "lost":
            wanted = "waiting" if run.runbook == "asks" else "completed"
            assert (run.id, run.status) == (run.id, wanted), run.error
    assert any(run.attempt > 1 for run in runs), "no kill hit a run"
    lines = Counter(witness.read_text().splitlines())
    died: Counter[str] = Counter(
        str(entry.data["run"])
        for entry in desk.store.entries()
        if entry.type == "step.finished"
        and entry.data.get("step") == "once"
        and entry.data.get("status") != "completed"
    )
    for run in runs:
        if run.status != "lost":
            assert 1 <= lines[f"once {run.id}"] <= 1 + died[run.id]
