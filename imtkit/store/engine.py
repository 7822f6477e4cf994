"""The two databases: how each is opened, takes turns at writing, and words its faults."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from threading import RLock
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from imtkit.errors import ChainError, InputError, StoreBusyError, StoreDownError, StoreError
from imtkit.store.turns import Turns

_FOR_ONCE = "imtkit_for_once"
"""Marks a connection that does not see what is written after it was made."""

NO_SILENCE = {
    # A host that is gone without a word is missed within seconds; else TCP waits for minutes, and
    # for hours where nothing is on its way. What an address says itself counts more.
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds; libpq leaves it out where the system has none
}
"""How long a connection to PostgreSQL may be silent: parameters of libpq."""

_WRITE_LOCK = 0x696D74
"""PostgreSQL advisory lock that makes one writer of many; any constant no one else uses."""


_IDLE_SHARE = 0.5
"""Of the time that a writer waits for its turn: how long one that has it may stand still."""
_LEAST_IDLE_SECONDS = 1.0


class SqliteEngine:
    """SQLite in WAL mode, every commit on disk (``synchronous=FULL``) before it returns."""

    is_sqlite = True
    rules = ("entries_no_DELETE", "entries_no_UPDATE")
    rules_query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'entries'"
        " AND sql LIKE '%RAISE(ABORT%'"
    )

    def __init__(self, url: str) -> None:
        address, self.wait_seconds = _address(url)
        self.name = address.database or ":memory:"
        self.is_memory = self.name == ":memory:"
        if not self.is_memory:
            _make_folder(Path(self.name).parent)
        # A writer asks for its turn itself: SQLite's own waiting doubles its naps and starves.
        self._writer = self._open(address, busy_seconds=0)
        self._reader = self._writer
        if not self.is_memory:
            self._reader = self._open(address, busy_seconds=10, is_for_reading=True)
        # A log in memory lives on one connection, which threads must share one after another.
        self._alone: AbstractContextManager[object] = RLock() if self.is_memory else nullcontext()
        self._turns = Turns()

    @property
    def dialect(self) -> sa.Dialect:
        """How SQLAlchemy words statements for this database."""
        return self._writer.dialect

    def _open(
        self, address: sa.URL, *, busy_seconds: float, is_for_reading: bool = False
    ) -> sa.Engine:
        options: dict[str, Any] = {"poolclass": StaticPool} if self.is_memory else {}
        engine = sa.create_engine(
            address,
            connect_args={"timeout": busy_seconds, "check_same_thread": False},
            isolation_level="AUTOCOMMIT",
            **options,
        )

        @event.listens_for(engine, "do_connect")
        def connect(
            dialect: sa.Dialect, record: ConnectionPoolEntry, args: list[Any], named: dict[str, Any]
        ) -> object:
            raw: Any = dialect.connect(*args, **named)
            try:
                raw.execute("PRAGMA busy_timeout = 10000")
                raw.execute("PRAGMA journal_mode = WAL")
                raw.execute("PRAGMA synchronous = FULL")
                raw.execute(f"PRAGMA busy_timeout = {int(busy_seconds * 1000)}")
            except sqlite3.OperationalError:
                raw.close()
                still = _still_readable(Path(self.name), named) if is_for_reading else None
                if still is None:
                    raise
                record.info[_FOR_ONCE] = True
                return still
            return raw

        return engine

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection to read with, also where nothing can be written."""
        with faults(self.name), self._alone, self._reader.connect() as connection:
            try:
                yield connection
            finally:
                if connection.info.get(_FOR_ONCE):
                    connection.invalidate()  # by the next time others may have written

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """A connection to read the whole log with, as it is at one moment.

        Text that is not UTF-8 (somebody wrote over it) comes with surrogates in it.
        """
        with self.reading() as connection:
            raw: Any = connection.connection.driver_connection
            raw.text_factory = _lenient_text
            connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("ROLLBACK")
                raw.text_factory = str

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that no other writer is inside of; on disk when it ends."""
        here, file = self._first_here(), self._writer.connect
        with faults(self.name), self._alone, here as asked_at, file() as connection:
            raw: Any = connection.connection.driver_connection
            self._take_turn(raw, asked_at)
            try:
                yield connection
                raw.execute("COMMIT")
            except BaseException:
                # A full disk has SQLite roll back by itself; a second time would hide the fault.
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
                raise

    @contextmanager
    def _first_here(self) -> Iterator[float]:
        """The turn among this process's own writers; the moment since when it was waited for."""
        asked_at = time.monotonic()
        if not self._turns.come(self.wait_seconds):
            raise sqlite3.OperationalError("database is locked")
        try:
            yield asked_at
        finally:
            self._turns.give_on()

    def _take_turn(self, raw: sqlite3.Connection, asked_at: float) -> None:
        """Begin a write; asked of the driver itself, for asking is repeated while others write."""
        while True:
            try:
                raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - asked_at
                if "locked" not in str(error) or waited > self.wait_seconds:
                    raise
                # Who has waited longer asks more often, or some would wait for ever.
                nap = random.uniform(0.0005, 0.003)  # noqa: S311 # naps, not secrets
                time.sleep(nap / (1 + 20 * waited))
            else:
                return

    def close(self) -> None:
        """Let go of the connections."""
        self._writer.dispose()
        self._reader.dispose()


