"""Leases: allocations that are kept alive while their holder lives, and the sweeper of those that lapsed."""
