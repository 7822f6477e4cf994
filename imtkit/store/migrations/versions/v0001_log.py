"""The log, its heads, and the incidents' lists."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIMES = ("opened_at", "acknowledged_at", "mitigated_at", "resolved_at", "closed_at")


def upgrade() -> None:
    """Make the tables, and have the database itself refuse to change the log."""
    _entries()
    op.create_table(
        "heads",
        sa.Column("incident", sa.Text, primary_key=True),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    texts = ("title", "severity", "status", "mode", "category", "owner", "services", "tags")
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("year", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in texts),
        *(sa.Column(name, sa.Text) for name in _TIMES),
        sa.Column("reopened", sa.Integer, nullable=False),
        sa.UniqueConstraint("year", "number"),
    )
    op.create_index("incidents_by_status", "incidents", ["status", "year", "number"])
    for statement in _refusals(op.get_bind().dialect.name):
        op.execute(statement)


def _entries() -> None:
    seq = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    middle = ("type", "occurred_at", "zone", "recorded_at", "actor", "source", "visibility", "data")
    op.create_table(
        "entries",
        sa.Column("seq", seq, primary_key=True, autoincrement=False),
        sa.Column("incident", sa.Text, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in middle),
        sa.Column("key", sa.Text),
        sa.Column("prev", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.UniqueConstraint("incident", "n"),
    )
    has_key = sa.text("key IS NOT NULL")
    op.create_index(
        "entries_by_key",
        "entries",
        ["key"],
        unique=True,
        sqlite_where=has_key,
        postgresql_where=has_key,
    )


def _refusals(dialect: str) -> tuple[str, ...]:
    if dialect == "sqlite":
        return tuple(
            f"CREATE TRIGGER entries_no_{verb} BEFORE {verb} ON entries "
            "BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END"
            for verb in ("UPDATE", "DELETE")
        )
    return (
        "CREATE FUNCTION entries_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'entries are append-only'; END $$",
        "CREATE TRIGGER entries_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON entries "
        "FOR EACH STATEMENT EXECUTE FUNCTION entries_refuse()",
    )
