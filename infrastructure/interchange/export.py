"""Export: the log's events as JSON Lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from holdbook.domain.errors import LogCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import StoredRow

PAGE_EVENTS: Final = 2000
"""About how many events an export reads from the log at a time."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Writes a value as compact JSON."""


def export_lines(
    log: EventLog, first: int = 1, last: int | None = None, progress: Callable[[int, int], None] = lambda *_: None
) -> Iterator[str]:
    """Write the events from position ``first`` to ``last``, or to the log's present end, one JSON object each.

    ``progress`` is called with the number of events written and the number of all. Raises `LogUnavailable`, and
    `LogCorrupt` for an event whose data is not JSON.
    """
    with log.reading() as reader:
        head = reader.head
    end = head if last is None else min(last, head)
    position = first - 1
    while position < end and (rows := log.rows(position, PAGE_EVENTS, upto=end)):
        yield from map(export_line, rows)
        position = rows[-1].position
        progress(position - first + 1, end - first + 1)


def export_line(row: StoredRow) -> str:
    """Write a row as JSON, every column under its name: ``data`` as an object, ``hash`` as hexadecimal digits.

    The text of ``data`` is the stored one, byte for byte, because the hash covers it. Raises `LogCorrupt` if it is not
    JSON.
    """
    try:
        json.loads(row.data)
    except ValueError as error:
        message = f"position {row.position}: the data of {row.type} is no JSON: {error}"
        raise LogCorrupt(message) from None
    columns = {**row._asdict(), "hash": row.hash.hex()}
    del columns["data"]
    return f'{_encode(columns)[:-1]},"data":{row.data}}}'
