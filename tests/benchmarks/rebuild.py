"""Rebuilding views: one, and all together; the building alone, and all of it; beside a bare SELECT of the same rows.

Building is reading the log, folding, writing rows and making indexes, which is what the library's runner does too. The
whole rebuild compares what it built with the live generation and with another fold of the log, and switches.
"""

from __future__ import annotations

from array import array
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, LiteralString, Self

from benchmarks import projecting
from benchmarks.case import Case
from benchmarks.churn import POOLS, batches
from benchmarks.holdbook_cases import open_pools
from benchmarks.measure import Sample, Span, Window, settle
from benchmarks.places import connect_postgres, connect_sqlite
from holdbook import Allocate, Ledger, Release
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.views.store import SQLStore
from holdbook.infrastructure.views.view_events import SQLViewEvents
from holdbook.projections.engine import Build, Engine
from holdbook.projections.views.catalogue import VIEWS
from holdbook.projections.views.current_allocations import CURRENT_ALLOCATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.places import Place
    from benchmarks.plan import Plan
    from holdbook.domain.commands import Command
    from holdbook.projections.definition import View

SYSTEM: Final = "Holdbook"
SELECT: Final = "bare SELECT"
ROWS: Final = "rows of a rebuild"
ONE: Final = "rebuild of one view"
ALL: Final = "rebuild of all five views"
BUILDING: Final = ", building only"
"""Follows the work where only that is measured."""

_PAGE: Final = 10_000
_STATEMENT: Final[LiteralString] = "SELECT * FROM events WHERE position > %s ORDER BY position LIMIT %s"


class Histories:
    """Logs to build views from, or to read: written when first needed, one a database; copied where they change."""

    def __init__(self, events: int) -> None:
        self.events = events
        self._stack = ExitStack()
        self._urls: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def url(self, place: Place) -> str:
        """Give the URL of the log itself, to be read only; its views are up to date."""
        if place.name not in self._urls:
            with ExitStack() as stack:
                url: str = stack.enter_context(place.fresh())
                fill(url, self.events)
                self._stack.push(stack.pop_all())
            self._urls[place.name] = url
            settle()
        return self._urls[place.name]

    @contextmanager
    def copy(self, place: Place) -> Iterator[str]:
        """Copy the log for the time of a block, and give its URL."""
        with place.fresh(like=self.url(place)) as url:
            yield url


def fill(url: str, events: int) -> None:
    """Write the log, and bring the views up to date."""
    with Ledger.open(url) as ledger:
        open_pools(ledger, POOLS)
        held: dict[int, str] = {}
        for batch in batches(events):
            commands: list[Command] = [
                Allocate(quantities={turn.pool: turn.quantity}, owner=turn.owner, tags=turn.tags)
                if turn.allocates
                else Release(allocation_id=held.pop(turn.number))
                for turn in batch
            ]
            for turn, outcome in zip(batch, ledger.record(commands), strict=True):
                if outcome.allocation is None:
                    raise outcome.refusal or RuntimeError(f"no allocation in the answer to {outcome.command_id}")
                if turn.allocates:
                    held[turn.number] = outcome.allocation.id
        ledger.projector().catch_up()
    if not url.startswith("sqlite"):
        with closing(connect_postgres(url, autocommit=True)) as connection:
            connection.execute("VACUUM (ANALYZE)")  # as the server itself does to tables that have grown


def build(url: str, views: Sequence[View]) -> tuple[float, int]:
    """Build the next generation of views; the seconds that it took, and the events."""
    with Ledger.open(url) as ledger:
        log = ledger.log
        if not isinstance(log, SQLEventLog):
            raise TypeError(log)
        source, store = SQLViewEvents(log), SQLStore(log.database)
        engine = Engine(source, store)
        begun = perf_counter()
        head = source.head()
        builds = [Build.of(view, store.begin(view)) for view in views]
        engine.move(builds, head)
        for one in builds:
            store.finish(one.view, one.generation)
        seconds = perf_counter() - begun
        for one in builds:
            if one.position != head:
                message = f"{one.view.name} came to position {one.position} of {head}: {one.generation.error}"
                raise RuntimeError(message)
    return seconds, head


def rebuild(url: str, views: Sequence[View]) -> tuple[float, int]:
    """Rebuild views, with every comparison and the switch; the seconds that it took, and the events."""
    with Ledger.open(url) as ledger:
        projector = ledger.projector()
        begun = perf_counter()
        found = projector.rebuild(*(view.name for view in views))
        seconds = perf_counter() - begun
    for one in found:
        if not one.published:
            message = f"{one.name} was not published: {one.error or [*one.differences, *one.faults]}"
            raise RuntimeError(message)
    return seconds, min(one.position for one in found)


def select(url: str) -> tuple[float, int]:
    """Read every row of the log, all columns, by the driver's own cursor; the seconds that it took, and the events."""
    is_sqlite = url.startswith("sqlite")
    statement = _STATEMENT.replace("%s", "?") if is_sqlite else _STATEMENT
    connection: Any = connect_sqlite(url) if is_sqlite else connect_postgres(url)
    with closing(connection):
        begun, after = perf_counter(), 0
        while rows := connection.execute(statement, (after, _PAGE)).fetchall():
            after = rows[-1][0]
        return perf_counter() - begun, after


def run(histories: Histories, place: Place, do: Callable[[str], tuple[float, int]], span: Span) -> Sample:  # noqa: ARG001 - it takes as long as it takes
    """Measure one round, on a copy of the log; an operation is an event, and the time that of the whole."""
    with histories.copy(place) as url:
        seconds, events = do(url)
    return Sample.of([Window(seconds, array("d", [seconds]))], events, events=events)


def cases(place: Place, plan: Plan, histories: Histories) -> Iterator[Case]:
    """List the cases on one database."""
    yield from projecting.cases(place, plan)
    wanted: list[tuple[str, str, Callable[[str], tuple[float, int]]]] = [(SELECT, ROWS, select)]
    for work, views in ((ONE, [CURRENT_ALLOCATIONS]), (ALL, VIEWS)):
        wanted += [(SYSTEM, work + BUILDING, partial(build, views=views))]
        wanted += [(SYSTEM, work, partial(rebuild, views=views))]
    for system, work, do in wanted:
        yield Case(
            system=system,
            database=place.name,
            work=work,
            callers="threads",
            clients=1,
            run=partial(run, histories, place, do),
        )
