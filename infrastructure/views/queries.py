"""The published views as readers ask them: plain SQL on the live generations."""

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
from holdbook.projections.generations import GenerationState
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
"""How many refusals are read at a time."""


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """Rows of views, and where in the log they are true."""

    rows: Iterable[Row]
    position: int
    """Position in the log at which the answer is true."""


class Published:
    """Reads the live generations of one database's views; raises `LogUnavailable` where there are none.

    An answer is read from the generation that is live as the answer begins, whatever is published meanwhile.
    """

    def __init__(self, ledger: LedgerInterface) -> None:
        if not isinstance(ledger.log, SQLEventLog):
            message = "a ledger in memory has no published views"
            raise LogUnavailable(message)
        self._database = ledger.log.database

    @contextmanager
    def _reading(self, *views: View) -> Iterator[tuple[Connection, list[_Live]]]:
        """Look at one moment of the database, which must have the views."""
        with self._database.reading() as connection:
            found = {one.view: one for one in list_generations(connection) if one.state is GenerationState.LIVE}
            for view in views:
                if view.name not in found:
                    way_out = "run `holdbook db upgrade` as an account that may make tables"
                    message = f"the database {self._database.name} does not have the view {view.name}: {way_out}"
                    raise LogUnavailable(message)
            yield connection, [_live(connection, view, found[view.name]) for view in views]

    def metrics(self, *, by_pool: bool = False) -> QueryAnswer:
        """Count operations by resource type, and by pool if that is wanted, and how long they took.

        Of a generation that was built before there was a histogram, there is none.
        """
        with self._reading(METRICS) as (connection, (live,)):
            source = live.source
            names = ("resource_type", "pool", "operation", "outcome", "code")
            grouped = [source.c[name] for name in names if by_pool or name != "pool"]
            sums = [source.c[name] for name in ("count", "milliseconds", *LASTED) if name in source.c]
            asked = select(*grouped, *(func.sum(one).label(one.name) for one in sums))
            found = connection.execute(asked.group_by(*grouped).order_by(*grouped)).mappings()
            return QueryAnswer([_whole(row) for row in found], live.generation.position)

    def failures(
        self, wanted: Mapping[str, str], *, since: datetime | None = None, until: datetime | None = None
    ) -> QueryAnswer:
        """Read refusals in order; only those with the wanted values in columns, from a time on, before a time.

        They are read as they are wanted, none that is recorded after the first was asked for.
        """
        with self._reading(VALIDATION_FAILURES) as (_, (live,)):
            source, position = live.source, live.generation.position
        asked = select(source).order_by(source.c.position).limit(PAGE_ROWS).where(source.c.position <= position)
        for name, value in wanted.items():
            asked = asked.where(source.c[name] == value)
        if since is not None:
            asked = asked.where(source.c.occurred_at >= instant_text(since))
        if until is not None:
            asked = asked.where(source.c.occurred_at < instant_text(until))
        return QueryAnswer(self._pages(asked, source), position)

    def _pages(self, asked: Select[Any], source: FromClause) -> Iterator[Row]:
        page = self._page(asked)
        while page:
            yield from page
            page = self._page(asked.where(source.c.position > page[-1]["position"]))

    def _page(self, asked: Select[Any]) -> Sequence[Row]:
        with self._database.reading() as connection:
            return [_row(row) for row in connection.execute(asked).mappings()]

    def usage(self, pool: str) -> tuple[QueryAnswer, dict[str, int]]:
        """Read a pool's rows in the order of time, and how often it refused, by bucket; both at one position."""
        with self._reading(POOL_USAGE, VALIDATION_FAILURES) as (connection, (usage, failures)):
            rows, refused = usage.source, failures.source
            begin = func.substr(refused.c.occurred_at, literal_column("1"), literal_column(str(BUCKET_CHARACTERS)))
            found = connection.execute(select(rows).where(rows.c.pool == pool).order_by(rows.c.bucket)).mappings()
            counted = connection.execute(select(begin, func.count()).where(refused.c.pool == pool).group_by(begin))
            position = min(usage.generation.position, failures.generation.position)
            answer = QueryAnswer([_row(row) for row in found], position)
            return answer, {bucket_named(text): count for text, count in counted}


class _Live(NamedTuple):
    """A view's live generation, and its published table with the columns that it has."""

    generation: Generation
    source: FromClause


def _live(connection: Connection, view: View, generation: Generation) -> _Live:
    name = view.published.physical(generation.number)
    columns = [str(one["name"]) for one in inspect(connection).get_columns(name)]
    return _Live(generation, table_clause(name, *map(column, columns)))


def _row(found: Mapping[Any, Any]) -> Row:
    return {str(name): value for name, value in found.items()}


def _whole(found: Mapping[Any, Any]) -> Row:
    """Read a row of sums, which PostgreSQL gives as decimals."""
    return {name: int(value) if isinstance(value, Decimal) else value for name, value in _row(found).items()}
