"""A dry run over real history: every event decoded, upcast and given to handlers, and nothing written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bursar.domain.errors import LogCorrupt
from bursar.infrastructure.facts import fact_of
from bursar.projections.fold import HandlerFailed, WholeFold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bursar.domain.records import StoredRow
    from bursar.infrastructure.event_log import BaseEventLog
    from bursar.projections.view import View

PAGE_EVENTS: Final = 5000
"""How many events are read at a time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An event that this version of Bursar cannot read, or that a view's handler fails on."""

    position: int
    type: str
    view: str | None
    """The view whose handler fails; None if the event cannot be read."""
    error: str


def rehearse(
    log: BaseEventLog, views: Sequence[View] = (), progress: Callable[[int, int], object] = lambda _done, _total: None
) -> Iterator[Failure]:
    """Read every event that the log has now, fold it into views in memory, and give every failure, in order.

    Raises `LogUnavailable`.
    """
    folds = [WholeFold(view) for view in views]
    with log.reading() as reader:
        head = reader.head
    after = 0
    while after < head and (rows := log.rows(after, PAGE_EVENTS, upto=head)):
        for row in rows:
            yield from _failures(log, row, folds)
        for fold in folds:
            fold.clear_growing()
        after = rows[-1].position
        progress(after, head)


def _failures(log: BaseEventLog, row: StoredRow, folds: Sequence[WholeFold]) -> Iterator[Failure]:
    try:
        log.decode(row)
    except LogCorrupt as error:
        yield Failure(row.position, row.type, None, str(error))
        return
    fact = fact_of(log.mapper, row)
    for fold in folds:
        try:
            fold.add(fact)
        except HandlerFailed as error:
            yield Failure(row.position, row.type, fold.view.name, str(error))
