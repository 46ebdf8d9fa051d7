"""Dry runs over the log: what cannot be read, and on what handlers fail, is listed, and nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger
from holdbook.infrastructure.views import dry_run as rehearsal
from holdbook.infrastructure.views.dry_run import rehearse
from holdbook.projections.views.catalogue import VIEWS
from holdbook.projections.views.current_allocations import CURRENT_ALLOCATIONS
from holdbook.projections.views.metrics import METRICS
from support.cli import Holdbook
from support.logs import query
from support.projecting import contents, failing, head_of, log_of, run_made_up
from support.tampering import tampering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.logs import Row


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger with a log of some length, its views halfway."""
    with Ledger.open(database_url) as ledger:
        run_made_up(ledger, 60)
        ledger.projector().catch_up()
        run_made_up(ledger, 120)
        yield ledger


def everything(url: str) -> list[object]:
    """Read all that a dry run might write."""
    books: list[Row] = query(url, "SELECT * FROM generations ORDER BY view, generation")
    return [contents(url), books, query(url, "SELECT count(*) FROM skipped_events")]


def positions(ledger: Ledger, kind: str) -> list[int]:
    """List the positions of events of a type."""
    return [row.position for row in ledger.log.rows(limit=10_000) if row.type == kind]


def test_nothing_is_wrong(ledger: Ledger, database_url: str) -> None:
    """Over a log that can be read, nothing is listed, progress is told to the end, and nothing is written."""
    before, told = everything(database_url), []
    assert list(rehearse(log_of(ledger), VIEWS, lambda done, total: told.append((done, total)))) == []
    assert told[-1] == (head_of(ledger),) * 2
    assert everything(database_url) == before


def test_handlers_that_fail(ledger: Ledger, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure of each view is listed in the order of the log, with position, type and what went wrong."""
    monkeypatch.setattr(rehearsal, "PAGE_EVENTS", 20)
    before = everything(database_url)
    bad = positions(ledger, "ValidationFailed")[:3]
    views = (failing(METRICS, bad), CURRENT_ALLOCATIONS)
    found = list(rehearse(log_of(ledger), views))
    assert [(one.position, one.type, one.view) for one in found] == [
        (position, "ValidationFailed", "metrics") for position in bad
    ]
    assert found[0].error == f"view metrics failed on ValidationFailed at position {bad[0]}: ValueError: planted"
    assert everything(database_url) == before


def test_events_that_cannot_be_read(ledger: Ledger, database_url: str) -> None:
    """Events of unknown types or versions, or whose data are none, are listed; views are not blamed for them."""
    first, second, third = positions(ledger, "ValidationFailed")[:3]
    with tampering(database_url) as tamperer:
        tamperer.set(first, type="Borrowed")
        tamperer.set(second, schema_version=99)
        tamperer.set(third, data="[]")
    found = list(rehearse(log_of(ledger), VIEWS))
    assert [(one.position, one.type, one.view) for one in found] == [
        (first, "Borrowed", None),
        (second, "ValidationFailed", None),
        (third, "ValidationFailed", None),
    ]
    assert "Borrowed" in found[0].error
    assert "99" in found[1].error


def test_at_the_command_line(ledger: Ledger, database_url: str) -> None:
    """`rebuild --dry-run` and `events check` list failures by position and by type, and tell by their exit code."""
    holdbook = Holdbook(database_url)
    assert holdbook.json("events", "check") == {"ok": True, "failures": []}
    assert "every event can be read" in holdbook("events", "check").out
    before = everything(database_url)
    said = holdbook("projections", "rebuild", "--all", "--dry-run").out
    assert "can be built from it" in said.replace("\n", " ")
    assert everything(database_url) == before
    first, second = positions(ledger, "ValidationFailed")[:2]
    with tampering(database_url) as tamperer:
        tamperer.set(first, type="Borrowed")
        tamperer.set(second, schema_version=99)
    document = holdbook.json("events", "check", code=1)
    assert document["ok"] is False
    assert [(one["position"], one["type"], one["view"]) for one in document["failures"]] == [
        (first, "Borrowed", None),
        (second, "ValidationFailed", None),
    ]
    shown = holdbook("projections", "rebuild", "metrics", "--dry-run", code=1).out
    assert f"position {first}, Borrowed: " in shown
    assert "Borrowed: 1 failure" in shown
    assert "ValidationFailed: 1 failure" in shown
    assert everything(database_url) == before
