"""Verification in a hurry, beside verification row by row: on logs in which anything was changed, both say the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar import Ledger, Limits
from bursar.replay.stored import RowsInMemory
from bursar.replay.usual import Usual
from bursar.replay.verify import verify
from support.story import Clock, seconds, tell
from support.tampering import rechained

if TYPE_CHECKING:
    from bursar.domain.ports import EventLog
    from bursar.domain.records import StoredRow
    from bursar.replay.findings import Report

ODD_NAME = 'x","quantity":1,"y":"z'
"""A name that would say something else if it were not escaped."""


def told() -> EventLog:
    """Make a log of usual commands: one pool and several, tags, reasons, deadlines, odd names."""
    clock = Clock()
    with Ledger.in_memory(clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
        clock.set(500)
        ledger.open_pool("a b", resource_type="x", limits=Limits(total=50, default_ttl=seconds(900)))
        ledger.open_pool('q"é', resource_type="x", limits=Limits(total=50))
        for number in range(6):
            clock.set(501 + number)
            pools = [{"a b": 1 + number}, {"a b": 1, 'q"é': 2}, {'q"é': 3}][number % 3]
            held = ledger.allocate(
                pools,
                owner=["ann", ODD_NAME, "bob"][number % 3],
                tags={"z": "1", "a": ODD_NAME} if number % 2 else {},
                ttl=seconds(3600) if number == 4 else None,
                correlation_id="c" if number == 2 else None,
                command_id=f"given-{number}" if number == 3 else None,
                actor="zoe" if number == 1 else None,
            )
            if number != 5:
                ledger.release(held.id, reason=[None, "done", 'no "need"\n'][number % 3])
        return ledger.log


LOG = told()
ROWS = LOG.rows(0, 1000)
LAST = len(ROWS)
VALUES = st.sampled_from(
    [None, 0, 1, 2, 3, 4, -1, 2**63, 1.0, 1.5, True, False, "", "ann", "a b", "x ", [], {}, ["a b"], {"z": 1}]
)
"""What fields are changed to."""


def verified(rows: list[StoredRow], *, in_a_hurry: bool) -> Report:
    """Verify a log whose rows are these now, its chain forged with them."""
    stored = RowsInMemory(rechained(rows, LOG.ledger_id), LOG.ledger_id)
    if in_a_hurry:
        return verify(LOG, stored=stored)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Usual, "enter", lambda _self, _page, index: index)
        return verify(LOG, stored=stored)


def test_most_is_usual() -> None:
    """What is meant to be usual is entered in a hurry, so that what is compared below are two ways."""
    entered: list[int] = []
    enter = Usual.enter

    def count(self: Usual, page: Any, index: int) -> int:  # noqa: ANN401 - rows
        after = enter(self, page, index)
        entered.append(after - index)
        return after

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Usual, "enter", count)
        assert verify(LOG, stored=RowsInMemory(ROWS, LOG.ledger_id)).ok
    assert sum(entered) >= 14


@given(st.data())
def test_both_say_the_same(data: st.DataObject) -> None:
    """Whatever is changed in rows whose hashes are forged with them, both ways find the same, word for word."""
    rows = list(ROWS)
    for _ in range(data.draw(st.integers(1, 2))):
        index = data.draw(st.integers(36, LAST - 1) | st.integers(0, LAST - 1))
        row = rows[index]
        what = data.draw(st.sampled_from(["data", "command", "column", "order", "spelling"]))
        if what in {"data", "command"} and (text := getattr(row, what)):
            fields = json.loads(text)
            name = data.draw(st.sampled_from([*fields, "reason", "at", "actor", "ttl", "token", "command_id"]))
            fields[name] = data.draw(VALUES)
            if data.draw(st.booleans()):
                del fields[name]
            rows[index] = row._replace(**{what: json.dumps(fields, separators=(",", ":"), ensure_ascii=False)})  # type: ignore[arg-type]  # both are text
        elif what == "order":
            fields = json.loads(row.data)
            rows[index] = row._replace(data=json.dumps(dict(reversed(fields.items()))))
        elif what == "spelling":
            rows[index] = row._replace(data=json.dumps(json.loads(row.data)))
        else:
            other = data.draw(st.sampled_from(ROWS))
            column = data.draw(st.sampled_from([c for c in row._fields if c not in {"position", "hash"}]))
            rows[index] = row._replace(**{column: getattr(other, column)})
    hurried, careful = verified(rows, in_a_hurry=True), verified(rows, in_a_hurry=False)
    assert hurried.as_dict() == careful.as_dict()
