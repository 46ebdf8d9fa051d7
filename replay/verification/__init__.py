"""Verification: check every promise on the rows of a log. Pure; the rows are read through ports.

Other rooms import `verifier`, `findings`, `view_check`, `seal_check` and `raw_log`.
"""
