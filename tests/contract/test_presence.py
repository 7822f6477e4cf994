"""How workers know of each other, on both databases: what ends is gone, what lives is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from imtkit.store.presence import Presence, open_presence

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
            made = open_presence(url, tmp_path / "running", name)
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


@pytest.mark.postgres
def test_who_was_cut_off_is_there_again(
    postgres_database: str, tmp_path: Path, postgres_run: Callable[[str], None]
) -> None:
    """PostgreSQL ended every connection: the next time it says so, the worker is there again."""
    one, two = (open_presence(postgres_database, tmp_path, name) for name in ("one", "two"))
    one.hold()
    name = postgres_database.rpartition("/")[2]
    ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname"
    postgres_run(f"{ends} = '{name}'")
    for _ in range(100):
        if two.gone(["one"]):
            break
    assert two.gone(["one"]) == {"one"}
    one.hold()
    assert two.gone(["one"]) == set()
    one.let_go()
    two.let_go()
