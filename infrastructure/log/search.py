"""Search the log: conditions in SQL, which may let too many rows through, and the exact test in Python.

Owner, tags and code are in an event's data, whose fields may have had other names in older schema versions. SQL only
looks for the value in the text; the test then reads the fields of the present version. So the logs in memory and in a
database give the same answer, and SQL does not depend on how the data is laid out.
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
    """Reads the fields of a row's data in the present schema version; raises `UnknownEvent` or `LogCorrupt`."""
    Openings = Callable[[Collection[str]], Iterable[StoredRow]]
    """Gives the row that opened each of the allocations whose ids it is given."""

ROWS_TESTED: Final = 500
"""How many rows, at least, are read at a time if the test may reject some of them."""

_REFUSED: Final = "ValidationFailed"
_OPENINGS: Final = ("Allocated", "Reserved")


def is_exact(criteria: EventFilter) -> bool:
    """Tell whether the conditions in SQL let only matching rows through."""
    return criteria.owner is None and not criteria.tags and criteria.code is None


def clauses(criteria: EventFilter) -> Iterator[ColumnElement[bool]]:
    """Give the conditions on ``events`` that every matching row meets."""
    if criteria.pools is not None:
        yield events.c.stream_id.in_(sorted(_streams(criteria.pools)))
    if criteria.since is not None:
        yield events.c.occurred_at >= instant_text(criteria.since)
    if criteria.until is not None:
        yield events.c.occurred_at < instant_text(criteria.until)
    columns = {
        "allocation_id": criteria.allocation,
        "actor": criteria.actor,
        "correlation_id": criteria.correlation,
    }
    for name, value in columns.items():
        if value is not None:
            yield events.c[name] == value
    if criteria.refused or criteria.code is not None:
        yield events.c.type == _REFUSED
    for text in _texts(criteria):
        yield _contains(events.c.data, text)
    if criteria.tags:
        yield _are_tagged(criteria.tags)


def _are_tagged(tags: Mapping[str, str]) -> ColumnElement[bool]:
    opening = events.alias("opening")
    granted = exists().where(
        opening.c.allocation_id == events.c.allocation_id,
        opening.c.type.in_(_OPENINGS),
        opening.c.command.is_not(None),
        *(_contains(opening.c.data, text) for text in _tag_texts(tags)),
    )
    refused = and_(events.c.type == _REFUSED, *(_contains(events.c.data, text) for text in _tag_texts(tags)))
    return or_(refused, granted)


def _contains(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    return column.contains(text, autoescape=True)  # SQLite ignores case: that lets too many rows through, never too few


def _texts(criteria: EventFilter) -> Iterator[str]:
    """Give the texts that stand in the data of every matching row."""
    for value in (criteria.owner, criteria.code):
        if value is not None:
            yield to_json(value).decode()


def _tag_texts(tags: Mapping[str, str]) -> Iterator[str]:
    return (to_json({key: value}).decode()[1:-1] for key, value in tags.items())


def chosen(rows: Sequence[StoredRow], criteria: EventFilter, read: Read, openings: Openings) -> Iterator[StoredRow]:
    """Choose the rows that match."""
    matches = _matcher(criteria, read)
    found = [row for row in rows if matches(row)]
    if not criteria.tags:
        yield from found
        return
    subjects = {row.allocation_id for row in found if row.allocation_id is not None}
    granted = {row.allocation_id for row in openings(subjects) if _has_tags(read(row)["tags"], criteria.tags)}
    for row in found:
        asked = read(row)["asked"].get("tags") if row.type == _REFUSED else None
        if row.allocation_id in granted or (asked is not None and _has_tags(asked, criteria.tags)):
            yield row


def _has_tags(present: object, tags: Mapping[str, str]) -> bool:
    return isinstance(present, dict) and tags.items() <= present.items()


def _matcher(criteria: EventFilter, read: Read) -> Callable[[StoredRow], bool]:
    """Make the test of rows, for everything but tags."""
    streams = None if criteria.pools is None else _streams(criteria.pools)
    since = None if criteria.since is None else instant_text(criteria.since)
    until = None if criteria.until is None else instant_text(criteria.until)
    texts = tuple(_texts(criteria))
    refused = criteria.refused or criteria.code is not None

    def matches(row: StoredRow) -> bool:
        return (
            (streams is None or row.stream_id in streams)
            and (since is None or row.occurred_at >= since)
            and (until is None or row.occurred_at < until)
            and (criteria.allocation is None or row.allocation_id == criteria.allocation)
            and (criteria.actor is None or row.actor == criteria.actor)
            and (criteria.correlation is None or row.correlation_id == criteria.correlation)
            and (not refused or row.type == _REFUSED)
            and (not texts or (all(text in row.data for text in texts) and _has_owner_and_code(read(row), criteria)))
        )

    return matches


def _has_owner_and_code(fields: Fields, criteria: EventFilter) -> bool:
    asked = fields.get("asked", {})
    owners = (fields.get("owner"), fields.get("previous_owner"), asked.get("owner"), asked.get("to"))
    return (criteria.owner is None or criteria.owner in owners) and (
        criteria.code is None or fields["code"] == criteria.code
    )


def _streams(pools: frozenset[str]) -> frozenset[str]:
    return frozenset(f"{kind}:{pool}" for pool in pools for kind in ("pool", "refusals", "reclaims"))
