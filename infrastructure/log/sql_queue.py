"""The queue in a database: which commands wait, in which order, and which processes are alive. It is not in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Double, cast, delete, exists, func, not_, select

from holdbook.domain.values import instant, instant_text
from holdbook.domain.waiting import AHEAD_SECONDS_MAX, GONE_SECONDS, Waiting
from holdbook.infrastructure.database.tables import queue, upsert, waiters

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection, Row, Select

_UNIX_EPOCH_JULIAN_DAY: Final = 2440587.5
_DAY_SECONDS: Final = 86400.0

_IDS_PER_STATEMENT: Final = 1000
"""The most ids in one statement: both databases limit the number of parameters."""


class SQLQueue:
    """The queue, in one transaction. A waiter is the name of an open ledger whose commands wait."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_sqlite = connection.dialect.name == "sqlite"

    def first(self, pool: str, limit: int) -> list[str]:
        """List the ids of the first ``limit`` commands that wait for a pool, in order."""
        listed = select(queue.c.command_id).where(queue.c.pool == pool, queue.c.waiter.in_(self._alive()))
        return list(self._connection.execute(listed.order_by(queue.c.ticket).limit(limit)).scalars())

    def read(self) -> list[Waiting]:
        """List the commands that wait, in the order they will be served in."""
        listed = select(queue).where(queue.c.waiter.in_(self._alive())).order_by(queue.c.ticket, queue.c.pool)
        entries: dict[int, list[Row[Any]]] = {}
        for row in self._connection.execute(listed):
            entries.setdefault(row.ticket, []).append(row)
        return [_waiting(rows) for rows in entries.values()]

    def enter(self, waiter: str, entered: Sequence[Waiting]) -> None:
        """Put commands at the queue's end. Those that wait already keep their place, and belong to this waiter now."""
        self.say_alive(waiter)
        last = self._connection.execute(select(func.max(queue.c.ticket))).scalar() or 0
        rows = [
            {
                "pool": pool,
                "ticket": last + number,
                "command_id": one.command_id,
                "owner": one.owner,
                "quantity": quantity,
                "since": instant_text(one.since),
                "until": instant_text(one.until),
                "waiter": waiter,
            }
            for number, one in enumerate(entered, start=1)
            for pool, quantity in one.quantities.items()
        ]
        statement = upsert(self._connection, queue)
        key = [queue.c.command_id, queue.c.pool]
        again = {name: statement.excluded[name] for name in ("waiter", "until")}
        self._connection.execute(statement.on_conflict_do_update(index_elements=key, set_=again), rows)

    def leave(self, command_ids: Iterable[str], waiter: str | None = None) -> None:
        """Take commands out; only a waiter's own if one is named."""
        leaving = delete(queue) if waiter is None else delete(queue).where(queue.c.waiter == waiter)
        ids = sorted(command_ids)
        for start in range(0, len(ids), _IDS_PER_STATEMENT):
            some = ids[start : start + _IDS_PER_STATEMENT]
            self._connection.execute(leaving.where(queue.c.command_id.in_(some)))

    def say_alive(self, waiter: str) -> None:
        """Record that a waiter is alive, for `GONE_SECONDS`."""
        alive = {"waiter": waiter, "alive_until": self._now() + GONE_SECONDS}
        statement = upsert(self._connection, waiters).values(alive)
        self._connection.execute(statement.on_conflict_do_update(index_elements=[waiters.c.waiter], set_=alive))

    def of(self, waiter: str) -> set[str]:
        """List the ids of a waiter's commands."""
        return set(self._connection.execute(select(queue.c.command_id).where(queue.c.waiter == waiter)).scalars())

    def forget_the_gone(self) -> None:
        """Take out the commands of waiters that have not said for too long that they are alive."""
        if not self._connection.execute(select(exists().where(not_(self._is_alive())))).scalar():
            return
        self._connection.execute(delete(waiters).where(not_(self._is_alive())))
        # Only of waiters that are not listed any more: one whose time ends right now is left for the next call.
        self._connection.execute(delete(queue).where(queue.c.waiter.not_in(select(waiters.c.waiter))))

    def _alive(self) -> Select[tuple[str]]:
        return select(waiters.c.waiter).where(self._is_alive())

    def _is_alive(self) -> ColumnElement[bool]:
        return waiters.c.alive_until.between(self._now(), self._now() + AHEAD_SECONDS_MAX)

    def _now(self) -> ColumnElement[float]:
        """Give the database's time in seconds since 1970: the one clock that all waiters share."""
        if self._is_sqlite:
            return (func.julianday("now") - _UNIX_EPOCH_JULIAN_DAY) * _DAY_SECONDS
        return cast(func.extract("epoch", func.clock_timestamp()), Double)


def _waiting(rows: Sequence[Row[Any]]) -> Waiting:
    first = rows[0]
    return Waiting(
        ticket=first.ticket,
        command_id=first.command_id,
        owner=first.owner,
        quantities={row.pool: row.quantity for row in rows},
        since=instant(first.since),
        until=instant(first.until),
    )
