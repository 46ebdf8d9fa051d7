"""JSON shapes: each function gives a result of the product as values that JSON has.

Times are text as in the log, such as ``2026-01-31T14:03:00.000000Z``; tokens are text, ``epoch:position``. Every face
imports the module of its subject: `ledger`, `history`, `integrity`, `operation`, `reports` or `simulation`.
"""
