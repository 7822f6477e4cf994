"""The log in trouble: locked, read-only, a full disk, a broken file, a database that goes away."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import psycopg
import pytest
from disks import fill, small_disk_at
from servers import start_postgres
from terminal import caller

from imtkit.errors import ChainError, StoreBusyError, StoreDownError, StoreError
from imtkit.kit import Desk, evidence
from imtkit.model.entries import Draft
from imtkit.model.incident import Incident
from imtkit.store import open_store

if TYPE_CHECKING:
    from imtkit.store.log import SqlStore

NOBODY = 65534


def opening() -> Draft:
    return Draft("incident.opened", {"title": "Orders fail"}, actor="Ann")


def note(text: str) -> Draft:
    return Draft("note.added", {"text": text}, actor="Ann")


# Locked


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process is inside a write."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.kill()


def test_a_locked_log_is_busy_and_stores_nothing(tmp_path: Path) -> None:
    """After its patience a write gives up: retryable, nothing stored, reading goes on."""
    url = f"sqlite:///{tmp_path}/imt.db?timeout=0.3"
    with closing(open_store(url)) as store:
        incident = store.open_incident(opening()).incident
        with held(tmp_path / "imt.db"):
            began = time.monotonic()
            with pytest.raises(StoreBusyError, match="is held by another writer") as caught:
                store.append(incident, note("x"))
            assert 0.3 <= time.monotonic() - began < 5
            assert caught.value.retryable
            assert "Nothing was stored" in caught.value.hint
            assert len(list(store.entries())) == 1
        store.append(incident, note("free again"))
        assert store.verify() == []


def test_a_write_waits_for_its_turn(tmp_path: Path) -> None:
    """A lock that is let go in time is no error."""
    with closing(open_store(f"sqlite:///{tmp_path}/imt.db?timeout=20")) as store:
        incident = store.open_incident(opening()).incident
        other = sqlite3.connect(tmp_path / "imt.db", isolation_level=None, check_same_thread=False)
        with closing(other):
            other.execute("BEGIN IMMEDIATE")
            from threading import Timer

            timer = Timer(0.2, other.execute, ["COMMIT"])
            timer.start()
            assert store.append(incident, note("x"))[0].n == 2
            timer.join()


@pytest.mark.postgres
def test_a_locked_postgresql_is_busy_too(postgres_log: str) -> None:
    """Whoever holds the writers' turn for too long makes others give up, as with SQLite."""
    from imtkit.store.engine import _WRITE_LOCK

    with closing(open_store(f"{postgres_log}?timeout=0.3")) as store:
        incident = store.open_incident(opening()).incident
        with psycopg.connect(postgres_log) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", [_WRITE_LOCK])
            with pytest.raises(StoreBusyError, match="is held by another writer"):
                store.append(incident, note("x"))
        store.append(incident, note("free again"))
        assert [e.n for e in store.entries(incident)] == [1, 2]


@pytest.mark.postgres
def test_a_writer_that_stands_still_loses_its_turn(postgres_log: str) -> None:
    """Frozen, or cut off in the midst of a write: others write before they would give up. It is
    told that nothing was stored, and that it may try again.
    """
    begun, may_go_on = Event(), Event()

    def decide(_: Incident) -> list[Draft]:
        begun.set()
        may_go_on.wait(60)
        return [note("too late")]

    with ExitStack() as ends:
        still = ends.enter_context(closing(open_store(f"{postgres_log}?timeout=2")))
        other = ends.enter_context(closing(open_store(postgres_log)))
        incident = other.open_incident(opening()).incident
        writing = ends.enter_context(ThreadPoolExecutor(1)).submit(still.change, incident, decide)
        ends.callback(may_go_on.set)
        assert begun.wait(30)
        other.append(incident, note("meanwhile"))
        may_go_on.set()
        with pytest.raises(StoreDownError) as caught:
            writing.result()
        assert caught.value.retryable
        assert still.append(incident, note("again"))[0].n == 3
        texts = [entry.data.get("text") for entry in other.entries(incident)]
        assert texts == [None, "meanwhile", "again"]


@pytest.mark.postgres
def test_a_postgresql_that_was_restarted_is_found_again() -> None:
    """What was pooled is dead: the next append uses a new connection and just works."""
    with start_postgres() as server, closing(open_store(server.dsn)) as store:
        incident = store.open_incident(opening()).incident
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        assert store.append(incident, note("again"))[0].n == 2
        server.stop("immediate")
        with pytest.raises(StoreError, match="cannot be reached") as caught:
            store.append(incident, note("gone"))
        assert caught.value.retryable


# Damaged rows


