"""The event log: in SQL and in memory, with its snapshots, its search and its queue."""
