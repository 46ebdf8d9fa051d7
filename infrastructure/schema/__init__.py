"""The schema's revision: which one a database is at, and upgrading it."""
