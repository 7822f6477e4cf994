"""Requested runs and their workers: real servers, killed for real, on both databases."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from labs import ROOT, Lab, running_lab
from notebook_files import code, write_notebook
from terminal import imt_process

from imtkit.errors import InputError, NotFoundError, StateError
from imtkit.kit import Desk, gates, incidents, open_desk, requests, resume, running, runs
from imtkit.model.incident import Run
from imtkit.model.opening import Opening
from imtkit.runs import lease as leases
from imtkit.runs.lease import Lease, Process
from imtkit.runs.queue import Queue, Request

LINE = "with open(where, 'a') as file: file.write('{} ' + imt_run + '\\n')"
WHERE = [
    code("values", "where = ''\nflag = ''", "parameters"),
    code("setup", "import os, time\nimt_run = os.environ['IMT_RUN']", "setup"),
]
QUICK = [*WHERE, code("work", LINE.format("work"))]
HELD = [
    *WHERE,
    code("once", LINE.format("once"), "once"),
    code("held", LINE.format("held") + "\nwhile not os.path.exists(flag): time.sleep(0.05)"),
    code("after", LINE.format("after")),
]
ASKS = [
    *WHERE,
    code("join", "import imtkit as imt\ninc = imt.join()", "setup"),
    code("once", LINE.format("once"), "once"),
    code("gate", "inc.gate('Go on?')"),
    code("after", LINE.format("after")),
]
ENDS = ("completed", "failed", "cancelled", "waiting")


def a_workspace(folder: Path, *, at_once: int = 4, over_all: int = 0) -> Path:
    """A workspace with a quick runbook and one that is held up until a file is there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "outputs").mkdir()
    copy(ROOT / "templates" / "imt.toml", folder)
    text = (folder / "imt.toml").read_text()
    text = text.replace("\nruns_at_once = 0", f"\nruns_at_once = {at_once}")
    text = text.replace("queued_at_once = 0", f"queued_at_once = {over_all}")
    assert f"\nruns_at_once = {at_once}\n" in text
    assert f"\nqueued_at_once = {over_all}\n" in text
    (folder / "imt.toml").write_text(text)
    write_notebook(folder / "runbooks" / "quick.ipynb", QUICK)
    write_notebook(folder / "runbooks" / "held.ipynb", HELD)
    write_notebook(folder / "runbooks" / "asks.ipynb", ASKS)
    return folder


