"""Receiver, workers and PostgreSQL killed under load, and what must be so afterwards."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

from notebook_files import Cell, code, write_notebook
from servers import Postgres, until
from storms import (
    SOURCE,
    Found,
    Receiver,
    Senders,
    Told,
    Worker,
    assert_nothing_lost,
    deliveries,
    is_handled,
)

from imtkit.kit import Desk, open_desk, running
from imtkit.kit.requests import MOST_ATTEMPTS
from imtkit.model.incident import Run

OUTAGE = 35.0
"""Seconds: longer than a worker waits before it ends its runs, for others may begin them."""
ENDS = ("completed", "failed", "waiting")

LINE = "with open(witness, 'a') as file: file.write(f'{} {{run}} {{os.getpid()}}\\n')"
LOOKS: list[Cell] = [
    code("values", "witness = ''", "parameters"),
    code("setup", "import os, time\nrun = os.environ['IMT_RUN']", "setup"),
    code("once", LINE.format("once"), "once"),
    code("look", f"for _ in range(5):\n    time.sleep(0.2)\n    {LINE.format('look')}"),
    code("after", LINE.format("after")),
]
ASKS: list[Cell] = [
    *LOOKS[:2],
    code("join", "import imtkit as imt\ninc = imt.join()", "setup"),
    *LOOKS[2:4],
    code("note", "inc.note(f'Looked in {run}.')", "once"),
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


@dataclass(frozen=True, slots=True)
class Plan:
    """What is killed, one after the other ('receiver', 'worker', 'postgres', 'restart', 'outage' or
    two of them at once as 'worker+postgres'), with pauses of up to so many seconds, by this seed's
    dice; and how many groups of ten alerts come in meanwhile.
    """

    kills: Sequence[str]
    groups: int
    pause: float = 2.0
    seed: int = 1
    workers: int = 1

    @property
    def alerts(self) -> int:
        """How many come in."""
        return 10 * self.groups

    @property
    def seconds(self) -> float:
        """In how long they come in: about as long as the kills take."""
        return 4 + 4 * self.pause * len(self.kills)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was killed, what senders were told, and what the log has afterwards.

    ``once_died`` counts cells done once whose worker died between their work and its entry.
    """

    killed: Counter[str]
    told: Told
    found: Found
    runs: list[Run]
    once_died: int
    seconds: float


def prepare(workspace: Path) -> None:
    """Give a workspace the runbooks, the sender and the rules."""
    write_notebook(workspace / "runbooks" / "looks.ipynb", LOOKS)
    write_notebook(workspace / "runbooks" / "asks.ipynb", ASKS)
    with (workspace / "imt.toml").open("a") as settings:
        settings.write(SOURCE + RULES.format(witness=workspace / "witness"))


def random_kills(number: int, kinds: Sequence[str], *, seed: int) -> list[str]:
    """So many kills, of all kinds in turn, shuffled; now and then two things at once."""
    dice = random.Random(seed)
    chosen = [kinds[at % len(kinds)] for at in range(number)]
    dice.shuffle(chosen)
    found: list[str] = []
    for one in chosen:
        if found and _can_join(found[-1], one) and dice.random() < 0.2:
            found[-1] += f"+{one}"
        else:
            found.append(one)
    return found


def _can_join(kill: str, other: str) -> bool:
    """Whether both can be killed at once: not one thing twice, nor PostgreSQL in two ways."""
    is_database = {kill, other} <= {"postgres", "restart", "outage"}
    return "+" not in kill and kill != other and not is_database


class Scene:
    """A receiver and workers at a workspace, and the PostgreSQL that holds their log, if any."""

    def __init__(self, place: Path, plan: Plan, server: Postgres | None) -> None:
        self._plan, self._server = plan, server
        self._dice = random.Random(plan.seed)
        self.killed: Counter[str] = Counter()
        self.receiver = Receiver(place)
        self.workers = [Worker(place) for _ in range(plan.workers)]

    def end(self) -> None:
        """End what lives."""
        self.receiver.end()
        for worker in self.workers:
            worker.end()

    def strike(self, desk: Desk) -> None:
        """Kill what the plan says, each at a moment of the dice, and start it again."""
        for kill in self._plan.kills:
            kinds = kill.split("+")
            if kinds != ["receiver"]:
                wait_for_a_run(desk)
            time.sleep(self._dice.uniform(0.1, self._plan.pause))
            worker = self._dice.choice(self.workers)
            for kind in kinds:
                self._kill(kind, worker)
            if "postgres" in kinds:
                time.sleep(self._dice.uniform(0.1, 2 * self._plan.pause))
            if "outage" in kinds:
                time.sleep(OUTAGE)
            # A worker may come before its database is there; so may a receiver.
            for kind in self._dice.sample(kinds, len(kinds)):
                self._start(kind, worker)
            self.killed.update(kinds)

    def _kill(self, kind: str, worker: Worker) -> None:
        if kind == "receiver":
            self.receiver.kill()
        elif kind == "worker":
            worker.kill()
        elif kind == "restart" and self._server is not None:
            self._server.restart()
        elif self._server is not None:
            self._server.kill()

    def _start(self, kind: str, worker: Worker) -> None:
        if kind == "receiver":
            self.receiver.start()
        elif kind == "worker":
            worker.start()
        elif kind in ("postgres", "outage") and self._server is not None:
            self._server.start()


