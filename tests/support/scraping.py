"""What a scrape tells, read by Prometheus's own parsers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

from prometheus_client import parser
from prometheus_client.openmetrics import exposition
from prometheus_client.openmetrics import parser as openmetrics_parser

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
ANSWER_SECONDS_MAX = 120.0


class Scrape:
    """The samples of one scrape."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = {family.name: family for family in families}
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def value(self, name: str, /, **labels: str) -> float | None:
        """Read the sample that has these labels, and no other; None if there is none."""
        return self._samples.get((name, frozenset(labels.items())))

    def all(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Read every sample of a name, by the values of labels."""
        found = ((dict(given), value) for (other, given), value in self._samples.items() if other == name)
        return {tuple(given[label] for label in labels): value for given, value in found}


def collect(registry: CollectorRegistry) -> Scrape:
    """Scrape a registry in the format of OpenMetrics, read as strictly as its parser does."""
    text = exposition.generate_latest(registry).decode()  # type: ignore[no-untyped-call]  # the library's own
    return Scrape(openmetrics_parser.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]  # as above


def fetch(url: str, accept: str = "text/plain") -> Scrape:
    """Scrape an address, in the format that is asked for."""
    with urlopen(Request(url, headers={"Accept": accept}), timeout=ANSWER_SECONDS_MAX) as answer:  # noqa: S310 - ours
        kind, text = answer.headers["Content-Type"], answer.read().decode()
    if accept == OPENMETRICS:
        assert kind.startswith("application/openmetrics-text"), kind
        return Scrape(openmetrics_parser.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]  # as above
    assert kind.startswith("text/plain"), kind
    return Scrape(parser.text_string_to_metric_families(text))
