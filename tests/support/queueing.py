"""Commands that wait: made, sent, and waited for until they have their places."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from holdbook import Allocate, Expire, Ledger, Limits
from holdbook.domain.events import Allocated

if TYPE_CHECKING:
    from holdbook.domain.records import StoredRow
    from holdbook.infrastructure.commit.promise import Promise

LONG = timedelta(minutes=10)
"""Longer than any test."""

SHORT = timedelta(milliseconds=50)
"""Time that is up soon."""


def ask(name: str, quantity: int = 1, wait: timedelta | None = LONG, **quantities: int) -> Allocate:
    """Ask for some of the pool `gpu`, unless others are named, in the name of an allocation."""
    return Allocate(
        quantities=quantities or {"gpu": quantity}, owner="ann", allocation_id=name, command_id=name, wait=wait
    )


def open_pools(ledger: Ledger, **totals: int) -> None:
    """Open pools of so many units."""
    for name, total in totals.items():
        ledger.open_pool(name, resource_type="thing", limits=Limits(total=total))


def line_up(ledger: Ledger, *commands: Allocate) -> list[Promise]:
    """Send commands one after another; all of them are decided, or have their places, when this returns."""
    futures = [ledger.submit(command) for command in commands]
    settle(ledger)
    return futures


def settle(ledger: Ledger) -> None:
    """Wait until what was sent before is decided, or waits: commands are taken in the order that they come in."""
    ledger.execute(Expire())


def waiting_in(ledger: Ledger, pool: str | None = None) -> list[str]:
    """List the ids of the commands that wait, in order."""
    return [one.command_id for one in ledger.queue(pool)]


def until_queued(ledger: Ledger, count: int) -> None:
    """Wait until so many commands wait, in whatever process."""
    with ledger.log.watching() as news:
        while len(ledger.queue()) != count:
            news(0.02)


def until_left(ledger: Ledger, command_id: str) -> None:
    """Wait until a command has left the queue."""
    with ledger.log.watching() as news:
        while command_id in waiting_in(ledger):
            news(0.02)


def granted_in_order(ledger: Ledger) -> list[str]:
    """List the commands that were granted something, in the order of the log."""
    rows: list[StoredRow] = ledger.log.rows(limit=10**6)
    decoded = [ledger.log.decode(row) for row in rows if row.type == Allocated.__name__ and row.command]
    return [one.command_id for one in decoded]
