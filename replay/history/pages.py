"""Reading the log's rows page by page: all of them, or those that a filter finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdbook.domain.event_filter import EventFilter
    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import StoredRow

PAGE_ROWS: Final = 5000
"""How many rows a page has, unless the caller says otherwise."""


def row_pages(log: EventLog, after: int, upto: int, page_rows: int) -> Iterator[Sequence[StoredRow]]:
    """Read every row after one position and up to another; a page ends with a whole command.

    A page has about ``page_rows`` rows, and at least one. Raises `LogUnavailable`.
    """
    while after < upto and (page := log.rows(after, page_rows, upto=upto)):
        yield page
        after = page[-1].position


def find_pages(
    log: EventLog, wanted: EventFilter, after: int, upto: int, page_rows: int
) -> Iterator[Sequence[StoredRow]]:
    """Read the rows that a filter finds after one position and up to another, which need not make whole commands.

    A page has ``page_rows`` rows, the last one fewer, but at least one. Raises `LogUnavailable`.
    """
    is_full = True
    while is_full and (page := log.find(wanted, after, page_rows, upto=upto)):
        yield page
        is_full, after = len(page) == page_rows, page[-1].position
