"""Alembic's migrations, packaged so that `holdbook db upgrade` works from the installed wheel."""
