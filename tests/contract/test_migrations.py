"""The tables: how they come to be, and what an older or newer imtkit makes of them."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from imtkit.errors import ConfigError, StoreError, StoreVersionError
from imtkit.model.entries import Draft
from imtkit.store import open_store
from imtkit.store.migrations import steps
from imtkit.store.schema import VERSION, metadata

if TYPE_CHECKING:
    from imtkit.store.log import SqlStore


def _pretend(store: SqlStore, version: str) -> None:
    with store._engine.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :v"), {"v": version})


def test_the_newest_migration_leads_to_this_version() -> None:
    """schema.VERSION is the migrations' own head, and every step but the first has one before."""
    assert steps.newest() == VERSION


def test_migrated_tables_are_the_schemas(empty_url: str) -> None:
    """Alembic finds no difference between what the migrations make and what the code expects."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    store = open_store(empty_url)
    with store._engine.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    store.close()


def test_an_empty_database_gets_its_tables_and_migrating_again_does_nothing(
    empty_url: str,
) -> None:
    """The first opening migrates; ``migrate`` says which steps it took, then none."""
    store = open_store(empty_url)
    assert store.migrate() == []
    opened = store.open_incident(Draft("incident.opened", {"title": "x"}, actor="A"))
    assert store.migrate() == []
    store.close()
    again = open_store(empty_url)
    assert list(again.entries()) == [opened]
    again.close()


def test_many_may_open_an_empty_database_at_once(empty_url: str) -> None:
    """One of them makes the tables, the others wait for it."""
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: open_store(empty_url), range(4)))
    for number, store in enumerate(stores, start=1):
        incident = store.open_incident(Draft("incident.opened", {"title": "x"}, actor="A"))
        assert incident.seq == number
        store.close()


def test_a_newer_database_is_left_alone(empty_url: str) -> None:
    """Opening and migrating are refused with what to do: upgrade imtkit."""
    store = open_store(empty_url)
    _pretend(store, "9999")
    with pytest.raises(StoreVersionError, match="newer than this imtkit") as caught:
        store.migrate()
    store.close()
    with pytest.raises(StoreVersionError, match="tables of version 9999") as caught:
        open_store(empty_url)
    assert caught.value.hint == "Upgrade imtkit."


def test_an_older_database_asks_to_be_migrated(empty_url: str) -> None:
    """It is not migrated behind people's backs; ``is_migrating`` opens it for that."""
    store = open_store(empty_url)
    _pretend(store, "0000")
    store.close()
    with pytest.raises(StoreVersionError) as caught:
        open_store(empty_url)
    assert caught.value.hint == "Run: imt store migrate"
    open_store(empty_url, is_migrating=True).close()


def test_somebody_elses_tables_are_not_touched(tmp_path: Path) -> None:
    """A database that holds an ``entries`` table of another program is refused."""
    url = f"sqlite:///{tmp_path}/other.db"
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE entries (id INTEGER)")
    with pytest.raises(StoreError, match="not imtkit's"):
        open_store(url)


@pytest.mark.parametrize("url", ["mysql://localhost/imt", "outputs/imt.db", ""])
def test_an_address_of_no_known_database_is_refused(url: str) -> None:
    """The error shows the two forms that work."""
    with pytest.raises(ConfigError) as caught:
        open_store(url)
    assert "sqlite:///" in caught.value.hint
    assert "postgresql://" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://host:port/db",
        "sqlite:///x.db?timeout=soon",
        "postgresql://[::1/x",
        "sqlite:imt.db",
    ],
)
def test_an_address_that_cannot_be_read_is_refused(url: str) -> None:
    """A port or a time-out that is no number is a fault of the configuration."""
    with pytest.raises(ConfigError, match="address"):
        open_store(url)


def test_a_database_that_is_not_there_is_said_to_be_unreachable() -> None:
    """Nobody listens at port 1: StoreError, retryable, and the password is not shown."""
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        open_store("postgresql://ann:s3cret@127.0.0.1:1/imt")
    assert caught.value.retryable
    assert "s3cret" not in str(caught.value)
