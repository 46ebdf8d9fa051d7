"""A log that older programs began: rows of earlier schema versions beside those of today."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger, LogCorrupt, UnknownEvent
from holdbook.infrastructure.log.recorder import chained
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.infrastructure.views.view_events import SQLViewEvents, view_event_of
from support.projecting import log_of
from support.story import Clock, tell
from support.tampering import tampering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook.domain.records import StoredRow


def before_force(row: StoredRow) -> StoredRow:
    """Write a row as it was written before there was force."""
    if row.type != "Released":
        return row
    fields = json.loads(row.data)
    del fields["forced"]
    return row._replace(schema_version=1, data=json.dumps(fields))


@pytest.fixture
def clock() -> Clock:
    """The clock of every program."""
    return Clock()


@pytest.fixture
def ledger(database_url: str, clock: Clock) -> Iterator[Ledger]:
    """A ledger in which an older program wrote everything, and this one goes on."""
    with Ledger.in_memory(clock=clock, actor="teller") as older:
        tell(older, clock)
        rows = older.log.rows(limit=10_000)
    with Ledger.open(database_url, clock=clock, actor="teller") as ledger:
        with log_of(ledger).writing() as writer:
            writer.insert(chained(map(before_force, rows), writer.head, writer.head_hash))
        ledger.release("a4", reason="done")
        ledger.release("r3", reason="stuck", force=True)
        yield ledger


def test_old_and_new_side_by_side(ledger: Ledger) -> None:
    """Whoever reads events gets them as of today, and only what is old is looked at by itself; the rows stay."""
    log = log_of(ledger)
    rows = log.rows(limit=10_000)
    released = [(row.position, row.schema_version) for row in rows if row.type == "Released"]
    assert [version for _, version in released] == [1, 2, 2, 2]
    found = SQLViewEvents(log).read_events(0, 10_000, len(rows))
    assert found == [view_event_of(log.mapper, row) for row in rows]
    assert [found[position - 1].data["forced"] for position, _ in released] == [False, False, True, True]
    events = [log.decode(rows[position - 1]).event for position, _ in released]
    assert [event.model_dump(mode="json") for event in events] == [found[position - 1].data for position, _ in released]


def test_every_promise_holds(ledger: Ledger) -> None:
    """The views that this code builds of such a log are right, and so is all the rest."""
    ledger.projector().catch_up()
    report = verify_ledger(ledger)
    assert (report.ok, len(report.views)) == (True, len(ledger.projector().status()))


@pytest.mark.parametrize("last", [{"schema_version": 9}, {"schema_version": 1, "data": "[]"}, {"data": "{"}])
def test_what_cannot_be_read_among_the_old(ledger: Ledger, database_url: str, last: dict[str, object]) -> None:
    """On a page with old events, too, what cannot be read is named with its position."""
    log = log_of(ledger)
    position = log.rows(limit=10_000)[-1].position
    with tampering(database_url) as tamperer:
        tamperer.set(position, **last)
    kind = UnknownEvent if last == {"schema_version": 9} else LogCorrupt
    with pytest.raises(kind, match=rf"position {position}\b"):
        SQLViewEvents(log).read_events(0, 10_000, position)
