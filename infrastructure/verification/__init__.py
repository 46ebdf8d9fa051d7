"""Verify a ledger: its log, and its views in a process of their own."""
