"""The log on SQLAlchemy Core: SQLite by default, PostgreSQL for many machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imtkit.contracts import Clock, SystemClock
from imtkit.errors import ConfigError

if TYPE_CHECKING:
    from imtkit.store.log import SqlStore

__all__ = ["open_store"]


def open_store(url: str, *, clock: Clock | None = None, is_migrating: bool = False) -> SqlStore:
    """The log at a database address; an empty database gets its tables.

    ``sqlite:///path`` (``sqlite://`` is in memory) or ``postgresql://…``. StoreVersionError
    when the tables are another version's, unless ``is_migrating``; StoreError when the
    database cannot be reached. ``?timeout=SECONDS`` on an SQLite address is how long a write
    waits for its turn (20).
    """
    from imtkit.store.engine import PostgresEngine, SqliteEngine
    from imtkit.store.log import SqlStore

    engine: SqliteEngine | PostgresEngine
    if url.startswith("sqlite:"):
        engine = SqliteEngine(url)
    elif url.startswith(("postgresql:", "postgresql+psycopg:", "postgres:")):
        engine = PostgresEngine(url)
    else:
        raise ConfigError(
            f"The store's address starts with '{url.partition(':')[0]}:'.",
            hint="Use sqlite:///path/imt.db or postgresql://user@host/database.",
        )
    store = SqlStore(engine, clock or SystemClock())
    store.prepare(is_migrating=is_migrating)
    return store
