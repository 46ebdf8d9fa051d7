"""Answers from published views: each true at the position that it carries, from one generation, whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger, LogUnavailable, Refused
from holdbook.infrastructure.views.queries import Published
from holdbook.projections.views.metrics import LASTED, METRICS
from support.logs import execute, query
from support.projecting import head_of, keeper, with_columns
from support.story import Clock, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 36
"""Events that the story leaves."""


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger in which everything has happened, its views up to date."""
    clock = Clock()
    with Ledger.open(database_url, clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
        ledger.projector().catch_up()
        yield ledger


def refuse(ledger: Ledger, times: int = 1) -> None:
    """Have so many commands refused."""
    for _ in range(times):
        with pytest.raises(Refused):
            ledger.release("nobody")


def test_they_carry_their_position(ledger: Ledger) -> None:
    """An answer is true at the position of its view, not of the log."""
    published = Published(ledger)
    assert published.metrics().position == published.failures({}).position == published.usage("cpu")[0].position == ROWS
    before = list(published.metrics().rows)
    refuse(ledger)
    assert (published.metrics().position, list(published.metrics().rows)) == (ROWS, before)
    ledger.projector().catch_up()
    assert published.metrics().position == ROWS + 1
    assert sum(row["count"] for row in published.metrics().rows) == ROWS + 1


def test_of_two_views_it_is_what_both_have_seen(ledger: Ledger) -> None:
    """Use of a pool is read from two views at one moment: true at the position of the one that is behind."""
    refuse(ledger)
    views = {view.name: view for view in ledger.projector().views.values()}
    keeper(ledger, views["pool_usage"]).catch_up()
    usage, _ = Published(ledger).usage("cpu")
    assert usage.position == ROWS


def test_one_generation(ledger: Ledger, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is read page by page comes from one generation, whatever is published meanwhile."""
    monkeypatch.setattr("holdbook.infrastructure.views.queries.PAGE_ROWS", 2)
    refuse(ledger, 4)
    ledger.projector().catch_up()
    answer = Published(ledger).failures({})
    rows = iter(answer.rows)
    first = next(rows)
    ledger.projector().rebuild("validation_failures")
    execute(database_url, "UPDATE gen_validation_failures_2 SET code = 'other'")
    refuse(ledger)
    ledger.projector().catch_up()
    found = [first, *rows]
    assert len(found) == 3 + 4
    assert "other" not in {row["code"] for row in found}
    assert [row["position"] for row in found] == sorted({row["position"] for row in found})
    assert max(row["position"] for row in found) <= answer.position == ROWS + 4
    assert len(list(Published(ledger).failures({}).rows)) == 3 + 5
    assert query(database_url, "SELECT DISTINCT code FROM validation_failures WHERE position <= 36") == [("other",)]


def test_without_views(ledger: Ledger, database_url: str) -> None:
    """Where a view is missing, its name and the way out are said; the others answer. In memory there are none."""
    execute(database_url, "DROP VIEW metrics", "DELETE FROM generations WHERE view = 'metrics'")
    with pytest.raises(LogUnavailable, match=r"does not have the view metrics: run `holdbook db upgrade`"):
        Published(ledger).metrics()
    assert Published(ledger).usage("cpu")[0].position == ROWS
    with Ledger.in_memory() as other, pytest.raises(LogUnavailable, match="in memory"):
        Published(other)


def test_of_a_generation_without_a_column(ledger: Ledger) -> None:
    """What was built before there was a histogram is read without one."""
    columns = {name: kind for name, kind in METRICS.published.columns.items() if name not in {*LASTED, "milliseconds"}}
    assert "le_1h" in next(iter(Published(ledger).metrics().rows))
    [built] = keeper(ledger, with_columns(METRICS, columns)).rebuild()
    assert built.published
    answer = Published(ledger).metrics(by_pool=True)
    assert set(next(iter(answer.rows))) == {"resource_type", "pool", "operation", "outcome", "code", "count"}
    assert sum(row["count"] for row in answer.rows) == answer.position == head_of(ledger)
