"""The schema's migrations, for Alembic: a part of the package, so that `holdbook db upgrade` finds them.

No other room imports it but `holdbook.infrastructure.schema.upgrade`, which has Alembic run them.
"""
