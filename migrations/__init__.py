"""The schema's migrations, for Alembic: a part of the package, so that `holdbook db upgrade` finds them.

Only `holdbook.infrastructure.schema.upgrade` uses them.
"""
