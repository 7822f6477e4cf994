"""How workers hear at once that there is work, on both databases."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from imtkit.errors import StoreError
from imtkit.store.bell import Bell, open_bell

Hang = Callable[[str], Bell]
HEARD_WITHIN = 30.0
AT_ONCE = 0.0


@pytest.fixture(params=["files", pytest.param("postgresql", marks=pytest.mark.postgres)])
def hang(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hang]:
    """Gives each party a bell of the same log, by its name."""
    hung: list[Bell] = []
    url = "sqlite:///x.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_database")

    def make(name: str) -> Bell:
        hung.append(open_bell(url, tmp_path / ".running", name))
        return hung[-1]

    yield make
    for one in hung:
        one.close()


def test_a_ring_wakes_all_who_listen(hang: Hang) -> None:
    """Each of them hears it once, however long it would have waited."""
    workers, sender = [hang("one"), hang("two")], hang("")
    assert not any(worker.wait(AT_ONCE) for worker in workers)
    heard: list[bool] = []

    def listen(worker: Bell) -> None:
        heard.append(worker.wait(HEARD_WITHIN))

    waiting = [Thread(target=listen, args=(worker,)) for worker in workers]
    for one in waiting:
        one.start()
    sender.ring()
    for one in waiting:
        one.join()
    assert heard == [True, True]
    assert not any(worker.wait(AT_ONCE) for worker in workers)


def test_rings_that_nobody_waits_for_are_one(hang: Hang) -> None:
    """What was rung while the worker was busy is heard when it listens again, in a few turns."""
    worker, sender = hang("one"), hang("")
    worker.wait(AT_ONCE)
    for _ in range(50):
        sender.ring()
    assert worker.wait(HEARD_WITHIN)
    turns = sum(worker.wait(AT_ONCE) for _ in range(50))
    assert turns < 50


def test_it_is_known_whether_anybody_listens(hang: Hang) -> None:
    """Nobody does before the first, nor after the last has closed; to ring is no error then."""
    worker, sender = hang("one"), hang("")
    sender.ring()
    assert not sender.is_heard
    worker.wait(AT_ONCE)
    assert sender.is_heard
    worker.close()
    ends_at = time.monotonic() + HEARD_WITHIN
    while sender.is_heard:  # the server notices in a moment
        assert time.monotonic() < ends_at
    sender.ring()


def test_a_worker_hears_again_after_its_connection_was_ended(
    hang: Hang, request: pytest.FixtureRequest
) -> None:
    """Who cannot hear is told so, once; the next time it listens anew."""
    worker, sender = hang("one"), hang("")
    worker.wait(AT_ONCE)
    sender.ring()
    if "postgresql" in request.node.name:
        theirs = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query"
        request.getfixturevalue("postgres_run")(f"{theirs} LIKE '%imtkit_queue'")

    def is_heard() -> bool:
        sender.ring()
        with suppress(StoreError):
            return worker.wait(1)
        return False

    assert any(is_heard() for _ in range(30))


def test_only_pipes_are_written_to(tmp_path: Path) -> None:
    """A file of a bell's name stays as it is, and so does one that a link of that name leads to."""
    folder = tmp_path / ".running"
    folder.mkdir()
    (folder / "worker-file.bell").write_text("kept")
    (tmp_path / "other").write_text("kept")
    (folder / "worker-link.bell").symlink_to(tmp_path / "other")
    sender = open_bell("sqlite:///x.db", folder)
    sender.ring()
    assert not sender.is_heard
    assert (folder / "worker-file.bell").read_text() == (tmp_path / "other").read_text() == "kept"


def test_the_bell_of_a_killed_worker_is_taken_away(tmp_path: Path) -> None:
    """The next worker removes what nobody listens at, unless somebody may be about to."""
    folder = tmp_path / ".running"
    folder.mkdir()
    for name in ("old", "new"):
        os.mkfifo(folder / f"worker-{name}.bell")
    os.utime(folder / "worker-old.bell", (1, 1))
    worker = open_bell("sqlite:///x.db", folder, "mine")
    worker.wait(AT_ONCE)
    assert sorted(path.name for path in folder.iterdir()) == ["worker-mine.bell", "worker-new.bell"]
    worker.close()
    assert [path.name for path in folder.iterdir()] == ["worker-new.bell"]
