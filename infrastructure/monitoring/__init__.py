"""Monitoring: the metrics of a process and of its ledgers' databases, in the form that Prometheus reads.

Other rooms import `prometheus`.
"""
