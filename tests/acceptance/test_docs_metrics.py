"""What is documented of metrics and spans, and what the dashboard asks for, is what there is."""

from __future__ import annotations

import json
import re
from inspect import getsource
from typing import TYPE_CHECKING, Any

from holdbook.domain.refusals import RefusalCode
from holdbook.infrastructure.monitoring.catalogue import DATABASE, PROCESS, PROGRAM, Metric
from holdbook.infrastructure.telemetry import tracing
from support.documents import ROOT, Page, first_cells

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = Page(ROOT / "docs" / "reference" / "metrics.md")
HOW_TO = Page(ROOT / "docs" / "how-to" / "watch-a-ledger.md")
DASHBOARD = ROOT / "docs" / "grafana" / "holdbook.json"

METRICS = {metric.name: metric for metric in (*PROGRAM, *PROCESS, *DATABASE)}
SUFFIXES = {"counter": ("_total",), "info": ("_info",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}

LABELS_OF_INFOS = {
    "holdbook_ledger": ("ledger", "database", "version"),
    "holdbook_pool": ("ledger", "pool", "resource_type"),
}
LABELS_OF_COUNTERS = {
    "resource_allocations": ("resource_type", "success"),
    "resource_releases": ("resource_type", "success"),
    "resource_operations": ("operation", "resource_type", "success"),
}
SCRAPED = {"instance", "job", "le"}
"""Labels that Prometheus adds, and that of a histogram's buckets."""


def labels_of(metric: Metric) -> tuple[str, ...]:
    """Name a metric's labels; those of infos and counters are given with their samples."""
    return metric.labels or {**LABELS_OF_INFOS, **LABELS_OF_COUNTERS}[metric.name]


SAMPLES = {f"{name}{suffix}": metric for name, metric in METRICS.items() for suffix in SUFFIXES[metric.kind]}
"""Each metric by every name that its samples have."""


def test_metrics_are_all_there() -> None:
    """The page lists each metric by the name that Prometheus shows, with its kind and its labels."""
    for heading, metrics in [
        ("Counted by programs", PROGRAM),
        ("Of the process", PROCESS),
        ("Of the database", DATABASE),
    ]:
        listed = [(row[0].strip("`"), row[1], re.findall(r"`(\w+)`", row[2])) for row in REFERENCE.tables[heading]]
        there = [
            (one.name + {"counter": "_total", "info": "_info"}.get(one.kind, ""), one.kind, list(labels_of(one)))
            for one in metrics
        ]
        assert listed == there


def test_spans_are_all_there_with_their_attributes() -> None:
    """The page lists every attribute that a span may have, and every kind of span."""
    source = getsource(tracing)
    rows = REFERENCE.tables["Spans"]
    attributes = [name for name in first_cells(rows) if name.startswith(("holdbook.", "error."))]
    assert sorted(attributes) == sorted(set(re.findall(r'"((?:holdbook|error)\.[a-z.]+)"', source)))
    for prefix in set(re.findall(r'"holdbook ([a-z]*)', source)) - {""}:
        assert any(row[0].startswith(f"`holdbook {prefix}") for row in rows), prefix


def expressions() -> Iterator[tuple[str, str]]:
    """List every query of the dashboard, with the title of its panel."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def check_query(query: str) -> set[str]:
    """Check that a query is about metrics that there are, by labels that they have; give their names."""
    plain = re.sub(r'"[^"]*"', '""', query)
    assert [plain.count(mark) for mark in "([{"] == [plain.count(mark) for mark in ")]}"], query
    groups = {label for group in re.findall(r"\bby \(([^)]*)\)", plain) for label in group.split(", ")}
    selectors = re.findall(r"\b((?:holdbook|resource)_\w+)(?:\{([^}]*)\})?", re.sub(r"\bby \([^)]*\)", "", plain))
    found = {name for name, _ in selectors}
    assert found, query
    for name, matchers in selectors:
        assert name in SAMPLES, f"{name} in {query}"
        known = {*labels_of(SAMPLES[name]), *SCRAPED}
        assert {*re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers)} <= known, query
        assert groups <= known, query
    return {SAMPLES[name].name for name in found}


def test_the_dashboard_asks_for_what_there_is() -> None:
    """Every query is about metrics and labels that are exposed, and every metric has a panel."""
    shown = {name for _, query in expressions() for name in check_query(query)}
    assert shown == METRICS.keys()


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """It is of the present schema; panels have ids of their own, a kind, a place in 24 columns, and its data source."""
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    assert board["schemaVersion"] >= 39
    assert (board["title"], board["uid"]) == ("Holdbook", "holdbook-ledger")
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    assert {"ledger", "pool"} < variables.keys()
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["type"] in {"row", "stat", "table", "timeseries"}
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(x + place["x"], y + place["y"]) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_alerts_are_about_what_there_is() -> None:
    """Every metric, label and code in the how-to is one that there is, and every alert is explained."""
    text = "\n".join(block.text for block in HOW_TO.blocks if block.language == "text")
    queries = re.findall(r"^\s*expr: (.+)$", text, re.MULTILINE)
    assert len(queries) >= 8
    for query in queries:
        check_query(query)
    codes = {code for group in re.findall(r'code=~?"([^"]*)"', "\n".join(queries)) for code in group.split("|")}
    assert codes <= set(RefusalCode)
    explained = {name for row in HOW_TO.tables["Alerts"] for name in re.findall(r"`(\w+)`", row[0])}
    assert explained == set(re.findall(r"alert: (\w+)", text))
