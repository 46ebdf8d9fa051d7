"""Query the published views: plain SQL on the live generations."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import column, func, inspect, literal_column, select
from sqlalchemy import table as table_clause

from holdbook.domain.errors import LogUnavailable
from holdbook.domain.values import instant_text
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.views.store import list_generations
from holdbook.projections.generations import live_generations
from holdbook.projections.views.metrics import LASTED, METRICS
from holdbook.projections.views.pool_usage import BUCKET_CHARACTERS, POOL_USAGE, bucket_named
from holdbook.projections.views.validation_failures import VALIDATION_FAILURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, FromClause, Select

    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.projections.definition import View
    from holdbook.projections.generations import Generation

    Row = dict[str, Any]

PAGE_ROWS: Final = 2000
"""How many rows of refusals are read at a time."""


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """Rows of views, and the position in the log that they are true at."""

    rows: Iterable[Row]
    position: int
    """Position of the last event that the rows take into account."""


class Published:
    """Queries the views of a ledger; raises `LogUnavailable` if its database has none.

    An answer comes from the generation that is live when the query begins, even if another one is published meanwhile.
    """

    def __init__(self, ledger: LedgerInterface) -> None:
        if not isinstance(ledger.log, SQLEventLog):
            message = "a ledger in memory has no published views"
            raise LogUnavailable(message)
        self._database = ledger.log.database

    @contextmanager
    def _reading(self, *views: View) -> Iterator[tuple[Connection, list[_Live]]]:
        """Open a transaction that reads, and find each view's live generation; raises `LogUnavailable` for none."""
        with self._database.reading() as connection:
            found = live_generations(list_generations(connection))
            for view in views:
                if view.name not in found:
                    way_out = "run `holdbook db upgrade` as an account that may make tables"
                    message = f"the database {self._database.name} does not have the view {view.name}: {way_out}"
                    raise LogUnavailable(message)
            yield connection, [_live(connection, view, found[view.name]) for view in views]

    def metrics(self, *, by_pool: bool = False) -> QueryAnswer:
        """Count operations by resource type, on request also by pool, with a histogram of the times since the grant.

        A generation that was built before there was a histogram gives none.
        """
        with self._reading(METRICS) as (connection, (live,)):
            source = live.source
            names = ("resource_type", "pool", "operation", "outcome", "code")
            grouped = [source.c[name] for name in names if by_pool or name != "pool"]
            sums = [source.c[name] for name in ("count", "milliseconds", *LASTED) if name in source.c]
            query = select(*grouped, *(func.sum(one).label(one.name) for one in sums))
            found = connection.execute(query.group_by(*grouped).order_by(*grouped)).mappings()
            return QueryAnswer([_with_whole_sums(row) for row in found], live.generation.position)

    def failures(
        self, values: Mapping[str, str], *, since: datetime | None = None, until: datetime | None = None
    ) -> QueryAnswer:
        """Read refusals by position: those with the given values in columns, from ``since`` on and before ``until``.

        The rows are read page by page while they are iterated over, up to the position that the view has now.
        """
        with self._reading(VALIDATION_FAILURES) as (_, (live,)):
            source, position = live.source, live.generation.position
        query = select(source).order_by(source.c.position).limit(PAGE_ROWS).where(source.c.position <= position)
        for name, value in values.items():
            query = query.where(source.c[name] == value)
        if since is not None:
            query = query.where(source.c.occurred_at >= instant_text(since))
        if until is not None:
            query = query.where(source.c.occurred_at < instant_text(until))
        return QueryAnswer(self._pages(query, source), position)

    def _pages(self, query: Select[Any], source: FromClause) -> Iterator[Row]:
        page = self._page(query)
        while page:
            yield from page
            page = self._page(query.where(source.c.position > page[-1]["position"]))

    def _page(self, query: Select[Any]) -> Sequence[Row]:
        with self._database.reading() as connection:
            return [_row(row) for row in connection.execute(query).mappings()]

    def usage(self, pool: str) -> tuple[QueryAnswer, dict[str, int]]:
        """Read a pool's usage by bucket, in order, and the number of its refusals by bucket, at the same moment."""
        with self._reading(POOL_USAGE, VALIDATION_FAILURES) as (connection, (usage, failures)):
            rows, refused = usage.source, failures.source
            begin = func.substr(refused.c.occurred_at, literal_column("1"), literal_column(str(BUCKET_CHARACTERS)))
            found = connection.execute(select(rows).where(rows.c.pool == pool).order_by(rows.c.bucket)).mappings()
            counted = connection.execute(select(begin, func.count()).where(refused.c.pool == pool).group_by(begin))
            position = min(usage.generation.position, failures.generation.position)
            answer = QueryAnswer([_row(row) for row in found], position)
            return answer, {bucket_named(text): count for text, count in counted}


class _Live(NamedTuple):
    """A view's live generation, and its published table with the columns that it really has."""

    generation: Generation
    source: FromClause


def _live(connection: Connection, view: View, generation: Generation) -> _Live:
    name = view.published.physical(generation.number)
    columns = [str(one["name"]) for one in inspect(connection).get_columns(name)]
    return _Live(generation, table_clause(name, *map(column, columns)))


def _row(found: Mapping[Any, Any]) -> Row:
    return {str(name): value for name, value in found.items()}


def _with_whole_sums(found: Mapping[Any, Any]) -> Row:
    """Make a row of sums, which PostgreSQL gives as decimals, into one of whole numbers."""
    return {name: int(value) if isinstance(value, Decimal) else value for name, value in _row(found).items()}
