"""Reach a database: engines, transactions, tables, on SQLite and PostgreSQL."""
