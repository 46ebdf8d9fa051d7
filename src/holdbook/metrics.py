"""What this process tells Prometheus: expose ``holdbook.metrics.registry``, or add its collectors to your own."""

from prometheus_client import CollectorRegistry

from holdbook.infrastructure.monitoring.prometheus import CommitsCollector, CountersCollector, LedgersCollector
from holdbook.infrastructure.telemetry.counters import COUNTERS, LEDGERS

__all__ = ["registry"]

registry = CollectorRegistry()
"""Collects the counters of the process, and every ledger that it has open, each time it is scraped."""

registry.register(CountersCollector(COUNTERS))
registry.register(CommitsCollector(LEDGERS))
registry.register(LedgersCollector(lambda: [one.ledger for one in LEDGERS.read()]))
