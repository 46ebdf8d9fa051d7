"""Views that are not where a worker takes them to be, or not made as it takes them to be made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from eventsourcing.persistence import StoredEvent

from holdbook import Ledger, LogCorrupt
from holdbook.projections.views.allocation_history import ALLOCATION_HISTORY
from support.logs import execute, query
from support.projecting import NAMES, check_right, handled_by, keeper, log_of, status_of
from support.story import Clock, tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdbook.projections.definition import Find, Handler, ViewEvent

HEAD = 36
"""Events that the story leaves."""

FIRST = 4
"""Position of the first event about an allocation."""


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger in which everything has happened, nobody having looked after its views."""
    clock = Clock()
    with Ledger.open(database_url, clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
        yield ledger


def test_overtaken_while_it_looks_for_the_fault(ledger: Ledger, database_url: str) -> None:
    """A worker whose handler fails, and that another one overtakes before it can say so, stops nothing and goes on.

    What was left of its batch is not written after what the other one has written.
    """
    failures = 0

    def around(handler: Handler) -> Handler:
        def handled(fact: ViewEvent, find: Find) -> Sequence[Any]:
            nonlocal failures
            if fact.position == FIRST and failures < 3:
                failures += 1
                if failures == 3:  # its command is alone by now: that is where the view would stop
                    ledger.projector().catch_up()
                raise ValueError
            return handler(fact, find)

        return handled

    keeper(ledger, handled_by(ALLOCATION_HISTORY, around), batch_events=7).catch_up()
    assert failures == 3
    status = status_of(ledger, "allocation_history")
    assert (status.position, status.stopped_at, status.error) == (HEAD, None, None)
    check_right(ledger, database_url, names=NAMES)


def test_ahead_of_the_log(ledger: Ledger, database_url: str) -> None:
    """A view that says it is past the log's end is not met there by a rebuild, which says so and publishes nothing."""
    ledger.projector().catch_up()
    execute(database_url, "UPDATE generations SET position = 99 WHERE view = 'metrics'")
    with pytest.raises(LogCorrupt, match="the log has no event after position 36, and a view wants to go to 99"):
        ledger.projector().rebuild("metrics")
    assert query(database_url, "SELECT state FROM generations WHERE view = 'metrics' ORDER BY generation") == [
        ("live",),
        ("building",),
    ]


def test_another_key(ledger: Ledger, database_url: str) -> None:
    """Rows that are told apart by other columns than before are compared with the fold of the log alone."""
    ledger.projector().catch_up()
    table = replace(ALLOCATION_HISTORY.published, key=("position", "allocation_id"))
    (built,) = keeper(ledger, replace(ALLOCATION_HISTORY, tables=(table,))).rebuild()
    assert (built.published, built.compared_at, built.compared_rows, built.faults) == (True, HEAD, 0, ())
    old, new = (query(database_url, f"SELECT * FROM gen_allocation_history_{number}") for number in (1, 2))  # noqa: S608 - own names
    assert sorted(old) == sorted(new)


@pytest.mark.parametrize(
    ("kind", "state", "message"),
    [
        ("Strange", b"{}", "event 'Strange' of schema version 1 at position 37 is not known"),
        ("Released@9", b"{}", "event 'Released@9' of schema version 1 at position 37 is not known"),
        ("Released", b"{", "position 37: the data of Released cannot be read"),
        ("Released", b"[]", "position 37: the data of Released cannot be read: expected an object"),
    ],
)
def test_events_that_cannot_be_read(ledger: Ledger, kind: str, state: bytes, message: str) -> None:
    """An event that no view can read is named with its position; no view goes past it or is said to have failed."""
    log = log_of(ledger)
    log.insert_events([StoredEvent("pool:gpu", 999, kind, state)])
    with pytest.raises(LogCorrupt, match=message):
        ledger.projector().catch_up()
    statuses = [status_of(ledger, name) for name in NAMES]
    assert {(one.position, one.stopped_at) for one in statuses} == {(0, None)}
