"""Collectors of prometheus_client: for a process's counters, its ledgers' commits, and what their databases hold."""

from __future__ import annotations

import re
from collections import Counter
from importlib.metadata import version
from math import inf
from typing import TYPE_CHECKING, Any

from prometheus_client.registry import Collector

from holdbook.domain.errors import HoldbookError
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.monitoring.catalogue import DATABASE, PROCESS, PROGRAM
from holdbook.infrastructure.monitoring.readings import read_ledger
from holdbook.infrastructure.telemetry.counters import COUNTED
from holdbook.infrastructure.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from prometheus_client.metrics_core import Metric as MetricFamily

    from holdbook.domain.ports import Clock
    from holdbook.infrastructure.monitoring.catalogue import Metric
    from holdbook.infrastructure.monitoring.readings import OperationReading, Reading
    from holdbook.infrastructure.telemetry.counters import (
        Counters,
        Distribution,
        MeasuredLedger,
        OpenLedgers,
        WatchedLedger,
    )

logger = get_logger()


class _Families:
    """The metrics of one scrape, each with its samples, by name."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._families = {metric.name: metric.family() for metric in metrics}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - its class depends on the kind of the metric
        return self._families[name]

    def __iter__(self) -> Iterator[MetricFamily]:
        return iter(self._families.values())

    def add(self, labels: Sequence[str], **values: float | None) -> None:
        """Add one sample to each of several gauges and counters, named without ``holdbook_``; None adds none."""
        for name, value in values.items():
            if value is not None:
                self._families[f"holdbook_{name}"].add_metric(labels, value)


class CountersCollector(Collector):
    """Exposes the counters of a process."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def describe(self) -> Iterable[MetricFamily]:
        """Give the metrics without samples."""
        return _Families(PROGRAM)

    def collect(self) -> Iterable[MetricFamily]:
        """Read the counters."""
        families = _Families(PROGRAM)
        totals: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        for name, labels, value in self._counters.read():
            if name in COUNTED:
                totals[name, tuple((label_name(key), text) for key, text in labels.items())] += value
        for (name, labelled), total in totals.items():
            families[name].add_sample(f"{name}_total", dict(labelled), total)
        return families


def label_name(text: str) -> str:
    """Make a name that Prometheus allows for a label out of any name that a program counts by."""
    name = re.sub(r"[^a-zA-Z0-9_]", "_", text)
    return f"label_{name}" if re.match(r"[0-9]|__|$", name) else name


class CommitsCollector(Collector):
    """Exposes what the ledgers that are open in a process do."""

    def __init__(self, ledgers: OpenLedgers[MeasuredLedger]) -> None:
        self._ledgers = ledgers

    def describe(self) -> Iterable[MetricFamily]:
        """Give the metrics without samples."""
        return _Families(PROCESS)

    def collect(self) -> Iterable[MetricFamily]:
        """Read each ledger; if one was opened more than once, add up what its objects have done."""
        families = _Families(PROCESS)
        found: dict[str, list[WatchedLedger[MeasuredLedger]]] = {}
        for watched in self._ledgers.read():
            found.setdefault(watched.ledger.log.ledger_id, []).append(watched)
        for name, several in found.items():
            _add_process(families, name, several)
        return families


class LedgersCollector(Collector):
    """Exposes what the databases of ledgers hold. ``ledgers`` is called at each scrape."""

    def __init__(self, ledgers: Callable[[], Iterable[MeasuredLedger]], *, clock: Clock = system_clock) -> None:
        self._ledgers = ledgers
        self._clock = clock

    def describe(self) -> Iterable[MetricFamily]:
        """Give the metrics without samples."""
        return _Families(DATABASE)

    def collect(self) -> Iterable[MetricFamily]:
        """Read each ledger once, even if it was opened more than once."""
        families = _Families(DATABASE)
        for name, ledger in {one.log.ledger_id: one for one in self._ledgers()}.items():
            self._add_database(families, name, ledger)
        return families

    def _add_database(self, families: _Families, name: str, ledger: MeasuredLedger) -> None:
        """Read a ledger and add what it holds; if its database cannot be read, add only that it is not up."""
        log = ledger.log
        address = log.database.name if isinstance(log, SQLEventLog) else "memory"
        about = {"ledger": name, "database": address, "version": version("holdbook")}
        families["holdbook_ledger"].add_metric((), about)
        now = self._clock()
        try:
            reading = read_ledger(ledger, now)
        except HoldbookError as error:
            logger.warning("scrape_failed", ledger=name, error=str(error))
            families.add([name], up=0)
            return
        families.add([name], up=1, log_events=reading.head)
        _add_pools(families, name, reading, now)
        for one in reading.operations:
            _add_operation(families, name, one)
        for view in reading.views:
            families.add(
                [name, view.name],
                view_lag_events=view.behind,
                view_lag_seconds=view.behind_seconds,
                view_stopped=view.stopped,
                view_outdated=view.outdated,
            )


def _add_process(families: _Families, name: str, watched: Sequence[WatchedLedger[MeasuredLedger]]) -> None:
    """Add up what the objects of one ledger in this process have done."""
    commits = [one.commits for one in watched]
    _add_distribution(families["holdbook_commit_duration_seconds"], [name], [one.seconds.read() for one in commits])
    _add_distribution(families["holdbook_commit_commands"], [name], [one.commands.read() for one in commits])
    families.add(
        [name],
        commit_events=sum(one.events for one in commits),
        commit_failures=sum(one.failures for one in commits),
        commands_waiting=sum(one.committer.waiting for one in watched),
        commands_committing=sum(one.committer.committing for one in watched),
    )


def _add_distribution(family: Any, labels: Sequence[str], found: Sequence[Distribution]) -> None:  # noqa: ANN401 - a family of histograms
    first, *others = found
    for other in others:
        first = first.plus(other)
    family.add_metric(labels, [(_bound(bound), count) for bound, count in first.buckets], first.sum)


def _bound(bound: float) -> str:
    """Write a bucket's upper bound as Prometheus does."""
    return "+Inf" if bound == inf else repr(float(bound))


def _add_pools(families: _Families, name: str, reading: Reading, now: datetime) -> None:
    for one in reading.pools:
        if one.closed and not one.allocations:
            continue  # it is over, and no other pool will have its name
        families["holdbook_pool"].add_metric((), {"ledger": name, "pool": one.name, "resource_type": one.resource_type})
        families.add(
            [name, one.name],
            pool_capacity=one.capacity,
            pool_used=one.used,
            pool_free=one.free,
            pool_closed=one.closed,
            pool_allocations=one.allocations,
            pool_allocations_lapsed=one.lapsed,
            pool_oldest_allocation_age_seconds=_age(one.oldest, now),
            pool_queue_commands=one.waiting,
            pool_queue_age_seconds=_age(one.waiting_since, now),
        )


def _age(since: datetime | None, now: datetime) -> float | None:
    """Give the seconds since a moment, at least 0; None if there is no such moment."""
    return None if since is None else max((now - since).total_seconds(), 0.0)


def _add_operation(families: _Families, name: str, one: OperationReading) -> None:
    if one.code:
        families["holdbook_refusals"].add_metric([name, one.pool, one.operation, one.code], one.count)
        return
    labels = [name, one.pool, one.operation]
    families["holdbook_operations"].add_metric(labels, one.count)
    if one.seconds is not None:
        buckets = [(_bound(bound), count) for bound, count in (*one.lasted, (inf, one.count))]
        families["holdbook_hold_duration_seconds"].add_metric(labels, buckets, one.seconds)
