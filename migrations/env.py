"""Alembic's environment. `schema.upgrade` passes a connection whose transaction holds the log's lock."""

from __future__ import annotations

from alembic import context

from holdbook.infrastructure.database.tables import metadata
from holdbook.infrastructure.schema.revision import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
