"""The asyncio manager of real things: acquire, release and reconcile what the ledger grants."""
