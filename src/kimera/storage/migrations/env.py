"""Alembic's entry: runs the revisions on the connection that `upgrade` hands over."""

from __future__ import annotations

from alembic import context

from kimera.storage.schema import metadata, revision_table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=revision_table.name,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
