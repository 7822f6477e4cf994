"""How workers know of each other, on both databases: what ends is gone, what lives is not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from servers import start_postgres, until

from imtkit.errors import StoreError
from imtkit.store.presence import FilePresence, Presence, open_presence

HOLDS = """
import sys
from pathlib import Path
from imtkit.store.presence import open_presence
open_presence(sys.argv[1], Path(sys.argv[2]), sys.argv[3]).hold()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a log."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_database"))
    return f"sqlite:///{tmp_path}/imt.db"


@pytest.fixture
def open_one(url: str, tmp_path: Path) -> Iterator[Callable[[str], Presence]]:
    """Opens the presence of a worker of this process."""
    with ExitStack() as stack:

        def opened(name: str) -> Presence:
            made = open_presence(url, tmp_path / "running", name, gone_seconds=0)
            stack.callback(made.let_go)
            return made

        yield opened


@contextmanager
def another(url: str, folder: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """A worker in a process of its own, once it is there."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, url, str(folder), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_worker_is_gone_once_it_was_killed(
    url: str, tmp_path: Path, open_one: Callable[[str], Presence]
) -> None:
    """While it lives it is there; killed, it is gone, as is one that never was."""
    here = open_one("here")
    here.hold()
    with another(url, tmp_path / "running", "there") as process:
        assert here.gone(["here", "there", "nobody"]) == {"nobody"}
        process.kill()
        process.wait()
        for _ in range(100):  # PostgreSQL hears of it a moment later
            if "there" in here.gone(["there"]):
                break
        assert here.gone(["here", "there"]) == {"there"}


def test_who_lets_go_is_gone(open_one: Callable[[str], Presence]) -> None:
    """A worker that ends in order says so; holding twice is once."""
    one, two = open_one("one"), open_one("two")
    for _ in range(2):
        one.hold()
        two.hold()
    assert one.gone(["one", "two"]) == set()
    two.let_go()
    assert one.gone(["one", "two"]) == {"two"}


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"


@pytest.mark.postgres
def test_who_was_cut_off_comes_back_by_itself(
    postgres_database: str, tmp_path: Path, postgres_run: Callable[[str], None]
) -> None:
    """PostgreSQL ended every connection: workers hold their locks again, nobody takes over."""
    with ExitStack() as stack:
        one = open_presence(postgres_database, tmp_path / "one", "one")
        hasty = open_presence(postgres_database, tmp_path / "two", "hasty", gone_seconds=0)
        calm = open_presence(postgres_database, tmp_path / "two", "calm", gone_seconds=60)
        for each in (one, hasty, calm):
            stack.callback(each.let_go)
        one.hold()
        postgres_run(CUT.format(postgres_database.rpartition("/")[2]))
        until(lambda: hasty.gone(["one"]) == {"one"})
        assert calm.gone(["one"]) == set()
        until(lambda: hasty.gone(["one"]) == set())
        assert not calm.has_left("one")


@pytest.mark.postgres
def test_a_worker_of_another_machine_is_gone_once_it_was_missing_for_long(
    postgres_database: str, tmp_path: Path
) -> None:
    """Nothing but its connection tells of it: it has time to come back."""
    here = open_presence(postgres_database, tmp_path / "here", "here", gone_seconds=1)
    with another(postgres_database, tmp_path / "there", "there") as process:
        assert not here.has_left("there")
        process.kill()
        process.wait()
        assert here.has_left("there")
    here.let_go()


@pytest.mark.postgres
def test_who_cannot_say_that_it_lives_knows_it(tmp_path: Path) -> None:
    """A worker whose database is away is cut off; it is not once the database is there again."""
    with start_postgres() as server:
        one = open_presence(server.dsn, tmp_path / "one", "one", gone_seconds=4)
        two = open_presence(server.dsn, tmp_path / "two", "two", gone_seconds=60)
        one.hold()
        assert not one.is_cut_off
        server.kill()
        with pytest.raises(StoreError):
            two.gone(["one"])
        until(lambda: one.is_cut_off)
        server.start()
        until(lambda: not one.is_cut_off)
        assert two.gone(["one"]) == set()
        one.let_go()
        two.let_go()


@pytest.mark.postgres
def test_a_lock_of_another_machine_is_not_believed(postgres_database: str, tmp_path: Path) -> None:
    """A folder that machines share shows their locks free: their connection tells, and time."""
    (tmp_path / "worker-there.lock").write_bytes(b"another system")
    here = open_presence(postgres_database, tmp_path, "here", gone_seconds=60)
    assert here.missing(["there"]) == {"there"}
    assert here.gone(["there"]) == set()
    here.let_go()


def test_a_lock_tells_of_the_workers_of_this_machine(tmp_path: Path) -> None:
    """Held, it lives; traced, it has ended; where nothing tells, nobody knows."""
    one, two = FilePresence(tmp_path, "one"), FilePresence(tmp_path, "two")
    assert two.has_ended("one") is None
    one.hold()
    assert two.has_ended("one") is False
    one.let_go(is_traced=True)
    assert two.has_ended("one") is True


def test_what_workers_left_long_ago_is_removed(tmp_path: Path) -> None:
    """The next worker removes it, a week later, and never the lock of one that lives."""
    ended, lives, late = (FilePresence(tmp_path, name) for name in ("ended", "lives", "late"))
    for one in (ended, lives, late):
        one.hold()
    for one in (ended, late):
        one.let_go(is_traced=True)
    for name in ("ended", "lives"):
        os.utime(tmp_path / f"worker-{name}.lock", (0, 0))
    nearest = FilePresence(tmp_path, "next")
    nearest.hold()
    assert {path.name for path in tmp_path.iterdir()} == {
        f"worker-{name}.lock" for name in ("late", "lives", "next")
    }
    nearest.let_go()
    lives.let_go()


def test_a_lock_that_cannot_be_looked_at_is_told(tmp_path: Path) -> None:
    """A fault of the disk is no sign of life or death: it is an error of the log's, with words."""
    (tmp_path / "worker-odd.lock").symlink_to("worker-odd.lock")
    here = FilePresence(tmp_path, "here")
    assert here.has_ended("odd") is None
    with pytest.raises(StoreError, match="worker-odd"):
        here.gone(["odd"])
