"""Alembic's entry: it runs on the connection it is handed, in that connection's transaction."""

from alembic import context

from imtkit.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction holds all of it
)
context.run_migrations()
