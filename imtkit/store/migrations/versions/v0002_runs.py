"""The beginnings of runs are found without reading the whole log."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    begins = sa.text("type = 'run.started'")
    op.create_index(
        "entries_run_started",
        "entries",
        ["type", "seq"],
        sqlite_where=begins,
        postgresql_where=begins,
    )
