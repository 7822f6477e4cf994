"""Which workers are alive: each holds a lock that ends with it, so that no clock is asked."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from imtkit.errors import StoreError
from imtkit.store.engine import faults


class FilePresence:
    """Workers on one machine: each holds the lock of a file, which the system lets go of."""

    is_cut_off = False

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
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError:
                os.close(descriptor)
                raise
        except OSError as error:
            raise StoreError(
                f"The lock {self._path} cannot be held: {error.strerror}.",
                hint="Make its folder writable.",
            ) from error
        self._descriptor = descriptor
        with suppress(OSError):  # a full disk: then it tells nobody beside PostgreSQL
            os.pwrite(descriptor, _system(), 0)
        self._clear()

    def _clear(self) -> None:
        """Remove what workers left behind long ago, of whom nobody asks any more."""
        for path in self._folder.glob("worker-*.lock"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _LEFT_SECONDS and not _is_locked(path):
                    path.unlink()

    def gone(self, names: Collection[str]) -> set[str]:
        """Those of these workers that have ended."""
        return {name for name in names if self._path_of(name) != self._path and self._is_gone(name)}

    def _is_gone(self, name: str) -> bool:
        path = self._path_of(name)
        try:
            has_ended = _is_free(path)
            if has_ended:
                path.unlink(missing_ok=True)  # its name is never another worker's
        except FileNotFoundError:
            return True
        except OSError as error:
            raise StoreError(
                f"Whether a worker is alive cannot be told by {path}: {error.strerror}.",
                hint="Keep outputs/ on a disk that has locks, and leave it to one user.",
            ) from error
        return has_ended

    def missing(self, names: Collection[str]) -> set[str]:
        """Those of these workers that have ended."""
        return self.gone(names)

    def has_left(self, name: str) -> bool:
        """Whether a worker is gone."""
        return name in self.gone([name])

    def has_ended(self, name: str) -> bool | None:
        """Whether a worker has ended; None where it left nothing that would tell.

        On a folder that machines share a lock may be seen on its own machine only.
        """
        path = self._path_of(name)
        try:
            return _is_free(path) if path.read_bytes() == _system() else None
        except OSError:  # no such file, or a disk without locks
            return None

    def let_go(self, *, is_traced: bool = False) -> None:
        """Say that this worker is no longer there; ``is_traced``: so that ``has_ended`` tells."""
        if self._descriptor >= 0:
            with suppress(OSError):
                if not is_traced:
                    self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def _path_of(self, name: str) -> Path:
        return self._folder / f"worker-{name}.lock"


_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LEFT_SECONDS = 7 * 86_400.0

GONE_SECONDS = 25.0
"""For how long a worker of another machine must be missing before it is taken for gone."""

_CUT_OFF_SHARE = 0.76
"""Of these seconds, after which a worker that is cut off knows it: the other six are for its looks,
each second, and for its runs to end: five seconds from interrupt to kill.
"""

_HOLD_SECONDS = 2.0
_LOOKS_SECONDS = 10.0
_TOO_LATE = {
    # A worker whose machine fell silent is taken for ended by the server after these seconds …
    "options": "-c tcp_keepalives_idle=6 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3",
    # … and knows it itself a little earlier.
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "connect_timeout": 10,
}
_HELD = sa.text(
    "SELECT classid::bigint << 32 | objid::bigint FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class PostgresPresence:
    """Workers on many machines: each holds an advisory lock, for as long as it is connected.

    The lock is a session's: a pooler that gives each transaction another session breaks it. A
    worker that is cut off, as all are when PostgreSQL is started anew, has time to come back:
    it says so itself, every two seconds. On the same machine its lock of a file tells at once.
    """

    def __init__(self, url: str, folder: Path, name: str, *, gone_seconds: float) -> None:
        address = sa.engine.make_url(url).set(drivername="postgresql+psycopg")
        address = address.difference_update_query(["timeout"])
        self._database = address.render_as_string(hide_password=True)
        self._engine = sa.create_engine(
            address, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=_TOO_LATE
        )
        self._name, self._beside = name, FilePresence(folder, name)
        self._connection: sa.Connection | None = None
        self._gone_seconds = gone_seconds
        self._missing: dict[str, tuple[float, float]] = {}
        self._held_at = 0.0
        self._mine, self._others, self._is_over = Lock(), Lock(), Event()
        self._keeper = Thread(target=self._go_on_holding, name="presence", daemon=True)

    @property
    def is_cut_off(self) -> bool:
        """Whether others may take this worker for gone soon, for it could not say that it lives."""
        return 0 < self._held_at < time.monotonic() - _CUT_OFF_SHARE * self._gone_seconds

    def hold(self) -> None:
        """Say that this worker is alive, until it lets go or ends; anew if it was cut off.

        StoreError when it is cut off still.
        """
        if self._is_over.is_set():
            return
        with suppress(StoreError):  # it only tells sooner
            self._beside.hold()
        with self._mine, faults(self._database):
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
            self._held_at = time.monotonic()
            if self._keeper.ident is None:
                self._keeper.start()

    def _go_on_holding(self) -> None:
        while not self._is_over.wait(_HOLD_SECONDS):
            with suppress(StoreError):  # it is tried again, and who asks is told (is_cut_off)
                self.hold()

    def _is_connected(self, connection: sa.Connection) -> bool:
        try:
            connection.execute(sa.text("SELECT 1"))
        except sa.exc.DBAPIError:
            connection.invalidate()
            connection.close()
            return False
        return True

    def gone(self, names: Collection[str]) -> set[str]:
        """Those of these workers that have ended, or that nobody was connected for all the time.

        To be asked every few seconds: a worker of another machine is gone once it was missing
        each time for ``gone_seconds``, PostgreSQL being there.
        """
        others = {name for name in names if name != self._name}
        with self._others:
            try:
                missing = self.missing(others)
            except StoreError:
                self._missing.clear()  # they had no chance to say that they live
                raise
            return {name for name in others if self._is_gone(name, is_held=name not in missing)}

    def missing(self, names: Collection[str]) -> set[str]:
        """Those of these workers that are not connected now; they may come back."""
        with faults(self._database), self._engine.connect() as connection:
            held = set(connection.execute(_HELD).scalars())
        return {name for name in names if name != self._name and _key(name) not in held}

    def _is_gone(self, name: str, *, is_held: bool) -> bool:
        now = time.monotonic()
        began_at, seen_at = self._missing.pop(name, (now, now))
        if is_held:
            return False
        ended = self._beside.has_ended(name)
        if ended is not None:
            return ended
        if now - seen_at > _LOOKS_SECONDS:
            began_at = now  # nobody knows how it was in between
        self._missing[name] = began_at, now
        return now - began_at >= self._gone_seconds

    def has_left(self, name: str) -> bool:
        """Whether a worker is gone; waits until that is sure."""
        while name not in self.gone([name]):
            if name not in self._missing or self._is_over.wait(1.0):
                return False
        return True

    def let_go(self) -> None:
        """Say that this worker is no longer there."""
        self._is_over.set()
        if self._keeper.ident is not None:
            self._keeper.join()
        with self._mine:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(sa.exc.DBAPIError):
                    connection.close()
            self._engine.dispose()
        self._beside.let_go(is_traced=True)


Presence = FilePresence | PostgresPresence


def open_presence(
    url: str, folder: Path, name: str, *, gone_seconds: float = GONE_SECONDS
) -> Presence:
    """How workers of the log at ``url`` know of each other; this one is ``name``."""
    if url.startswith("postgres"):
        return PostgresPresence(url, folder, name, gone_seconds=gone_seconds)
    return FilePresence(folder, name)


def _is_locked(path: Path) -> bool:
    try:
        return not _is_free(path)
    except OSError:
        return False


def _is_free(path: Path) -> bool:
    """Whether nobody holds the lock of a file; OSError when there is none, or no locks at all."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _system() -> bytes:
    """What tells the running system from others whose processes and locks it does not see."""
    with suppress(OSError):
        return _BOOT.read_bytes()
    return platform.node().encode()


def _key(name: str) -> int:
    """PostgreSQL's locks have numbers: 64 bits, with a sign."""
    digest = hashlib.sha256(f"imtkit worker {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
