"""The metrics that Prometheus reads: each with its name, its kind, its help and its labels.

Names follow the conventions of OpenMetrics and Prometheus: base units, written out, at the end of a name; ``_total``
after a counter. Quantities of a pool are in its own unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

from holdbook.infrastructure.telemetry.counters import COUNTED

_FAMILIES: Final[dict[str, type[Any]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
}
"""The class of prometheus_client for each kind of metric."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its name, its kind, its help and the names of its labels."""

    name: str
    """Without the ending that its kind adds, such as ``_total``."""
    kind: str
    """``counter``, ``gauge``, ``histogram`` or ``info``."""
    help: str
    """One sentence, shown by Prometheus."""
    labels: tuple[str, ...] = ()
    """Empty for infos and for the counters of programs, whose labels come with each sample."""

    def family(self) -> Any:  # noqa: ANN401 - its class depends on the kind
        """Make the object of prometheus_client that collects the metric's samples, without any."""
        unit = "seconds" if self.name.endswith("_seconds") else ""
        more = {"unit": unit} if unit and self.kind != "info" else {}
        return _FAMILIES[self.kind](self.name, self.help, labels=self.labels, **more)


PROGRAM: Final = tuple(Metric(name, "counter", described) for name, described in COUNTED.items())
"""What programs and resource managers count. Names and labels are those that they count by."""

_LEDGER: Final = ("ledger",)
_POOL: Final = ("ledger", "pool")
_VIEW: Final = ("ledger", "view")

PROCESS: Final = (
    Metric("holdbook_commit_duration_seconds", "histogram", "How long transactions of this process took.", _LEDGER),
    Metric("holdbook_commit_commands", "histogram", "Commands decided in one transaction of this process.", _LEDGER),
    Metric("holdbook_commit_events", "counter", "Events that this process recorded.", _LEDGER),
    Metric("holdbook_commit_failures", "counter", "Batches of commands that this process could not commit.", _LEDGER),
    Metric("holdbook_commands_waiting", "gauge", "Commands that wait in this process for their commit.", _LEDGER),
    Metric("holdbook_commands_committing", "gauge", "Commands that this process is committing.", _LEDGER),
)
"""What the ledgers that are open in a process do."""

DATABASE: Final = (
    Metric("holdbook_up", "gauge", "1 if the ledger's database could be read, else 0.", _LEDGER),
    Metric("holdbook_ledger", "info", "The ledger's database, and the version of Holdbook that reads it."),
    Metric("holdbook_log_events", "counter", "Events in the log: the position of its last one.", _LEDGER),
    Metric("holdbook_pool", "info", "What a pool is a pool of."),
    Metric("holdbook_pool_capacity", "gauge", "What may be held of a pool, in its unit.", _POOL),
    Metric("holdbook_pool_used", "gauge", "What is held of a pool, in its unit, less what has lapsed.", _POOL),
    Metric("holdbook_pool_free", "gauge", "What can still be granted of a pool, in its unit.", _POOL),
    Metric("holdbook_pool_closed", "gauge", "1 if a pool is closed, else 0.", _POOL),
    Metric("holdbook_pool_allocations", "gauge", "Allocations that hold something of a pool.", _POOL),
    Metric(
        "holdbook_pool_allocations_lapsed",
        "gauge",
        "Allocations past their deadline whose expiry is not recorded yet.",
        _POOL,
    ),
    Metric(
        "holdbook_pool_oldest_allocation_age_seconds",
        "gauge",
        "How long ago the oldest allocation that holds something of a pool was granted.",
        _POOL,
    ),
    Metric("holdbook_pool_queue_commands", "gauge", "Commands in the queue that ask for something of a pool.", _POOL),
    Metric(
        "holdbook_pool_queue_age_seconds",
        "gauge",
        "How long the first command in the queue of a pool has waited.",
        _POOL,
    ),
    Metric("holdbook_operations", "counter", "What was done in a pool, by operation.", (*_POOL, "operation")),
    Metric(
        "holdbook_refusals",
        "counter",
        "What was refused by a pool, by operation and code.",
        (*_POOL, "operation", "code"),
    ),
    Metric(
        "holdbook_hold_duration_seconds",
        "histogram",
        "How long holds had lasted when they were confirmed, released, voided or expired.",
        (*_POOL, "operation"),
    ),
    Metric("holdbook_view_lag_events", "gauge", "Events of the log that a view has not seen.", _VIEW),
    Metric(
        "holdbook_view_lag_seconds", "gauge", "How long ago the first event that a view misses was recorded.", _VIEW
    ),
    Metric("holdbook_view_stopped", "gauge", "1 if a view failed on an event and stands still, else 0.", _VIEW),
    Metric("holdbook_view_outdated", "gauge", "1 if other code built a view, so that it stands still, else 0.", _VIEW),
)
"""What the database of a ledger holds."""
