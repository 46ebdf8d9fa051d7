"""Decide again: what would have been under other limits, and why a request is refused."""
