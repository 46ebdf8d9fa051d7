"""What is wanted of the log: conditions of SQL, which may let too much through, and the test that decides.

An owner, tags and a code are in an event's data, whose fields may have had other names in older versions. SQL looks
for the value only, as it is written in the text; the test then reads the fields as they are called today. So every log
gives the same answer, and SQL need not know how data is laid out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_json
from sqlalchemy import and_, exists, or_

from holdbook.domain.values import instant_text
from holdbook.infrastructure.database.tables import events

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement

    from holdbook.domain.event_filter import EventFilter
    from holdbook.domain.records import StoredRow

    Fields = Mapping[str, Any]
    Read = Callable[[StoredRow], Fields]
    """Reads the fields of a row's data, as they are called today; raises `UnknownEvent` or `LogCorrupt`."""
    Openings = Callable[[Collection[str]], Iterable[StoredRow]]
    """Gives the rows that opened allocations, by their ids."""

ROWS_TESTED: Final = 500
"""How many rows, at least, are read at a time where not all of them may be wanted."""

_REFUSED: Final = "ValidationFailed"
_OPENINGS: Final = ("Allocated", "Reserved")


def is_exact(wanted: EventFilter) -> bool:
    """Tell whether the conditions of SQL let only through what is wanted."""
    return wanted.owner is None and not wanted.tags and wanted.code is None


def clauses(wanted: EventFilter) -> Iterator[ColumnElement[bool]]:
    """Give conditions that all wanted rows of ``events`` meet."""
    if wanted.pools is not None:
        yield events.c.stream_id.in_(sorted(_streams(wanted.pools)))
    if wanted.since is not None:
        yield events.c.occurred_at >= instant_text(wanted.since)
    if wanted.until is not None:
        yield events.c.occurred_at < instant_text(wanted.until)
    columns = {"allocation_id": wanted.allocation, "actor": wanted.actor, "correlation_id": wanted.correlation}
    for name, value in columns.items():
        if value is not None:
            yield events.c[name] == value
    if wanted.refused or wanted.code is not None:
        yield events.c.type == _REFUSED
    for text in _texts(wanted):
        yield _holds(events.c.data, text)
    if wanted.tags:
        yield _was_asked_with(wanted.tags)


def _was_asked_with(tags: Mapping[str, str]) -> ColumnElement[bool]:
    opening = events.alias("opening")
    granted = exists().where(
        opening.c.allocation_id == events.c.allocation_id,
        opening.c.type.in_(_OPENINGS),
        opening.c.command.is_not(None),
        *(_holds(opening.c.data, text) for text in _tag_texts(tags)),
    )
    refused = and_(events.c.type == _REFUSED, *(_holds(events.c.data, text) for text in _tag_texts(tags)))
    return or_(refused, granted)


def _holds(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    return column.contains(text, autoescape=True)  # blind to case in SQLite, which lets too much through and no less


def _texts(wanted: EventFilter) -> Iterator[str]:
    """Give what the data of a wanted row has in it, word for word."""
    for value in (wanted.owner, wanted.code):
        if value is not None:
            yield to_json(value).decode()


def _tag_texts(tags: Mapping[str, str]) -> Iterator[str]:
    return (to_json({key: value}).decode()[1:-1] for key, value in tags.items())


def chosen(rows: Sequence[StoredRow], wanted: EventFilter, read: Read, openings: Openings) -> Iterator[StoredRow]:
    """Choose the rows that are wanted."""
    matches = _matcher(wanted, read)
    found = [row for row in rows if matches(row)]
    if not wanted.tags:
        yield from found
        return
    subjects = {row.allocation_id for row in found if row.allocation_id is not None}
    granted = {row.allocation_id for row in openings(subjects) if _has_tags(read(row)["tags"], wanted.tags)}
    for row in found:
        asked = read(row)["asked"].get("tags") if row.type == _REFUSED else None
        if row.allocation_id in granted or (asked is not None and _has_tags(asked, wanted.tags)):
            yield row


def _has_tags(present: object, wanted: Mapping[str, str]) -> bool:
    return isinstance(present, dict) and wanted.items() <= present.items()


def _matcher(wanted: EventFilter, read: Read) -> Callable[[StoredRow], bool]:
    """Give a test of rows, for everything but tags."""
    streams = None if wanted.pools is None else _streams(wanted.pools)
    since = None if wanted.since is None else instant_text(wanted.since)
    until = None if wanted.until is None else instant_text(wanted.until)
    texts = tuple(_texts(wanted))
    refused = wanted.refused or wanted.code is not None

    def matches(row: StoredRow) -> bool:
        return (
            (streams is None or row.stream_id in streams)
            and (since is None or row.occurred_at >= since)
            and (until is None or row.occurred_at < until)
            and (wanted.allocation is None or row.allocation_id == wanted.allocation)
            and (wanted.actor is None or row.actor == wanted.actor)
            and (wanted.correlation is None or row.correlation_id == wanted.correlation)
            and (not refused or row.type == _REFUSED)
            and (not texts or (all(text in row.data for text in texts) and _says(read(row), wanted)))
        )

    return matches


def _says(fields: Fields, wanted: EventFilter) -> bool:
    asked = fields.get("asked", {})
    owners = (fields.get("owner"), fields.get("previous_owner"), asked.get("owner"), asked.get("to"))
    return (wanted.owner is None or wanted.owner in owners) and (wanted.code is None or fields["code"] == wanted.code)


def _streams(pools: frozenset[str]) -> frozenset[str]:
    return frozenset(f"{kind}:{pool}" for pool in pools for kind in ("pool", "refusals", "reclaims"))
