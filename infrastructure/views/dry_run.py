"""A dry run over the whole log: decode and upcast every event and give it to the views' handlers; write nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from holdbook.domain.errors import LogCorrupt
from holdbook.infrastructure.views.view_events import view_event_of
from holdbook.projections.fold import WholeFold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdbook.domain.records import StoredRow
    from holdbook.infrastructure.log.recorder import BaseEventLog
    from holdbook.projections.definition import View

PAGE_EVENTS: Final = 5000
"""How many events are read at a time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An event that this version of Holdbook cannot read, or that a view's handler fails on."""

    position: int
    type: str
    view: str | None
    """The view whose handler fails; None if the event cannot be read."""
    error: str


def rehearse(
    log: BaseEventLog, views: Sequence[View] = (), progress: Callable[[int, int], object] = lambda _done, _total: None
) -> Iterator[Failure]:
    """Read every event that the log has now, fold it into views in memory, and give every failure, by position.

    ``progress`` is called with the number of events done and of all events. Raises `LogUnavailable`.
    """
    folds = [WholeFold(view) for view in views]
    with log.reading() as reader:
        head = reader.head
    after = 0
    while after < head and (rows := log.rows(after, PAGE_EVENTS, upto=head)):
        found = list(_failures(log, rows, folds))
        yield from sorted(found, key=lambda one: one.position)
        after = rows[-1].position
        progress(after, head)


def _failures(log: BaseEventLog, rows: Sequence[StoredRow], folds: Sequence[WholeFold]) -> Iterator[Failure]:
    readable = []
    for row in rows:
        try:
            log.decode(row)
        except LogCorrupt as error:
            yield Failure(row.position, row.type, None, str(error))
        else:
            readable.append(view_event_of(log.mapper, row))
    for fold in folds:
        for failed in fold.fold(readable):
            yield Failure(failed.position, failed.event_type, failed.view, str(failed))
        fold.clear_growing()
