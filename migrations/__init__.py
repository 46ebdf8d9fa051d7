"""Alembic's migrations, packaged so that `bursar db upgrade` works from the installed wheel."""