def carry_through(place: Path, plan: Plan, server: Postgres | None = None) -> Outcome:
    """Kill and start again under load, wait until all is told, and see that all is true.

    AssertionError for whatever was lost, done twice or left untold.
    """
    storm = sorted(deliveries(plan.alerts, plan.groups, new=2), key=lambda one: int(one.group[2:]))
    began_at = time.monotonic()
    with ExitStack() as ends:
        ends.enter_context(_telling(place / "worker.log"))
        scene = Scene(place, plan, server)
        ends.callback(scene.end)
        until(lambda: scene.workers[0].is_up, 60)
        desk = ends.enter_context(open_desk(place, actor="Bo Berg"))
        senders = Senders(scene.receiver.port, storm, lines=4, seconds=plan.seconds)
        scene.strike(desk)
        told = senders.told(120)
        until(lambda: is_handled(desk, told), 60)
        found = assert_nothing_lost(desk, told, plan.alerts, plan.groups)
        until_all_is_told(desk, 120)
        runs, died = runs_of(desk), died_at_once(desk)
        assert_true(runs, found, died, place / "witness")
        took = time.monotonic() - began_at
        return Outcome(scene.killed, told, found, runs, died.total(), took)


@contextmanager
def crashing_now_and_then(server: Postgres, *, seconds: float) -> Iterator[Counter[str]]:
    """PostgreSQL is killed, or restarted as by a crash, in turn; each after so many seconds. What
    comes is how often so far.
    """
    over, done = Event(), Counter[str]()

    def crash() -> None:
        while not over.wait(seconds):
            if done["postgres"] > done["restart"]:
                server.restart()
                done["restart"] += 1
            else:
                server.kill()
                over.wait(seconds / 4)
                server.start()
                done["postgres"] += 1

    thread = Thread(target=crash)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


@contextmanager
def _telling(log: Path) -> Iterator[None]:
    """Whatever fails comes with the end of the workers' log."""
    try:
        yield
    except BaseException as exc:
        exc.add_note("The workers' log ended with:\n" + log.read_text(errors="replace")[-4000:])
        raise


def wait_for_a_run(desk: Desk, seconds: float = 8) -> None:
    """Until a runbook is being run; in vain when there is no more to be done."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        if any(run.status == "running" for run in runs_of(desk)):
            return
        time.sleep(0.2)


def runs_of(desk: Desk) -> list[Run]:
    """All runs, as the log has them: nobody but the workers looks after them."""
    return running.list_(desk, limit=100_000)


def until_all_is_told(desk: Desk, seconds: float) -> None:
    """Wait for the end of every run; AssertionError names those that have none."""
    ends_at = time.monotonic() + seconds
    while left := [run for run in runs_of(desk) if not is_told(run)]:
        assert time.monotonic() < ends_at, [(run.id, run.status, run.attempt) for run in left]
        time.sleep(0.3)


def is_told(run: Run) -> bool:
    """Whether it ended or waits for a person; lost for good only when workers died of it often."""
    return run.status in ENDS or (run.status == "lost" and run.attempt >= MOST_ATTEMPTS)


def assert_true(runs: Sequence[Run], found: Found, died: Counter[str], witness: Path) -> None:
    """Who looks completed, who asks waits; nothing that is done once was done twice, and no two
    kernels were at one run at the same time.
    """
    assert len(found.requested) == len(found.incidents)
    assert {str(one.data["run"]) for one in found.requested} == {run.id for run in runs}
    for run in runs:
        if run.status != "lost":
            wanted = "waiting" if run.runbook == "asks" else "completed"
            assert (run.id, run.status) == (run.id, wanted), run.error
    lines = [line.split() for line in witness.read_text().splitlines()]
    once = Counter(run for what, run, _ in lines if what == "once")
    kernels: dict[str, list[str]] = defaultdict(list)
    for _, run, kernel in lines:
        kernels[run].append(kernel)
    for run in runs:
        changes = sum(before != after for before, after in pairwise(kernels[run.id]))
        assert changes == max(0, len(set(kernels[run.id])) - 1), f"two kernels at once ran {run.id}"
        if run.status != "lost":
            # Between the cell's work and the word of its end, nobody can know: it died.
            assert 1 <= once[run.id] <= 1 + died[run.id], run.id


def died_at_once(desk: Desk) -> Counter[str]:
    """How often a step that is done once died with its worker, by run."""
    return Counter(
        str(entry.data["run"])
        for entry in desk.store.entries()
        if entry.type == "step.finished"
        and entry.data.get("step") == "once"
        and entry.data.get("status") != "completed"
    )
