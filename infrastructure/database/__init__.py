"""Database access on SQLite and PostgreSQL: connections, transactions, tables.

Other rooms import `database` and `tables`, and `transaction` for its types.
"""
