"""The metrics: names as the conventions have them, and what is described is what is exposed."""

from __future__ import annotations

import re

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from holdbook.infrastructure.monitoring.catalogue import DATABASE, PROCESS, PROGRAM, Metric
from holdbook.metrics import registry

METRICS = (*PROGRAM, *PROCESS, *DATABASE)
BASE_UNITS = {"seconds", "bytes", "ratio", "meters", "volts", "amperes", "joules", "grams", "celsius"}
OTHER_UNITS = {
    *("milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "days", "ms", "us", "sec", "secs", "min"),
    *("kilobytes", "megabytes", "kb", "mb", "percent", "pct", "msec"),
}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    """What `promtool check metrics` asks for: small letters, base units at the end, no kind in the name, help."""
    words = metric.name.split("_")
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", metric.name)
    assert not {*words} & {"total", "count", "sum", "bucket", "info", "gauge", "counter", "histogram"}
    assert not {*words} & OTHER_UNITS
    assert not {*words[:-1]} & BASE_UNITS
    assert metric.name.startswith("holdbook_") or metric in PROGRAM
    assert re.fullmatch(r"[A-Z1].+[^.]\.", metric.help)
    assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)
    assert metric.family().unit == ("seconds" if words[-1] == "seconds" else "")


def test_counters_end_in_total_and_nothing_else_does() -> None:
    """On the wire a counter is called `…_total`, an info `…_info`; what is described is what is exposed."""
    text = generate_latest(registry).decode()
    kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
    for metric in METRICS:
        if metric.kind == "info":
            assert kinds[f"{metric.name}_info"] == "gauge"  # the older format has no infos
        else:
            assert kinds[metric.name] == metric.kind
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert (f"# TYPE {metric.name}_total counter" in text) == (metric.kind == "counter")
