"""The log on SQLAlchemy Core: SQLite by default, PostgreSQL for many machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imtkit.contracts import Clock, SystemClock
from imtkit.errors import ConfigError

if TYPE_CHECKING:
    from imtkit.store.log import SqlStore

__all__ = ["open_store"]

_FORMS = "Use sqlite:///path/imt.db or postgresql://user@host/database."


def open_store(url: str, *, clock: Clock | None = None, is_migrating: bool = False) -> SqlStore:
    """The log at a database address; an empty database gets its tables.

    ``sqlite:///path`` (``sqlite://`` is in memory) or ``postgresql://…``. StoreVersionError
    when the tables are another version's, unless ``is_migrating``; StoreError when the
    database cannot be reached. ``?timeout=SECONDS`` on either is how long a write waits for
    its turn (20).
    """
    from sqlalchemy.exc import ArgumentError

    from imtkit.store.engine import PostgresEngine, SqliteEngine
    from imtkit.store.log import SqlStore

    kinds: dict[str, type[SqliteEngine | PostgresEngine]] = {
        "sqlite": SqliteEngine,
        "postgres": PostgresEngine,
        "postgresql": PostgresEngine,
        "postgresql+psycopg": PostgresEngine,
    }
    scheme = url.partition(":")[0]
    if scheme not in kinds:
        raise ConfigError(f"The store's address starts with '{scheme}:'.", hint=_FORMS)
    try:
        engine = kinds[scheme](url)
    except (ValueError, ArgumentError) as error:
        raise ConfigError(f"The store's address cannot be read: {error}.", hint=_FORMS) from error
    store = SqlStore(engine, clock or SystemClock())
    try:
        store.prepare(is_migrating=is_migrating)
    except BaseException:
        store.close()
        raise
    return store
