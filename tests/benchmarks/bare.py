"""Baseline: one durable insert in a transaction of its own, the least that a durable answer can take."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Final, LiteralString

from benchmarks.case import Case
from benchmarks.measure import Sample, Span, in_threads
from benchmarks.places import connect_postgres, connect_sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.places import Place
    from benchmarks.plan import Plan

SYSTEM: Final = "bare insert"
WORK: Final = "one durable insert"

_PAYLOAD: Final = "x" * 500
"""About as long as a row of the ledger."""

_TABLE: Final[LiteralString] = "CREATE TABLE bare (id {number}, payload TEXT NOT NULL)"
_INSERT: Final[LiteralString] = "INSERT INTO bare (payload) VALUES (%s)"


def run(place: Place, span: Span) -> Sample:
    """Measure one round of one client."""
    with place.fresh(with_ledger=False) as url:
        if place.name == "sqlite":
            with closing(connect_sqlite(url)) as lite:
                lite.execute(_TABLE.replace("{number}", "INTEGER PRIMARY KEY"))
                statement = _INSERT.replace("%s", "?")
                return Sample.of([in_threads([lambda: lite.execute(statement, (_PAYLOAD,))], span)])
        with closing(connect_postgres(url, autocommit=True)) as connection:
            connection.execute(_TABLE.replace("{number}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"))
            return Sample.of([in_threads([lambda: connection.execute(_INSERT, (_PAYLOAD,))], span)])


def cases(place: Place, _: Plan) -> Iterator[Case]:
    """List the case on one database."""
    yield Case(system=SYSTEM, database=place.name, work=WORK, callers="threads", clients=1, run=partial(run, place))
