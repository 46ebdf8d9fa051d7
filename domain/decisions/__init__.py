"""Decisions: pure functions from the state of pools and a command to the events to record; no log and no clock.

Other rooms import `decide` and `context`.
"""
