"""The published views as readers ask them: plain SQL on the published names."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, literal_column, select

from bursar.domain.errors import LogUnavailable
from bursar.domain.values import instant_text
from bursar.infrastructure.sql_log import SQLEventLog
from bursar.infrastructure.tracking import SQLStore
from bursar.projections.metrics import Metrics
from bursar.projections.pool_usage import BUCKET_CHARACTERS, PoolUsage, bucket_named
from bursar.projections.validation_failures import ValidationFailures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Select

    from bursar.domain.ledger import Ledger
    from bursar.projections.view import View

    Row = dict[str, Any]

PAGE_ROWS: Final = 2000
"""How many refusals are read at a time."""


class Published:
    """Reads the views of one database; raises `LogUnavailable` where there are none."""

    def __init__(self, ledger: Ledger) -> None:
        if not isinstance(ledger.log, SQLEventLog):
            message = "a ledger in memory has no published views"
            raise LogUnavailable(message)
        self._database = ledger.log.database
        self._store = SQLStore(self._database)

    @contextmanager
    def _reading(self, *views: View) -> Iterator[Connection]:
        """Look at one moment of the database, which must have the views."""
        with self._store.reading() as connection:
            for view in views:
                if not self._store.generation(connection, view.name):
                    way_out = "run `bursar db upgrade` as an account that may make tables"
                    message = f"the database {self._database.name} does not have the view {view.name}: {way_out}"
                    raise LogUnavailable(message)
            yield connection

    def metrics(self, *, by_pool: bool = False) -> list[Row]:
        """Count operations by resource type, and by pool if that is wanted."""
        view = Metrics()
        source = view.published()
        columns = [name for name in view.columns if name != "count" and (by_pool or name != "pool")]
        grouped = [source.c[name] for name in columns]
        asked = select(*grouped, func.sum(source.c.count).label("count")).group_by(*grouped).order_by(*grouped)
        with self._reading(view) as connection:
            return [{**row, "count": int(row["count"])} for row in map(_row, connection.execute(asked).mappings())]

    def failures(
        self, wanted: Mapping[str, str], *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Row]:
        """Read refusals in order; only those with the wanted values in columns, from a time on, before a time."""
        view = ValidationFailures()
        source = view.published()
        asked = select(source).order_by(source.c.position).limit(PAGE_ROWS)
        for name, value in wanted.items():
            asked = asked.where(source.c[name] == value)
        if since is not None:
            asked = asked.where(source.c.occurred_at >= instant_text(since))
        if until is not None:
            asked = asked.where(source.c.occurred_at < instant_text(until))
        page: Sequence[Row] = self._page(view, asked)
        while page:
            yield from page
            page = self._page(view, asked.where(source.c.position > page[-1]["position"]))

    def _page(self, view: View, asked: Select[Any]) -> Sequence[Row]:
        with self._reading(view) as connection:
            return [_row(row) for row in connection.execute(asked).mappings()]

    def usage(self, pool: str) -> tuple[list[Row], dict[str, int]]:
        """Read a pool's rows in the order of time, and how often it refused, by bucket."""
        usage, failures = PoolUsage(), ValidationFailures()
        rows, refused = usage.published(), failures.published()
        begin = func.substr(refused.c.occurred_at, literal_column("1"), literal_column(str(BUCKET_CHARACTERS)))
        with self._reading(usage, failures) as connection:
            found = connection.execute(select(rows).where(rows.c.pool == pool).order_by(rows.c.bucket)).mappings()
            counted = connection.execute(select(begin, func.count()).where(refused.c.pool == pool).group_by(begin))
            return [_row(row) for row in found], {bucket_named(text): count for text, count in counted}


def _row(found: Mapping[Any, Any]) -> Row:
    return {str(name): value for name, value in found.items()}