class PostgresEngine:
    """PostgreSQL through psycopg; writers queue for one advisory lock."""

    is_sqlite = False
    rules = ("entries_no_change",)
    rules_query = (
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'entries'::regclass AND tgenabled <> 'D'"
    )
    is_memory = False

    def __init__(self, url: str) -> None:
        address, wait_seconds = _address(url)
        address = address.set(drivername="postgresql+psycopg")
        self.name = address.render_as_string(hide_password=True).replace("+psycopg", "")
        options = {**unless_told(address), "options": f"-c lock_timeout={wait_seconds * 1000:.0f}"}
        idle = max(_LEAST_IDLE_SECONDS, wait_seconds * _IDLE_SHARE)
        # Who is frozen or cut off in the midst of a write would keep its turn for hours: for as
        # long as the server's TCP waits for a host that says nothing.
        self._take_turn = (
            f"SELECT set_config('idle_in_transaction_session_timeout', '{idle * 1000:.0f}', true),"
            f" pg_advisory_xact_lock({_WRITE_LOCK})"
        )
        self._engine = sa.create_engine(address, pool_pre_ping=True, connect_args=options)

    @property
    def dialect(self) -> sa.Dialect:
        """How SQLAlchemy words statements for this database."""
        return self._engine.dialect

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection to read with."""
        with faults(self.name), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """A connection to read the whole log with, as it is at one moment."""
        with self.reading() as connection:
            yield connection.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that no other writer is inside of; on disk when it ends."""
        with faults(self.name), self._engine.begin() as connection:
            connection.exec_driver_sql(self._take_turn)
            yield connection

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()


def _address(url: str) -> tuple[sa.URL, float]:
    """The address without our own ``timeout``, and how long a write waits for its turn."""
    address = sa.engine.make_url(url)
    wait_seconds = float(str(address.query.get("timeout", "20")))
    return address.difference_update_query(["timeout"]), wait_seconds


def unless_told(address: sa.URL) -> dict[str, int]:
    """What a connection to PostgreSQL is opened with, but for what its address says itself."""
    return {name: value for name, value in NO_SILENCE.items() if name not in address.query}


def _still_readable(path: Path, named: Mapping[str, Any]) -> sqlite3.Connection | None:
    """A connection to a log whose disk is full or read-only; None when nothing reads it there.

    WAL mode keeps a file beside the log even for readers. Where that cannot be made, the log is
    read as a file that does not change: right only when no entry waits in a ``-wal`` file.
    """
    waiting = path.with_name(f"{path.name}-wal")
    ways = ["mode=ro"]
    if not (waiting.exists() and waiting.stat().st_size):
        ways.append("mode=ro&immutable=1")
    for way in ways:
        address = f"file:{quote(str(path.absolute()))}?{way}"
        with suppress(sqlite3.OperationalError):
            raw: sqlite3.Connection = sqlite3.connect(address, **{**named, "uri": True})
            try:
                raw.execute("SELECT count(*) FROM sqlite_master")
            except sqlite3.Error:
                raw.close()
                raise
            return raw
    return None


def _is_read_only(folder: Path) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _lenient_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder {folder} for the log cannot be made: {error.strerror}.",
            hint="Make it writable, or set IMT_STORE_URL to another place.",
        ) from error


@contextmanager
def faults(name: str) -> Iterator[None]:
    """The one place where a database's errors become ours."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise InputError(f"A text for the log {name} holds half a character: {error}") from error
    except (exc.SQLAlchemyError, sqlite3.Error) as error:
        original = getattr(error, "orig", None)
        text = str(original if original is not None else error).strip().split("\n")[0]
        if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
            # However it is worded: TLS and poolers have words of their own for a connection's end.
            raise _down(name, text) from error
        raise _worded(name, text, text.lower()) from error


_WORDED: tuple[tuple[tuple[str, ...], type[StoreError], str, str, bool], ...] = (
    # what the driver says, our error, its message, the next step, whether to try again
    (
        ("is locked", "lock timeout"),
        StoreBusyError,
        "The log {name} is held by another writer.",
        "Nothing was stored. Try again; if it stays so, see which process holds it.",
        True,
    ),
    (
        ("readonly", "read-only", "permission denied"),
        StoreError,
        "The log {name} cannot be written: {text}.",
        "Make the file and its folder writable. Nothing was stored.",
        False,
    ),
    (
        ("disk is full", "no space left", "disk i/o error"),
        StoreError,
        "The disk that holds the log {name} is full or failing: {text}.",
        "Free some space and try again. What was stored before is whole.",
        True,
    ),
    (
        ("could not decode",),
        ChainError,
        "The log {name} holds text that was damaged: {text}.",
        "See what is damaged with: imt store verify",
        False,
    ),
    (
        ("unable to open",),
        StoreError,
        "The log {name} cannot be opened: {text}.",
        "Check the path and its rights.",
        False,
    ),
    (
        ("not a database", "malformed"),
        StoreError,
        "{name} is not a sound database: {text}.",
        "Keep a copy, then restore from a backup or from the records in outputs/.",
        False,
    ),
    (
        ("append-only",),
        StoreError,
        "The log {name} is append-only.",
        "Correct an entry with a new one.",
        False,
    ),
)
_AWAY = ("connection", "could not translate", "timeout expired", "starting up", "shutting down")


def _down(name: str, text: str) -> StoreDownError:
    return StoreDownError(
        f"The database {name} cannot be reached: {text}",
        hint="Is it running, and is the address in imt.toml right?",
        retryable=True,
    )


def _worded(name: str, text: str, lower: str) -> StoreError:
    is_refused = any(sign in lower for sign in ("unable to open", "readonly", "read-only"))
    if is_refused and _is_read_only(Path(name).parent):
        return StoreError(
            f"The log {name} is on a read-only file system.",
            hint="Reading goes on; nothing was stored. Mount it writable and try again.",
        )
    for signs, kind, message, hint, retryable in _WORDED:
        if any(sign in lower for sign in signs):
            return kind(message.format(name=name, text=text), hint=hint, retryable=retryable)
    if any(sign in lower for sign in _AWAY):
        return _down(name, text)
    return StoreError(f"The log {name} failed: {text}")
