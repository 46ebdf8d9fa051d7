"""The past: the ledger's state as of a position or a moment, and what happened to an allocation step by step.

Other rooms import `as_of` and `stories`; `pages` serves the other rooms of `replay`.
"""
