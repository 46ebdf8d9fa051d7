"""The event log, in a database and in memory: rows and their chain, snapshots, search, the queue, subscriptions.

Other rooms import `recorder`, `sql_log`, `memory_log` and `mapper`; verification also `raw_rows` and `snapshots`, and
monitoring `sql_queue`.
"""
