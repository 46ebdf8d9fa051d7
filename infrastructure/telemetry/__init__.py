"""Telemetry: what a process reports of itself, as log lines without secrets, counters and spans.

Other rooms import all of its modules: `context`, `counters`, `logging`, `masking` and `tracing`.
"""
