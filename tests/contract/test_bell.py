"""How workers hear at once that there is work, on both databases."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from imtkit.config import load_settings
from imtkit.errors import StoreError
from imtkit.runs.queue import open_queue
from imtkit.store.bell import Bell, PostgresBell, open_bell
from imtkit.store.engine import PostgresEngine

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


@contextmanager
def torn_at(url: str, word: bytes) -> Iterator[tuple[str, Event]]:
    """An address that leads to a database, and an event: set, what is said next with this word
    breaks its connection, once.
    """
    behind = urlsplit(url)
    is_due = Event()

    class Relay(BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((behind.hostname, behind.port)) as database:
                ends = {self.request: database, database: self.request}
                while True:
                    for one in select.select(list(ends), [], [])[0]:
                        said = one.recv(65536)
                        is_torn = is_due.is_set() and one is self.request and word in said
                        if not said or is_torn:
                            if is_torn:
                                is_due.clear()
                            return
                        ends[one].sendall(said)

    server = ThreadingTCPServer(("127.0.0.1", 0), Relay)
    server.daemon_threads = True
    with server:
        Thread(target=server.serve_forever, daemon=True).start()
        netloc = f"{behind.username}@127.0.0.1:{server.server_address[1]}"
        yield behind._replace(netloc=netloc).geturl(), is_due
        server.shutdown()


@pytest.mark.postgres
def test_a_worker_hears_though_its_connection_broke_as_it_began_to_listen(
    postgres_database: str, tmp_path: Path
) -> None:
    """It is told that it cannot hear, and the next time it listens."""
    with torn_at(postgres_database, b"LISTEN") as (url, is_due):
        worker, sender = (open_bell(one, tmp_path) for one in (url, postgres_database))
        is_due.set()
        with pytest.raises(StoreError):
            worker.wait(AT_ONCE)
        assert not worker.wait(AT_ONCE)
        sender.ring()
        assert worker.wait(HEARD_WITHIN)
        worker.close()
        sender.close()


def test_many_ring_one_bell_at_once(hang: Hang) -> None:
    """Runs that end in threads of one worker ring on one connection, one after another."""
    worker, sender = hang("one"), hang("")
    worker.wait(AT_ONCE)
    faults: list[BaseException] = []

    def ring() -> None:
        try:
            for _ in range(20):
                sender.ring()
        except Exception as error:  # noqa: BLE001 # told to the test
            faults.append(error)

    ringing = [Thread(target=ring) for _ in range(8)]
    for one in ringing:
        one.start()
    for one in ringing:
        one.join()
    assert faults == []
    assert worker.wait(HEARD_WITHIN)


@pytest.mark.postgres
@pytest.mark.parametrize("told", ["", "?keepalives_idle=77&tcp_user_timeout=0"])
def test_a_database_that_falls_silent_is_missed_within_seconds(
    postgres_log: str, tmp_path: Path, told: str
) -> None:
    """The log, its bell and its queue do not wait for TCP, unless their address says so."""
    (tmp_path / "imt.toml").write_text(f'[store]\nurl = "{postgres_log}{told}"\n')
    queue = open_queue(load_settings(tmp_path))
    bell = PostgresBell(postgres_log + told)
    bell.ring()
    engine = PostgresEngine(postgres_log + told)
    queued = sa.create_engine(queue._url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.reading() as reading, queued.connect() as of_queue:
        for one in (reading, bell._speaks, of_queue):
            assert one is not None
            raw: Any = one.connection.driver_connection
            options = raw.info.get_parameters()
            silent = options["keepalives_idle"], options["tcp_user_timeout"]
            assert silent == (("77", "0") if told else ("5", "10000"))
    bell.close()
    engine.close()
    queued.dispose()
    queue.close()


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
