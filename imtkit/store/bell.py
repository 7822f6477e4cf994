"""How a worker hears at once that there is work: a bell, which carries nothing and orders nothing.

Who rings makes whoever listens look sooner than it would have looked anyway; a ring that nobody
hears costs the time until that look, and nothing else.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from imtkit.errors import StoreError
from imtkit.store.engine import faults, unless_told

_LEFT_SECONDS = 60.0
"""How old a bell is, at least, that nobody listens at and that is taken away."""

_TURN_SECONDS = 1.0
"""How long who rings waits for another who does: workers look as often by themselves."""

_CHANNEL = "imtkit_queue"
_LISTEN = f"LISTEN {_CHANNEL}"
_HEARD = sa.text(  # whoever listens has said nothing else on that connection
    "SELECT EXISTS (SELECT 1 FROM pg_stat_activity"
    " WHERE datname = current_database() AND query = :said)"
)


class FileBell:
    """For workers on one machine: each listens at a pipe of its own beside the log's files."""

    def __init__(self, folder: Path, name: str = "") -> None:
        self._folder = folder
        self._path = folder / f"worker-{name}.bell"
        self._descriptor = -1

    def ring(self) -> None:
        """Have all who listen look now."""
        for path in self._folder.glob("worker-*.bell"):
            _rung(path)

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens now."""
        return any(_is_heard_at(path) for path in self._folder.glob("worker-*.bell"))

    def wait(self, seconds: float) -> bool:
        """Whether it rang within these seconds; StoreError when nobody could hear it."""
        if self._descriptor < 0:
            self._hang_up()
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return False
        with suppress(BlockingIOError):
            while os.read(self._descriptor, 4096):
                pass
        return True

    def close(self) -> None:
        """Listen no more."""
        if self._descriptor >= 0:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def _hang_up(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in self._folder.glob("worker-*.bell"):
                with suppress(FileNotFoundError):
                    is_old = time.time() - path.lstat().st_mtime > _LEFT_SECONDS
                    if is_old and not _is_heard_at(path):
                        path.unlink()  # of a worker that was killed
            with suppress(FileExistsError):
                os.mkfifo(self._path, 0o600)
            # For writing too: else it would be at its end whenever nobody rings.
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            raise StoreError(
                f"Nobody can be heard at {self._path}: {error.strerror}.",
                hint="Make its folder writable.",
            ) from error


def _rung(path: Path) -> None:
    """Tell who listens at a pipe, if anybody does, to look now."""
    with suppress(OSError), _opened(path) as descriptor:  # where it is full it rings already
        os.write(descriptor, b"\n")


def _is_heard_at(path: Path) -> bool:
    """Whether somebody listens at a pipe."""
    with suppress(OSError), _opened(path):
        return True
    return False


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A pipe, to write into; OSError when nobody listens, or it is none."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no pipe", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


class PostgresBell:
    """For workers on many machines: LISTEN and NOTIFY of the database that all are connected to.

    A pooler that gives each transaction another session breaks it, as it does their locks.
    """

    def __init__(self, url: str) -> None:
        address = sa.engine.make_url(url).set(drivername="postgresql+psycopg")
        address = address.difference_update_query(["timeout"])
        self._database = address.render_as_string(hide_password=True)
        self._engine = sa.create_engine(
            address,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args=unless_told(address),
        )
        self._speaks: sa.Connection | None = None
        self._speaking = Lock()  # many runs ring, on one connection
        self._listens: sa.Connection | None = None

    def ring(self) -> None:
        """Have all who listen look now; they look later by themselves when it cannot be told."""
        if not self._speaking.acquire(timeout=_TURN_SECONDS):
            return  # the database is away: whoever speaks waits for it
        try:
            for _ in range(2):  # anew, when the connection has ended since the last time
                try:
                    if self._speaks is None:
                        self._speaks = self._engine.connect()
                    self._speaks.execute(sa.text(f"NOTIFY {_CHANNEL}"))
                except sa.exc.DBAPIError:
                    _end(self._speaks)
                    self._speaks = None
                else:
                    return
        finally:
            self._speaking.release()

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens now, on whichever machine; StoreError when nobody can tell."""
        with faults(self._database), self._engine.connect() as connection:
            return bool(connection.execute(_HEARD, {"said": _LISTEN}).scalar())

    def wait(self, seconds: float) -> bool:
        """Whether it rang within these seconds; StoreError when nobody could hear it."""
        with faults(self._database):
            if self._listens is None:
                self._listens = self._listening()
        raw: Any = self._listens.connection.driver_connection
        try:
            return bool(list(raw.notifies(timeout=seconds, stop_after=1)))
        except self._engine.dialect.loaded_dbapi.Error as error:
            _end(self._listens)
            self._listens = None
            raise StoreError(f"{self._database} has ended the connection.") from error

    def _listening(self) -> sa.Connection:
        connection = self._engine.connect()
        try:
            connection.execute(sa.text(_LISTEN))
        except sa.exc.DBAPIError:
            _end(connection)
            raise
        return connection

    def close(self) -> None:
        """Ring and listen no more."""
        for one in (self._speaks, self._listens):
            _end(one)
        self._speaks = self._listens = None
        self._engine.dispose()


def _end(connection: sa.Connection | None) -> None:
    if connection is not None:
        with suppress(sa.exc.DBAPIError):
            connection.invalidate()
            connection.close()


Bell = FileBell | PostgresBell


def open_bell(url: str, folder: Path, name: str = "") -> Bell:
    """The bell of those who work for the log at ``url``; only who listens needs a name."""
    if url.startswith("postgres"):
        return PostgresBell(url)
    return FileBell(folder, name)