class Place:
    """A workspace with one incident, seen by Bo Berg, and its queue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.desk: Desk = open_desk(folder, actor="Bo Berg")
        self.queue: Queue = requests.open_queue(self.desk.settings)
        self.incident = incidents.open_(self.desk, Opening("The shop is slow")).id
        self.lines = folder / "lines.txt"
        self.flag = folder / "flag"

    def ask(
        self, runbook: str = "quick", *, rule: str = "", is_queued: bool = True, priority: int = 1
    ) -> str:
        """Request a run, as a rule does or as a person; its id."""
        run_id = runs.new_run_id(self.desk.clock.now())
        about = {
            "run": run_id,
            "runbook": runbook,
            "title": "Slow",
            "parameters": {"where": str(self.lines), "flag": str(self.flag)},
            "rule": rule,
            "priority": priority,
        }
        asked = self.desk.draft("run.requested", about, key=f"episode/rule/{run_id}")
        self.desk.store.append(self.incident, asked)
        if is_queued:
            assert run_id in requests.enqueue_requested(self.desk, self.queue)
        return run_id

    def run(self, run_id: str) -> Run:
        """What the log says of a run now."""
        return resume.find(self.desk, run_id)

    def ended(self, run_id: str, seconds: float = 60) -> Run:
        """A run, once it has ended or waits."""
        until(lambda: self.run(run_id).status in ENDS, seconds)
        return self.run(run_id)

    def written(self) -> list[str]:
        """What the steps wrote, line by line."""
        return self.lines.read_text().splitlines() if self.lines.exists() else []

    def held_up(self, run_id: str) -> None:
        """Wait until a run is in the midst of its long step."""
        until(lambda: f"held {run_id}" in self.written(), 60)

    def close(self) -> None:
        """Let go of log and queue."""
        self.queue.close()
        self.desk.close()


def until(is_so: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is so."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A workspace of its own for one test."""
    made = Place(a_workspace(tmp_path / "w"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A workspace for the tests that leave its worker alive."""
    made = Place(a_workspace(tmp_path_factory.mktemp("shared") / "w"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def early(shared: Place) -> str:
    """A run that was asked for before there was a worker."""
    return shared.ask(rule="slow-shop")


@pytest.fixture(scope="module")
def worker(shared: Place, early: str) -> Iterator[Lab]:
    """The worker of the shared workspace."""
    assert shared.run(early).status == "queued"
    with running_lab(shared.folder) as lab:
        yield lab


def test_what_was_requested_before_a_worker_came_runs_under_its_id(
    shared: Place, early: str, worker: Lab
) -> None:
    """A run keeps its id, its rule and its parameters from the request to its end."""
    done = shared.ended(early)
    assert done.status == "completed", done.error
    assert (done.actor, done.rule, done.title) == ("automation/slow-shop", "slow-shop", "quick")
    assert done.requested_at is not None
    assert done.requested_at < done.started_at
    started = next(
        entry
        for entry in incidents.get(shared.desk, shared.incident).entries
        if entry.type == "run.started" and entry.data["run"] == early
    )
    assert started.source == "alert"
    assert f"work {early}" in shared.written()


def test_a_queued_run_that_was_cancelled_never_starts(shared: Place, worker: Lab) -> None:
    """The log decides: its turn comes, and nothing runs."""
    run_id = shared.ask(is_queued=False)
    assert running.cancel(shared.desk, run_id).status == "cancelled"
    shared.queue.enqueue({Request(run_id, shared.incident): 1})
    later = shared.ask()
    assert shared.ended(later).status == "completed"
    until(lambda: run_id not in shared.queue.waiting([run_id]))
    assert shared.run(run_id).status == "cancelled"
    assert f"work {run_id}" not in shared.written()


def test_a_request_that_cannot_run_ends_as_failed_and_the_worker_goes_on(
    shared: Place, worker: Lab
) -> None:
    """A runbook that is not there fails the run, with words; the next one runs."""
    bad, good = shared.ask("no-such-runbook"), shared.ask()
    failed = shared.ended(bad)
    assert failed.status == "failed"
    assert "no-such-runbook" in failed.error
    assert shared.ended(good).status == "completed"


def test_a_person_may_ask_for_a_run_too(shared: Place, worker: Lab) -> None:
    """``request`` checks the parameters and queues; the run is the person's."""
    values = {"where": str(shared.lines), "flag": "x"}
    asked = requests.request(shared.desk, shared.incident, "quick", parameters=values)
    assert (asked.status, asked.title) == ("queued", "quick")
    requests.enqueue_requested(shared.desk, shared.queue, incident_ids=[shared.incident])
    done = shared.ended(asked.id)
    assert (done.status, done.actor) == ("completed", "Bo Berg")


def left_behind(labs: ExitStack, place: Place) -> str:
    """A run whose worker was killed in its step, while another is up; its id."""
    first = labs.enter_context(running_lab(place.folder))
    run_id = place.ask("held", rule="slow-shop")
    place.held_up(run_id)
    labs.enter_context(running_lab(place.folder))
    first.process.kill()
    place.flag.touch()
    return run_id


def test_a_killed_workers_run_is_taken_over(place: Place) -> None:
    """After ``kill -9`` in a step another worker resumes; what ran once is not run again."""
    with ExitStack() as labs:
        run_id = left_behind(labs, place)
        began_at = time.monotonic()
        done = place.ended(run_id)
        assert time.monotonic() - began_at < 40
    assert (done.status, done.attempt) == ("completed", 2), done.error
    assert done.actor == "automation/slow-shop"
    assert place.written() == [f"{step} {run_id}" for step in ("once", "held", "held", "after")]


def test_a_run_goes_on_after_its_worker_was_ended_and_started_again(place: Place) -> None:
    """A worker that is told to end hands its requested runs on: the next one finishes them."""
    with running_lab(place.folder):
        run_id = place.ask("held")
        place.held_up(run_id)
    stopped = place.run(run_id)
    assert (stopped.status, stopped.error) == ("cancelled", requests.WORKER_ENDS)
    place.flag.touch()
    waits = place.ask()
    with running_lab(place.folder):
        until(lambda: place.run(run_id).status == "completed", 60)
        assert place.ended(waits).status == "completed"
    assert place.written().count(f"once {run_id}") == 1
    assert f"after {run_id}" in place.written()


def test_two_workers_share_what_waits_and_each_run_runs_once(tmp_path: Path) -> None:
    """Ten runs, two workers on one SQLite file: both work, none of the runs twice."""
    place = Place(a_workspace(tmp_path / "w", at_once=1))
    asked = [place.ask("held") for _ in range(10)]
    with running_lab(place.folder), running_lab(place.folder):
        until(lambda: len(place.written()) >= 4, 60)  # two of them, each at its second line
        place.flag.touch()
        ended = [place.ended(run_id, 120) for run_id in asked]
    place.close()
    assert {run.status for run in ended} == {"completed"}
    assert {run.attempt for run in ended} == {1}
    assert sorted(place.written()) == sorted(
        f"{step} {run_id}" for run_id in asked for step in ("once", "held", "after")
    )
    assert len({run.runner["pid"] for run in ended}) == 2


def test_the_worst_comes_first_and_a_limit_holds_over_all_workers(tmp_path: Path) -> None:
    """With one at a time on all workers together, runs follow each other by priority."""
    place = Place(a_workspace(tmp_path / "w", at_once=2, over_all=1))
    asked = {priority: place.ask(priority=priority) for priority in (3, 1, 4, 2)}
    with running_lab(place.folder), running_lab(place.folder):
        ended = [place.ended(asked[priority], 90) for priority in (1, 2, 3, 4)]
    place.close()
    assert {run.status for run in ended} == {"completed"}
    for earlier, later in pairwise(ended):
        assert earlier.finished_at is not None
        assert earlier.finished_at <= later.started_at


def test_an_answered_run_goes_on_although_its_worker_is_gone(place: Place) -> None:
    """It parked, its worker was killed, the gate was answered: the next worker finishes it."""
    with running_lab(place.folder) as first:
        run_id = place.ask("asks")
        assert place.ended(run_id).status == "waiting"
        until(lambda: run_id not in place.queue.waiting([run_id]))
        first.process.kill()
    [gate] = incidents.get(place.desk, place.incident).waiting_gates
    gates.answer(place.desk, place.incident, gate.id, gate.answers[0])
    with running_lab(place.folder):
        until(lambda: place.run(run_id).status == "completed", 60)
    assert place.written() == [f"once {run_id}", f"after {run_id}"]


@pytest.mark.postgres
def test_on_postgresql_a_killed_workers_run_is_taken_over(
    tmp_path: Path,
    postgres_log: str,
    postgres_run: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same code with another URL: queue, presence and log are all in PostgreSQL.

    The worker that is left goes on serving when PostgreSQL ended every connection.
    """
    monkeypatch.setenv("IMT_STORE_URL", postgres_log)
    place = Place(a_workspace(tmp_path / "w"))
    with ExitStack() as labs:
        run_id = left_behind(labs, place)
        done = place.ended(run_id)
        ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname"
        postgres_run(f"{ends} = '{postgres_log.rpartition('/')[2]}'")
        assert place.ended(place.ask("held")).status == "completed"
    assert (done.status, done.attempt) == ("completed", 2), done.error
    lines = [f"{step} {run_id}" for step in ("once", "held", "held", "after")]
    assert place.written()[:4] == lines
    assert not list((place.folder / "outputs").glob("*.db"))
    place.close()


@pytest.mark.postgres
def test_a_dead_machines_run_is_taken_over_by_another(
    tmp_path: Path, postgres_log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hosts of different names share PostgreSQL and outputs: one dies, the other resumes
    within a minute.
    """
    monkeypatch.setenv("IMT_STORE_URL", postgres_log)
    place = Place(a_workspace(tmp_path / "w"))
    with ExitStack() as labs:
        first = labs.enter_context(running_lab(place.folder, host="host-a"))
        run_id = place.ask("held")
        place.held_up(run_id)
        assert place.run(run_id).runner["host"] == "host-a"
        labs.enter_context(running_lab(place.folder, host="host-b"))
        first.process.kill()
        place.flag.touch()
        done = place.ended(run_id, 60)
    place.close()
    assert (done.status, done.attempt) == ("completed", 2), done.error
    assert done.runner["host"] == "host-b"
    assert place.written() == [f"{step} {run_id}" for step in ("once", "held", "held", "after")]


ALONE = """
import sys
from pathlib import Path
from imtkit.kit import open_desk, requests
from imtkit.runs.queue import Request
desk = open_desk(Path(sys.argv[1]), actor="automation/shop")
requests.carry_out(desk, Request(sys.argv[2], sys.argv[3]), is_gone=lambda one: one.is_gone)
"""


def test_a_run_whose_worker_was_on_another_machine_is_taken_over(place: Place) -> None:
    """The lease it left in shared outputs holds nobody up once its worker is known to be gone."""
    run_id = place.ask("held", is_queued=False)
    alone = (sys.executable, "-c", ALONE, str(place.folder), run_id, place.incident)
    worker = subprocess.Popen(alone)
    place.held_up(run_id)
    worker.kill()
    worker.wait()
    running.reap(place.desk)
    assert place.run(run_id).status == "lost"
    elsewhere = Process("another-machine", 1, "then")
    leases.keep(place.desk.settings.leases, Lease(run_id, place.incident, elsewhere))
    place.flag.touch()
    asked = Request(run_id, place.incident)
    held = requests.carry_out(place.desk, asked, is_gone=lambda _: False)
    assert held.status == "lost", "that machine may still be at it"
    done = requests.carry_out(place.desk, asked, is_gone=elsewhere.__eq__)
    assert done.status == "completed"
    assert place.written().count(f"once {run_id}") == 1


def test_a_run_that_cannot_go_on_says_so_in_its_incident(place: Place) -> None:
    """Its notebook is gone and its runbook is another now: it ends as failed, with the reason, and
    is not tried for ever.
    """
    run_id = place.ask("held", is_queued=False)
    alone = (sys.executable, "-c", ALONE, str(place.folder), run_id, place.incident)
    worker = subprocess.Popen(alone)
    place.held_up(run_id)
    worker.kill()
    worker.wait()
    running.reap(place.desk)
    (place.folder / place.run(run_id).output_path).unlink()
    write_notebook(place.folder / "runbooks" / "held.ipynb", QUICK)
    place.flag.touch()
    assert place.run(run_id).status == "lost"
    with pytest.raises(NotFoundError, match="no notebook"):
        requests.carry_out(
            place.desk, Request(run_id, place.incident), is_gone=lambda one: one.is_gone
        )
    ended = place.run(run_id)
    assert ended.status == "failed"
    assert "cannot go on" in ended.error
    assert "no notebook" in ended.error
    assert requests.enqueue_requested(place.desk, place.queue) == []
    assert "failed" in imt_process("runs", "list", cwd=place.folder).out


def test_a_run_is_left_to_a_worker_from_the_terminal(shared: Place, worker: Lab) -> None:
    """``imt run --queue`` tells the run's id at once; a worker carries it out."""
    given = ("-p", f"where={shared.lines}", "--incident", shared.incident)
    environment = {"IMT_USER": "Bo Berg"}
    until(lambda: shared.queue.is_served)  # its server answers a little before that
    asked = imt_process(
        "run", "quick", *given, "--queue", "--json", cwd=shared.folder, environment=environment
    )
    assert asked.code == 0, asked.err
    assert "No worker" not in asked.err
    done = shared.ended(asked.json["id"])
    assert (done.status, done.incident, done.actor) == ("completed", shared.incident, "Bo Berg")


def test_who_asks_without_a_worker_is_told(place: Place) -> None:
    """The run waits, in an incident of its own; what no worker would find is refused."""
    environment = {"IMT_USER": "Bo Berg"}
    asked = imt_process("run", "quick", "--queue", cwd=place.folder, environment=environment)
    assert asked.code == 0, asked.err
    assert "No worker is up" in asked.err
    [run] = [one for one in running.list_(place.desk) if one.runbook == "quick"]
    assert (run.status, run.id in asked.out) == ("queued", True)
    assert run.incident != place.incident
    assert place.queue.waiting([run.id]) == {run.id}
    elsewhere = copy(place.folder / "runbooks" / "quick.ipynb", place.folder / "mine.ipynb")
    with pytest.raises(InputError, match="would not find it"):
        requests.request(place.desk, place.incident, str(elsewhere))


def test_a_log_in_memory_has_no_queue(place: Place) -> None:
    """``imt run --queue`` says so, and stores nothing."""
    environment = {"IMT_USER": "Bo Berg", "IMT_STORE_URL": "sqlite://"}
    refused = imt_process("run", "quick", "--queue", cwd=place.folder, environment=environment)
    assert refused.code != 0
    assert "in memory has no queue" in refused.err


def test_the_queue_is_filled_from_the_log(place: Place) -> None:
    """What was requested and is not in the queue comes there, once; what is over does not."""
    asked = [place.ask(is_queued=False) for _ in range(3)]
    running.cancel(place.desk, asked[0])
    assert requests.enqueue_requested(place.desk, place.queue) == sorted(asked[1:])
    assert requests.enqueue_requested(place.desk, place.queue) == []
    assert place.queue.waiting(asked) == set(asked[1:])
    with pytest.raises(StateError, match="queued"):
        resume.resume(place.desk, asked[1])


def test_a_requested_run_is_started_once(place: Place) -> None:
    """Whoever comes second is told that the run has begun."""
    run_id = place.ask(is_queued=False)
    given: dict[str, Any] = {
        "incident_id": place.incident,
        "run_id": run_id,
        "parameters": {"where": str(place.lines)},
    }
    done = runs.start(place.desk, "quick", **given)
    assert (done.id, done.status) == (run_id, "completed")
    with pytest.raises(StateError, match="completed"):
        runs.start(place.desk, "quick", **given)
    assert place.written() == [f"work {run_id}"]


def test_queued_runs_are_listed(place: Place) -> None:
    """``imt runs list`` shows what waits, and ``imt runs cancel`` ends it."""
    run_id = place.ask(is_queued=False)
    listed = imt_process("runs", "list", cwd=place.folder)
    assert "queued" in listed.out
    cancelled = imt_process(
        "runs", "cancel", run_id, cwd=place.folder, environment={"IMT_USER": "Bo Berg"}
    )
    assert cancelled.code == 0, cancelled.err
    assert place.run(run_id).status == "cancelled"
