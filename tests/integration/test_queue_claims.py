"""Runs that the queue gave to a worker which never heard of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest
from servers import until

from imtkit.runs.lease import this_process
from imtkit.runs.queue import Queue, Request
from imtkit.store.presence import open_presence

CLAIM = "UPDATE workflow_status SET status = 'PENDING', executor_id = ? WHERE workflow_uuid = ?"


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """A queue in a file."""
    one = Queue(f"sqlite:///{tmp_path}/queue.db")
    yield one
    one.close()


def test_a_claim_that_its_worker_does_not_know_is_let_go(queue: Queue, tmp_path: Path) -> None:
    """The database went away after it stored the claim, before it said so: the run is asked for
    anew, and the one that goes on is left alone.
    """
    begun: list[str] = []
    may_end = Event()

    def carry_out(request: Request) -> None:
        begun.append(request.run)
        may_end.wait(20)

    name = this_process().name
    presence = open_presence(f"sqlite:///{tmp_path}/imt.db", tmp_path, name)
    queue.serve(carry_out, presence=presence, at_once=1)
    queue.enqueue({Request("one", "INC-2026-0001"): 1})
    until(lambda: begun == ["one"])
    queue.enqueue({Request("two", "INC-2026-0001"): 1})
    with closing(sqlite3.connect(tmp_path / "queue.db", timeout=20)) as raw:
        raw.execute(CLAIM, (name, "two"))
        raw.commit()
    for _ in range(3):
        queue.take_over()
    assert queue.waiting(["one", "two"]) == {"one", "two"}
    queue.take_over()
    assert queue.waiting(["one", "two"]) == {"one"}
    queue.enqueue({Request("two", "INC-2026-0001"): 1})
    may_end.set()
    until(lambda: begun == ["one", "two"])
