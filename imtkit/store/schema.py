"""The tables. ``entries`` is the log; the others are computed from it and can be rebuilt."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SEQ = BigInteger().with_variant(Integer, "sqlite")  # there, the row's own place: no index beside

VERSION = "0002"
"""The newest migration; a test compares it with the migrations' own head."""

metadata = MetaData()

entries = Table(
    "entries",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("incident", Text, nullable=False),
    Column("n", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("occurred_at", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("key", Text),
    Column("prev", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("incident", "n"),
)
# PostgreSQL's indexes are partial too, as the migrations make them; to say so here would have
# every command and kernel load that dialect.
_HAS_KEY = entries.c.key.is_not(None)
Index("entries_by_key", entries.c.key, unique=True, sqlite_where=_HAS_KEY)
RUN_STARTED = text("type = 'run.started'")
"""Literally so in every query that is to use the index: a value given later might be another."""
Index(
    "entries_run_started",
    entries.c.type,
    entries.c.seq,
    sqlite_where=RUN_STARTED,
)

heads = Table(
    "heads",
    metadata,
    Column("incident", Text, primary_key=True),
    Column("n", Integer, nullable=False),
    Column("hash", Text, nullable=False),
    sqlite_with_rowid=False,
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("year", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("services", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("opened_at", Text),
    Column("acknowledged_at", Text),
    Column("mitigated_at", Text),
    Column("resolved_at", Text),
    Column("closed_at", Text),
    Column("reopened", Integer, nullable=False),
    UniqueConstraint("year", "number"),
    Index("incidents_by_status", "status", "year", "number"),
)
