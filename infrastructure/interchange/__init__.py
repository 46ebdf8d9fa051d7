"""Interchange: files that go into a ledger and come out of it, as JSON Lines.

Other rooms import `workload`, `export`, `old_form`, `adoption` and `rollback`.
"""
