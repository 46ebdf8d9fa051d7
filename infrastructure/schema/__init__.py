"""The database's schema: which revision it is at, and how to reach another.

Other rooms import `revision` and `upgrade`; the latter imports Alembic, which takes long.
"""
