"""The queue without runs: who is given what, how soon, and what DBOS must keep to."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from shutil import copy

import pytest
from labs import ROOT
from waiting import until

from imtkit.config import Settings, load_settings
from imtkit.kit import requests
from imtkit.runs.queue import Queue, Request

SERVES = """
import sys, time
from pathlib import Path
from imtkit.config import load_settings
from imtkit.kit import requests
from imtkit.runs.lease import this_process
from imtkit.store.presence import open_presence

name, at_once, over_all = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
settings = load_settings(Path.cwd())
queue = requests.open_queue(settings)

def carry_out(request):
    with open("lines.txt", "a") as file:
        file.write(f"{name} {request.run}\\n")
    while not Path("flag").exists():
        time.sleep(0.02)

presence = open_presence(settings.store_url, settings.leases, this_process().name)
queue.serve(carry_out, presence=presence, at_once=at_once, over_all=over_all)
print("serves", flush=True)
sys.stdin.readline()
queue.close()
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A workspace of its own, on SQLite."""
    copy(ROOT / "templates" / "imt.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return load_settings(tmp_path)


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    """Its queue, as who asks for runs sees it."""
    opened = requests.open_queue(settings)
    yield opened
    opened.close()


@contextmanager
def serving(name: str, *, at_once: int, over_all: int = 0) -> Iterator[None]:
    """A worker that is given runs, and does nothing but write down which."""
    command = [sys.executable, "-c", SERVES, name, str(at_once), str(over_all)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "serves\n"
            yield
            process.communicate("\n", timeout=30)
            assert process.returncode == 0
        finally:
            process.kill()


def lines() -> list[str]:
    """Who has been given which run, line by line."""
    path = Path("lines.txt")
    return path.read_text().splitlines() if path.exists() else []


def asked(*names: str) -> dict[Request, int]:
    """Runs of these names to be enqueued, all of one priority."""
    return {Request(name, "INC-2026-0001"): 1 for name in names}


def test_each_worker_keeps_to_its_own_number(queue: Queue) -> None:
    """Of two workers of different sizes each is given as many at once as it said itself."""
    runs = [f"run-{number}" for number in range(8)]
    with serving("large", at_once=3), serving("small", at_once=1):
        assert queue.enqueue(asked(*runs)) == runs
        until(lambda: len(lines()) >= 4)
        assert Counter(line.split()[0] for line in lines()) == {"large": 3, "small": 1}, lines()
        Path("flag").touch()
        until(lambda: not queue.waiting(runs))
    assert sorted(line.split()[1] for line in lines()) == runs


def test_a_worker_that_has_room_again_takes_the_next_at_once(queue: Queue) -> None:
    """With one at a time on all workers, each is begun as soon as the one before has ended."""
    Path("flag").touch()
    runs = [f"run-{number}" for number in range(6)]
    with serving("one", at_once=1, over_all=1), serving("two", at_once=1, over_all=1):
        queue.enqueue(asked(*runs))
        until(lambda: not queue.waiting(runs))
    assert [line.split()[1] for line in lines()] == runs


def test_the_worst_is_queued_first_and_nothing_twice(queue: Queue) -> None:
    """A run that waits is left as it is; one that ended here once waits again."""
    Path("flag").touch()
    wanted = {Request("slight", "INC-2026-0001"): 3, Request("worst", "INC-2026-0001"): 1}
    assert queue.enqueue(wanted) == ["slight", "worst"]
    assert queue.enqueue(wanted) == []
    with serving("one", at_once=1):
        until(lambda: not queue.waiting(["slight", "worst"]))
        assert lines() == ["one worst", "one slight"]
        assert queue.enqueue(asked("worst")) == ["worst"]
        until(lambda: len(lines()) == 3)
    assert queue.enqueue({}) == []


def test_what_is_long_over_is_forgotten(queue: Queue) -> None:
    """What ended a while ago is cleared from the tables; what waits, or ended just now, is not."""
    Path("flag").touch()
    with serving("one", at_once=1):
        queue.enqueue(asked("over"))
        until(lambda: not queue.waiting(["over"]))
    queue.enqueue(asked("waits"))
    assert queue.clear(timedelta(days=1)) == 0
    assert queue.clear(timedelta(seconds=-2)) == 1
    assert queue.clear(timedelta(seconds=-2)) == 0
    assert queue.waiting(["over", "waits"]) == {"waits"}


def test_it_is_known_whether_a_worker_is_up(queue: Queue) -> None:
    """Whoever asks for a run can be told that nobody is there to begin it."""
    assert not queue.is_served
    with serving("one", at_once=1):
        until(lambda: queue.is_served)
    assert not queue.is_served


def parameters_of(function: Callable[..., object]) -> list[str]:
    """The names of what a function takes."""
    return list(inspect.signature(function).parameters)


def test_dbos_has_what_the_queue_takes_from_its_inside() -> None:
    """Three things that it does not promise: without them workers neither look nor take over."""
    from dbos import DBOS
    from dbos._queue import Queue as TheirQueue
    from dbos._queue import queue_worker_thread

    looks = "DBOS looks for work in another way now: see _Looks in imtkit/runs/queue.py."
    assert parameters_of(queue_worker_thread) == ["stop_event", "dbos", "queue"], looks
    source = inspect.getsource(queue_worker_thread)
    assert "stop_event.wait(timeout=" in source, looks
    limits = "DBOS keeps a queue's limits in another place now: see Queue.serve."
    for name in ("_worker_concurrency", "_concurrency", "database_backed_queue"):
        assert f"self.{name} = " in inspect.getsource(TheirQueue.__init__), limits
        assert name in source + inspect.getsource(TheirQueue), limits
    gone = "DBOS recovers the workflows of lost executors in another way now: see Queue.take_over."
    assert parameters_of(DBOS._recover_pending_workflows) == ["executor_ids"], gone