def damage(path: Path, change: str, *values: object) -> None:
    """Write over rows as the database's owner can, once its triggers are gone."""
    with closing(sqlite3.connect(path)) as connection:
        named = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in connection.execute(named).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(change, values)
        connection.commit()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("data", "{bad"),
        ("data", "[1]"),
        ("data", b"\xff\xfe"),
        ("data", "[" * 100_000),
        ("occurred_at", "yesterday"),
        ("occurred_at", "2026-11-21T20:16:00"),
        ("recorded_at", 7),
    ],
)
@pytest.mark.parametrize(
    "words", [("incident", "show", "{}"), ("store", "rebuild"), ("record", "build", "{}")]
)
def test_a_damaged_entry_is_named(
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    column: str,
    value: object,
    words: tuple[str, ...],
) -> None:
    """Whoever reads or rebuilds is told which entry cannot be read, and what to do: code 7."""
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("IMT_USER", "Ann Example")
    path = workspace / "outputs" / "imt.db"
    with closing(open_store(f"sqlite:///{path}")) as store:
        incident = store.open_incident(opening()).incident
        store.append(incident, note("x"))
    change = f"UPDATE entries SET {column} = ? WHERE n = 2"  # noqa: S608 # this test's own columns
    damage(path, change, value)
    done = caller(capsys)(*(word.format(incident) for word in words))
    assert done.code == 7
    assert f"Entry 2 of {incident} is damaged" in done.err
    assert "imt store verify" in done.err
    assert caller(capsys)("store", "verify").code == 7


def test_text_that_is_no_utf8_is_damage(tmp_path: Path) -> None:
    """What the database itself cannot decode is told as damage, not as a fault of imtkit."""
    path = tmp_path / "imt.db"
    with closing(open_store(f"sqlite:///{path}")) as store:
        incident = store.open_incident(opening()).incident
        damage(path, "UPDATE entries SET actor = CAST(? AS TEXT)", b"\xff")
        with pytest.raises(ChainError, match="damaged") as caught:
            store.incident(incident)
        assert "imt store verify" in caught.value.hint


# Read-only


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights, which no file mode binds."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder, with a log in it, that its reader may not write to."""
    folder = Path(tempfile.mkdtemp(prefix="imt-read-only-"))
    with closing(open_store(f"sqlite:///{folder}/imt.db")) as store:
        store.open_incident(opening())
    (folder / "imt.db").chmod(0o444)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def open_and_write(url: str) -> None:
    with closing(open_store(url)) as store:
        store.open_incident(opening())


def test_a_log_that_may_not_be_written_says_so(read_only: Path) -> None:
    """Reading or writing, the error names the file and what to do; the log is untouched."""
    before = (read_only / "imt.db").read_bytes()
    with as_nobody(), pytest.raises(StoreError) as caught:
        open_and_write(f"sqlite:///{read_only}/imt.db")
    assert str(read_only / "imt.db") in str(caught.value)
    assert "cannot be" in str(caught.value)
    assert caught.value.hint
    assert (read_only / "imt.db").read_bytes() == before


@pytest.fixture
def frozen(small_disk: Path) -> Iterator[Callable[[], None]]:
    """Makes the small disk read-only, as a kernel does with a disk that fails."""

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(small_disk)], check=True)

    yield lambda: remount("ro")
    remount("rw")


WRITER = """
import os, sys
from imtkit.model.entries import Draft
from imtkit.model.incident import Incident
from imtkit.store import open_store
store = open_store(sys.argv[1])
store.open_incident(Draft("incident.opened", {"title": "Orders fail"}, actor="Ann"))
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("was_killed", [False, True])
def test_a_read_only_file_system_is_read_and_named(
    small_disk: Path, frozen: Callable[[], None], *, was_killed: bool
) -> None:
    """Reading works there, whatever a killed writer left behind; writing says why it does not."""
    url = f"sqlite:///{small_disk}/imt.db"
    if was_killed:
        subprocess.run([sys.executable, "-c", WRITER, url], check=False)
        assert (small_disk / "imt.db-wal").stat().st_size
    else:
        with closing(open_store(url)) as store:
            store.open_incident(opening())
    frozen()
    with closing(open_store(url)) as store:
        [row] = store.incidents()
        assert store.incident(row.id).title == "Orders fail"
        assert store.verify() == []
        with pytest.raises(StoreError, match="is on a read-only file system") as caught:
            store.append(row.id, note("x"))
        assert caught.value.hint


def test_a_read_only_file_system_without_a_log_says_so(
    small_disk: Path, frozen: Callable[[], None]
) -> None:
    """A new log cannot be begun there."""
    frozen()
    with pytest.raises(StoreError, match="is on a read-only file system"):
        open_store(f"sqlite:///{small_disk}/imt.db")


def test_who_may_only_read_reads(read_only: Path) -> None:
    """A log whose file and folder belong to somebody else shows what it holds."""
    with as_nobody(), closing(open_store(f"sqlite:///{read_only}/imt.db")) as store:
        assert [row.title for row in store.incidents()] == ["Orders fail"]
        assert store.verify() == []


def test_a_folder_that_may_not_be_written_says_so(read_only: Path) -> None:
    """A new log there, or in a folder below it, cannot be begun."""
    for path in ("new.db", "below/new.db"):
        with as_nobody(), pytest.raises(StoreError, match="cannot be") as caught:
            open_store(f"sqlite:///{read_only}/{path}")
        assert str(read_only) in str(caught.value)
        assert caught.value.hint
    assert not (read_only / "new.db").exists()


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    with small_disk_at(tmp_path / "disk", "size=2m") as disk:
        yield disk


def append_until_full(store: SqlStore, incident: str) -> tuple[int, StoreError]:
    """Append until the disk refuses; how many were stored, and what was said."""
    for number in range(2_000):
        try:
            store.append(incident, note(f"{number} " + "x" * 4_000))
        except StoreError as error:
            return number, error
    raise AssertionError("the disk never was full")


def test_a_full_disk_leaves_a_whole_log(small_disk: Path) -> None:
    """The append that does not fit is told; all others stand, and work goes on with space."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    url = f"sqlite:///{small_disk}/imt.db"
    with closing(open_store(url)) as store:
        incident = store.open_incident(opening()).incident
        stored, error = append_until_full(store, incident)
        assert "The disk that holds the log" in str(error)
        assert "full" in str(error)
        assert "What was stored before is whole" in error.hint
        assert error.retryable
        assert len(list(store.entries(incident))) == stored + 1
        assert store.verify() == []
        ballast.unlink()
        store.append(incident, note("space again"))
        assert store.verify() == []
    with closing(open_store(url)) as store:
        assert len(list(store.entries(incident))) == stored + 2
        assert store.verify() == []


