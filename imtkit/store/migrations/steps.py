"""Runs the migrations, and tells which there are."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def newest() -> str:
    """The version that the newest migration leads to."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def upgrade(connection: sa.Connection) -> list[str]:
    """Take every step that is missing, in the caller's transaction; the versions reached."""
    from alembic.runtime.migration import MigrationContext

    before = MigrationContext.configure(connection).get_current_revision()
    command.upgrade(_config(connection), "head")
    script = ScriptDirectory.from_config(_config())
    steps = script.iterate_revisions("head", before or "base")
    return [step.revision for step in reversed(list(steps))]
