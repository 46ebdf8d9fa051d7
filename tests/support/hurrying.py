"""A log of commands that verification enters in a hurry, and both ways to verify it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger, Limits
from holdbook.replay.verification.fast_path import FastPath
from holdbook.replay.verification.raw_log import RowsInMemory
from holdbook.replay.verification.verifier import verify
from support.story import Clock, seconds, tell
from support.tampering import rechained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import StoredRow
    from holdbook.replay.verification.findings import Report

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


def verified(rows: Sequence[StoredRow], *, in_a_hurry: bool) -> Report:
    """Verify a log whose rows are these now, its chain forged with them."""
    stored = RowsInMemory(rechained(rows, LOG.ledger_id), LOG.ledger_id)
    if in_a_hurry:
        return verify(LOG, stored=stored)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FastPath, "enter", lambda _self, _page, index: index)
        return verify(LOG, stored=stored)
