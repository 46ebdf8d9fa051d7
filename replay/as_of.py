"""What was held, by whom, as of any moment: the log read again up to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from bursar.domain.allocation import fold
from bursar.domain.answers import Answer
from bursar.domain.errors import Malformed
from bursar.domain.values import instant_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from bursar.domain.allocation import Allocation
    from bursar.domain.ports import EventLog
    from bursar.domain.records import StoredRow

PAGE_ROWS: Final = 5000
"""About how many rows are read at a time."""


def allocations_as_of(log: EventLog, moment: datetime) -> Answer[Allocation]:
    """Describe every allocation granted by a moment in its state then, oldest grant first.

    What had occurred by the moment counts, wherever it stands in the log; a hold whose deadline had passed is
    expired, noticed or not. Raises `Malformed` for a moment without its offset from UTC.
    """
    if moment.tzinfo is None:
        raise Malformed("moment", moment, "expected a time with its offset from UTC")
    last = instant_text(moment)
    with log.reading() as reader:
        head = reader.head
    found: dict[str, Allocation] = {}
    for row in _rows(log, head):
        if row.allocation_id is not None and row.type != "ValidationFailed" and row.occurred_at <= last:
            folded = fold([log.decode(row)], found.get(row.allocation_id))
            found[row.allocation_id] = cast("Allocation", folded)  # None is for refusals only
    return Answer((allocation.lapsed_at(moment) for allocation in found.values()), head)


def _rows(log: EventLog, head: int) -> Iterator[StoredRow]:
    position = 0
    while position < head and (page := log.rows(position, PAGE_ROWS, upto=head)):
        yield from page
        position = page[-1].position
