"""Reading the log again: verify it, prove it, ask what was true, decide again, report.

Other rooms import from its five rooms: `verification`, `evidence`, `history`, `simulation` and `reports`.
"""
