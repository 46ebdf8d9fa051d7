"""Leases: allocations that are renewed for as long as their holder lives, and the sweeper that records expiries.

Other rooms import `held`, `lease`, `renewals` and `sweeper`.
"""
