"""The manager of real things for asyncio: acquire, release and reconcile what the ledger grants.

The package's public face imports `manager`, `monitor`, `old_managers`, `providers` and `reconciliation`; other rooms
import nothing.
"""