def test_a_full_disk_is_still_read(small_disk: Path) -> None:
    """Reading needs no space, and sees at once what is written when there is some again."""
    url = f"sqlite:///{small_disk}/imt.db"
    with closing(open_store(url)) as store:
        incident = store.open_incident(opening()).incident
    ballast = fill(small_disk)
    with closing(open_store(url)) as store:
        assert store.incident(incident).title == "Orders fail"
        assert store.verify() == []
        with pytest.raises(StoreError, match="is full or failing"):
            store.append(incident, note("x"))
        ballast.unlink()
        with closing(open_store(url)) as other:
            other.append(incident, note("space again"))
        assert len(list(store.entries(incident))) == 2


def test_evidence_on_a_full_disk_leaves_nothing_half_done(
    desk: Desk, small_disk: Path, workspace: Path
) -> None:
    """No half a file, nothing in the log; with space the same call keeps it."""
    incident = desk.store.open_incident(opening()).incident
    shutil.rmtree(workspace / "outputs")
    (workspace / "outputs").symlink_to(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_500_000)
    content = b"y" * 1_000_000

    def keep() -> str:
        return evidence.keep(
            desk, incident, "Dump", content, name="dump.bin", media_type="application/octet-stream"
        ).path

    with pytest.raises(StoreError, match="cannot be written: No space left") as caught:
        keep()
    assert caught.value.retryable
    assert [p for p in small_disk.rglob("*") if p.is_file()] == [ballast]
    assert desk.store.incident(incident).evidence == ()
    ballast.unlink()
    assert (desk.folder(incident) / keep()).read_bytes() == content


# A broken file


def broken_by(folder: Path, change: str) -> str:
    """The address of a log that something has written over."""
    path = folder / "imt.db"
    with closing(open_store(f"sqlite:///{path}")) as store:
        incident = store.open_incident(opening()).incident
        store.append(incident, *(note("x" * 500) for _ in range(200)))
    raw = bytearray(path.read_bytes())
    match change:
        case "garbage":
            raw = bytearray(b"this is no database at all. " * 100)
        case "head":
            raw[:64] = b"\xff" * 64
        case "middle":
            raw[8_192:] = b"\xff" * (len(raw) - 8_192)
        case "cut":
            raw = raw[: len(raw) // 2]
    path.write_bytes(raw)
    return f"sqlite:///{path}"


def open_and_verify(url: str) -> None:
    with closing(open_store(url)) as store:
        store.verify()


@pytest.mark.parametrize("change", ["garbage", "head", "middle", "cut"])
def test_a_broken_file_is_told_and_not_made_worse(tmp_path: Path, change: str) -> None:
    """Opening or verifying says that the database is unsound; the hint says to keep a copy."""
    url = broken_by(tmp_path, change)
    with pytest.raises(StoreError, match="is not a sound database") as caught:
        open_and_verify(url)
    assert str(tmp_path / "imt.db") in str(caught.value)
    assert "Keep a copy" in caught.value.hint


def test_a_folder_in_the_files_place_is_told(tmp_path: Path) -> None:
    """Nothing is made or removed."""
    (tmp_path / "imt.db").mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(f"sqlite:///{tmp_path}/imt.db")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"The folder .* for the log cannot be made"):
        open_store(f"sqlite:///{tmp_path}/file/imt.db")
