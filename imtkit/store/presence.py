"""Which workers are alive: each holds a lock that ends with it, so that no clock is asked."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from imtkit.errors import StoreError
from imtkit.store.engine import faults


class FilePresence:
    """Workers on one machine: each holds the lock of a file, which the system lets go of."""

    is_certain = True

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._path = self._path_of(name)
        self._descriptor = -1

    def hold(self) -> None:
        """Say that this worker is alive, until it lets go or ends; again, it changes nothing."""
        if self._descriptor >= 0:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise StoreError(
                f"The lock {self._path} cannot be held: {error.strerror}.",
                hint="Make its folder writable.",
            ) from error

    def gone(self, names: Collection[str]) -> set[str]:
        """Those of these workers that have ended."""
        return {name for name in names if self._path_of(name) != self._path and self._is_gone(name)}

    def _is_gone(self, name: str) -> bool:
        path = self._path_of(name)
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            path.unlink(missing_ok=True)  # its name is never another worker's
            return True
        finally:
            os.close(descriptor)

    def let_go(self) -> None:
        """Say that this worker is no longer there."""
        if self._descriptor >= 0:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def _path_of(self, name: str) -> Path:
        return self._folder / f"worker-{name}.lock"


_TOO_LATE = {
    # A worker whose machine fell silent is taken for ended by the server after these seconds …
    "options": "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
    # … and knows it itself a little earlier.
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "connect_timeout": 10,
}
_HELD = sa.text(
    "SELECT classid::bigint << 32 | objid::bigint FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class PostgresPresence:
    """Workers on many machines: each holds an advisory lock, for as long as it is connected.

    The lock is a session's: a pooler that gives each transaction another session breaks it.
    """

    is_certain = False  # when PostgreSQL is started anew, all are cut off for a moment

    def __init__(self, url: str, name: str) -> None:
        address = sa.engine.make_url(url).set(drivername="postgresql+psycopg")
        address = address.difference_update_query(["timeout"])
        self._database = address.render_as_string(hide_password=True)
        self._engine = sa.create_engine(
            address, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=_TOO_LATE
        )
        self._name = name
        self._connection: sa.Connection | None = None

    def hold(self) -> None:
        """Say that this worker is alive, until it lets go or ends; anew if it was cut off.

        StoreError when it is cut off still.
        """
        with faults(self._database):
            if self._connection is not None and not self._is_connected(self._connection):
                self._connection = None
            if self._connection is None:
                self._connection = self._engine.connect()
            # The server may not know yet that an earlier connection of ours is gone: then that
            # one still speaks for us, and the next try is ours.
            self._connection.execute(
                sa.text(
                    "SELECT pg_try_advisory_lock(:key) WHERE NOT EXISTS"
                    " (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
                    " AND pid = pg_backend_pid()"
                    " AND classid::bigint << 32 | objid::bigint = :key)"
                ),
                {"key": _key(self._name)},
            )

    def _is_connected(self, connection: sa.Connection) -> bool:
        try:
            connection.execute(sa.text("SELECT 1"))
        except sa.exc.DBAPIError:
            connection.invalidate()
            connection.close()
            return False
        return True

    def gone(self, names: Collection[str]) -> set[str]:
        """Those of these workers that nobody is connected for now."""
        with faults(self._database), self._engine.connect() as connection:
            held = set(connection.execute(_HELD).scalars())
        return {name for name in names if name != self._name and _key(name) not in held}

    def let_go(self) -> None:
        """Say that this worker is no longer there."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sa.exc.DBAPIError):
                connection.close()
        self._engine.dispose()


Presence = FilePresence | PostgresPresence


def open_presence(url: str, folder: Path, name: str) -> Presence:
    """How workers of the log at ``url`` know of each other; this one is ``name``."""
    if url.startswith("postgres"):
        return PostgresPresence(url, name)
    return FilePresence(folder, name)


def is_any_alive(url: str, folder: Path) -> bool | None:
    """Whether any worker of the log at ``url`` is alive; None where that cannot be told.

    Nothing is changed: locks are tried, and what a dead worker left lies there as before.
    """
    if url.startswith("postgres"):
        return None  # locks have numbers there, and tell no names
    return any(_is_locked(path) for path in folder.glob("worker-*.lock"))


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _key(name: str) -> int:
    """PostgreSQL's locks have numbers: 64 bits, with a sign."""
    digest = hashlib.sha256(f"imtkit worker {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
