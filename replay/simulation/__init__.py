"""Deciding commands again: what would have happened under other limits, and why a request is refused.

Other rooms import `what_if` with `outcomes` and `limit_changes`, `explanation`, and `Peak` from `world`.
"""
