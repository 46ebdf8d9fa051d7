"""The metrics of this process, for Prometheus: expose ``registry``, or add its collectors to a registry of your own."""

from prometheus_client import CollectorRegistry

from holdbook.infrastructure.monitoring.prometheus import CommitsCollector, CountersCollector, LedgersCollector
from holdbook.infrastructure.telemetry.counters import COUNTERS, LEDGERS

__all__ = ["registry"]

registry = CollectorRegistry()
"""At each scrape, reads the counters of the process and every ledger that is open in it."""

registry.register(CountersCollector(COUNTERS))
registry.register(CommitsCollector(LEDGERS))
registry.register(LedgersCollector(lambda: [one.ledger for one in LEDGERS.read()]))
