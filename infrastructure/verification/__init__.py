"""Verify a ledger in a database: its log, snapshots and seals, and its views in a process of their own.

Other rooms import `verify_ledger`, `start`, and `fold_check` for rebuilds.
"""
