"""What is wanted of the log, as conditions of SQL and as a test of rows in memory: both say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bursar.domain.values import instant_text
from bursar.infrastructure.tables import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import ColumnElement

    from bursar.domain.records import StoredRow
    from bursar.domain.wanted import Wanted


def clauses(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    """Give the conditions that rows of ``events`` meet."""
    if wanted.pools is not None:
        yield events.c.stream_id.in_(sorted(_streams(wanted.pools)))
    if wanted.since is not None:
        yield events.c.occurred_at >= instant_text(wanted.since)
    if wanted.until is not None:
        yield events.c.occurred_at < instant_text(wanted.until)


def matcher(wanted: Wanted) -> Callable[[StoredRow], bool]:
    """Give a test of rows."""
    streams = None if wanted.pools is None else _streams(wanted.pools)
    since = None if wanted.since is None else instant_text(wanted.since)
    until = None if wanted.until is None else instant_text(wanted.until)

    def matches(row: StoredRow) -> bool:
        return (
            (streams is None or row.stream_id in streams)
            and (since is None or row.occurred_at >= since)
            and (until is None or row.occurred_at < until)
        )

    return matches


def _streams(pools: frozenset[str]) -> frozenset[str]:
    return frozenset(f"{kind}:{pool}" for pool in pools for kind in ("pool", "refusals"))
