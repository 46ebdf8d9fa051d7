"""Batches of 500: Holdbook's `record` beside the database's own way of taking the same rows into the same table."""

from __future__ import annotations

from array import array
from contextlib import closing
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from benchmarks.case import Case
from benchmarks.measure import Sample, Span, Window
from benchmarks.places import connect_postgres, connect_sqlite
from holdbook import Allocate, Ledger, Limits, Release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.places import Place
    from benchmarks.plan import Plan
    from holdbook.domain.commands import Command

WORK: Final = "batches of 500"
SYSTEMS: Final = {"postgresql": "COPY", "sqlite": "executemany"}
"""The baseline's name on each database."""

BATCH: Final = 500
_WARM_UP_BATCHES: Final = 2
_POOL: Final = "gpu"


class Bulk:
    """Both sides of the comparison on one database."""

    def __init__(self, place: Place, batches: int) -> None:
        self._place = place
        self._batches = batches + _WARM_UP_BATCHES

    def record(self, _: Span) -> Sample:
        """Measure `Ledger.record`; a batch's commands are there before its time begins, as the rows of the other."""
        took = array("d")
        with self._place.fresh() as url, Ledger.open(url) as ledger:
            self._fill(ledger, took)
        return _sample(took)

    def copy(self, _: Span) -> Sample:
        """Measure the database's way, a transaction a batch, into an empty ledger's table, which has all indexes."""
        rows = self._rows
        parts = [rows[:1], *(rows[start : start + BATCH] for start in range(1, len(rows), BATCH))]
        with self._place.fresh() as url:
            took = _executemany(url, parts) if self._place.name == "sqlite" else _copy(url, parts)
        return _sample(took[1:])

    @cached_property
    def _rows(self) -> list[tuple[Any, ...]]:
        """The rows that Holdbook writes for the same commands, and before them that of the pool's opening."""
        with self._place.fresh() as url:
            with Ledger.open(url) as ledger:
                self._fill(ledger, array("d"))
            connect: Any = connect_sqlite if self._place.name == "sqlite" else connect_postgres
            with closing(connect(url)) as connection:
                found: list[tuple[Any, ...]] = connection.execute("SELECT * FROM events ORDER BY position").fetchall()
        if len(found) != self._batches * BATCH + 1:
            message = f"expected one row a command, {self._batches * BATCH}; there are {len(found) - 1}"
            raise RuntimeError(message)
        return found

    def _fill(self, ledger: Ledger, took: array[float]) -> None:
        """Allocate 500 and release them, batch by batch."""
        ledger.open_pool(_POOL, resource_type="gpu", limits=Limits(total=1_000_000))
        held: list[str] = []
        for number in range(self._batches):
            commands: list[Command]
            if held:
                commands, held = [Release(allocation_id=one) for one in held], []
            else:
                commands = [Allocate(quantities={_POOL: 1}, owner=f"owner-{number}") for _ in range(BATCH)]
            begun = perf_counter()
            outcomes = ledger.record(commands)
            took.append(perf_counter() - begun)
            if isinstance(commands[0], Allocate):
                held = [outcome.allocation.id for outcome in outcomes if outcome.allocation]


def _sample(took: array[float]) -> Sample:
    counted = took[_WARM_UP_BATCHES:]
    return Sample.of([Window(sum(counted), counted)], BATCH)


def _copy(url: str, parts: list[list[tuple[Any, ...]]]) -> array[float]:
    took = array("d")
    with closing(connect_postgres(url)) as connection:
        for part in parts:
            begun = perf_counter()
            with connection.cursor() as cursor, cursor.copy("COPY events FROM STDIN") as copy:
                for row in part:
                    copy.write_row(row)
            connection.commit()
            took.append(perf_counter() - begun)
    return took


def _executemany(url: str, parts: list[list[tuple[Any, ...]]]) -> array[float]:
    took = array("d")
    statement = f"INSERT INTO events VALUES ({', '.join('?' * len(parts[0][0]))})"  # noqa: S608 - only marks
    with closing(connect_sqlite(url)) as connection:
        for part in parts:
            begun = perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(statement, part)
            connection.execute("COMMIT")
            took.append(perf_counter() - begun)
    return took


def cases(place: Place, plan: Plan) -> Iterator[Case]:
    """List the cases on one database."""
    bulk = Bulk(place, plan.batches)
    for system, run in ((SYSTEMS[place.name], bulk.copy), ("Holdbook", bulk.record)):
        yield Case(system=system, database=place.name, work=WORK, callers="threads", clients=1, run=run)
