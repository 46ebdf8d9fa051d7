"""Generations in a database: implements the projections' port `Store`.

A generation's position is changed in the same transaction as its rows.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, select, update

from holdbook.domain.errors import NotFound
from holdbook.domain.values import instant, instant_text
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.database.tables import generations as table
from holdbook.infrastructure.database.tables import skipped_events, upsert
from holdbook.infrastructure.views import physical, publication
from holdbook.infrastructure.views.bulk import PostgresBulk, SQLiteBulk
from holdbook.infrastructure.views.comparison import compare
from holdbook.projections.generations import Generation, GenerationComparison, GenerationState, Moved

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

    from holdbook.infrastructure.database.database import Database
    from holdbook.infrastructure.views.bulk import Bulk
    from holdbook.projections.definition import Key, Row, Table, View
    from holdbook.projections.fold import TableChanges

_PIECE_ROWS: Final = 2000
"""How many rows are removed in one transaction if the log's writers wait for it."""


class SQLStore:
    """Keeps the generations of one database's views."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._bulk: Bulk = SQLiteBulk() if database.is_sqlite else PostgresBulk()
        self.batch_seconds_max = 0.05 if database.is_sqlite else 1.0
        """How long a transaction should take at most: in SQLite the log's writers wait for it."""

    # Reading

    def generations(self) -> list[Generation]:
        """List every generation, by view and number."""
        with self._database.reading() as connection:
            return list_generations(connection)

    def load(self, generation: Generation, table: Table, begins: Collection[Key]) -> Mapping[Key, Row]:
        """Read the last row for each of the beginnings of a key; raises `Moved` if the position changed meanwhile."""
        begin_of = table.find_getter()
        with self._database.reading() as connection:
            if _position(connection, generation) != generation.position:
                raise Moved
            rows = self._bulk.find(_driver(connection), table, generation.number, begins)
            return {begin_of(row): row for row in rows}

    # Moving

    def advance(self, generation: Generation, changes: Sequence[TableChanges], position: int, rate: int) -> float:
        """Write rows and the new position in one transaction; give the seconds that it took.

        The position is compared and set: raises `Moved` if it changed meanwhile, or if the generation is not open any
        more. Raises `RowsRefused` if the database refuses a row.
        """
        with self._database.changing() as connection:
            began = monotonic()
            here = _is_row_of(generation)
            open_here = (*here, table.c.position == generation.position, table.c.stopped_at.is_(None), _IS_OPEN)
            values = {"position": position, "rate": rate, "moved_at": instant_text(system_clock())}
            if connection.execute(update(table).where(*open_here).values(values)).rowcount != 1:
                raise Moved
            for one in changes:
                if not one.is_empty:
                    self._bulk.write(_driver(connection), one, generation.number)
        return monotonic() - began

    def stop(self, generation: Generation, position: int, event_type: str, error: str) -> None:
        """Record the event on which a generation failed, and the error. It does not move until it is resumed."""
        values = {"stopped_at": position, "stopped_type": event_type, "error": error}
        with self._database.changing() as connection:
            here = (*_is_row_of(generation), table.c.position == generation.position)
            connection.execute(update(table).where(*here).values(values))

    def resume(self, generation: Generation) -> None:
        """Let a generation that failed on an event try it again."""
        with self._database.changing() as connection:
            _resume(connection, generation)

    def skip(self, generation: Generation, *, reason: str, actor: str) -> None:
        """Have a generation leave out the event on which it failed; record why, and who decided it."""
        values = {
            "view": generation.view,
            "generation": generation.number,
            "position": generation.stopped_at,
            "type": generation.stopped_type,
            "error": generation.error,
            "reason": reason,
            "actor": actor,
            "skipped_at": instant_text(system_clock()),
        }
        with self._database.changing() as connection:
            connection.execute(insert(skipped_events).values(values))
            _resume(connection, generation)

    def skips(self) -> list[dict[str, Any]]:
        """List the events that generations were told to leave out, also those of generations that are removed."""
        with self._database.reading() as connection:
            found = connection.execute(select(skipped_events).order_by(*skipped_events.primary_key)).mappings()
            return [{str(name): value for name, value in row.items()} for row in found]

    # Building

    def begin(self, view: View) -> Generation:
        """Make a view's next generation, or find the unfinished one that the same code began. Discards any other."""
        self._remove(view.name, {GenerationState.DISCARDED})
        while True:
            with self._database.changing() as connection:
                found = _locked(connection, view.name)
                for one in found:
                    if one.state is GenerationState.BUILDING and one.fingerprint == view.fingerprint:
                        return one
                    if one.state is GenerationState.BUILDING:
                        _set_state(connection, one, GenerationState.DISCARDED)
                number = max([_last_skipped(connection, view.name), *(one.number for one in found)]) + 1
                if enter(connection, view, number, GenerationState.BUILDING):
                    physical.create(connection, view, number)

    def finish(self, view: View, generation: Generation) -> None:
        """Make the indexes that `begin` left out so that rows load faster."""
        with self._database.changing() as connection:
            if any(one.number == generation.number for one in _locked(connection, view.name)):
                physical.finish(connection, view, generation.number)

    def compare(self, view: View, live: Generation, building: Generation) -> GenerationComparison | None:
        """Compare two generations in the columns that both have; None if they are not at the same position."""
        return compare(self._database, view, live, building)

    def note_compared(self, building: Generation, position: int) -> None:
        """Record the position at which a generation equals the live one, or its differences were accepted."""
        with self._database.changing() as connection:
            connection.execute(update(table).where(*_is_row_of(building)).values(compared_at=position))

    def discard(self, generation: Generation) -> None:
        """Abandon a generation that is being built."""
        with self._database.changing() as connection:
            for one in _locked(connection, generation.view):
                if one.number == generation.number and one.state is GenerationState.BUILDING:
                    _set_state(connection, one, GenerationState.DISCARDED)

    # Publishing

    def publish(self, view: View, building: Generation) -> bool:
        """Make a generation the live one, and keep the one before; False if that is ahead of it.

        Raises `Moved` if the generation is not being built any more.
        """

        def switch(connection: Connection) -> bool:
            found = _locked(connection, view.name)
            live = _live(found)
            present = next((one for one in found if one.number == building.number), None)
            if present is None or present.state is not GenerationState.BUILDING:
                raise Moved
            if live is not None and live.position > present.position:
                return False
            _make_live(connection, live, present)
            return True

        return publication.patiently(self._database, switch)

    def put_back(self, view: str) -> Generation:
        """Make the kept generation the live one again, and keep the other; raises `NotFound` if none is kept."""

        def switch(connection: Connection) -> Generation:
            found = _locked(connection, view)
            kept = [one for one in found if one.state is GenerationState.KEPT]
            if not kept:
                raise NotFound("kept generation of view", view)
            _make_live(connection, _live(found), kept[-1])
            return replace(kept[-1], state=GenerationState.LIVE)

        return publication.patiently(self._database, switch)

    def prune(self, view: str) -> list[int]:
        """Remove a view's kept and discarded generations; give their numbers."""
        return self._remove(view, {GenerationState.KEPT, GenerationState.DISCARDED})

    def _remove(self, view: str, states: Collection[GenerationState]) -> list[int]:
        """Remove a view's generations that are in some states, and their tables; give their numbers."""
        with self._database.changing() as connection:
            gone = [(one, _tables_of(connection, one)) for one in _locked(connection, view) if one.state in states]
            for one, _ in gone:
                _set_state(connection, one, GenerationState.DISCARDED)  # once removal begins, it cannot be put back
        for one, names in gone:
            for name in names if self._database.is_sqlite else ():
                while self._remove_piece(name):
                    pass
            publication.patiently(self._database, partial(_drop, one, names))
        return [one.number for one, _ in gone]

    def _remove_piece(self, name: str) -> int:
        piece = f"DELETE FROM {name} WHERE rowid IN (SELECT rowid FROM {name} LIMIT {_PIECE_ROWS})"  # noqa: S608 - own names
        with self._database.changing() as connection:
            return connection.exec_driver_sql(piece).rowcount


_IS_OPEN: Final = table.c.state.in_((GenerationState.BUILDING, GenerationState.LIVE))


def list_generations(connection: Connection) -> list[Generation]:
    """List every generation in a database, by view and number."""
    skipped: dict[tuple[str, int], set[int]] = {}
    columns = (skipped_events.c.view, skipped_events.c.generation, skipped_events.c.position)
    for view, number, position in connection.execute(select(*columns)):
        skipped.setdefault((view, number), set()).add(position)
    found = connection.execute(select(table).order_by(table.c.view, table.c.generation))
    return [
        Generation(
            view=row.view,
            number=row.generation,
            state=GenerationState(row.state),
            version=row.version,
            fingerprint=row.fingerprint,
            position=row.position,
            moved_at=row.moved_at and instant(row.moved_at),
            rate=row.rate,
            compared_at=row.compared_at,
            stopped_at=row.stopped_at,
            stopped_type=row.stopped_type,
            error=row.error,
            skipped=frozenset(skipped.get((row.view, row.generation), ())),
        )
        for row in found
    ]


def _last_skipped(connection: Connection, view: str) -> int:
    """Find the greatest number of a generation that left events out: as the record stays, it is not used again."""
    last = select(func.max(skipped_events.c.generation)).where(skipped_events.c.view == view)
    return connection.execute(last).scalar() or 0


def enter(connection: Connection, view: View, number: int, state: GenerationState) -> bool:
    """Insert a new generation into the table; tell whether it was not there already."""
    values = {
        "view": view.name,
        "generation": number,
        "state": state,
        "version": view.version,
        "fingerprint": view.fingerprint,
        "tables": " ".join(one.physical(number) for one in view.tables),
        "position": 0,
    }
    entered = upsert(connection, table).values(values).on_conflict_do_nothing().returning(table.c.generation)
    return connection.execute(entered).first() is not None


def prepare(connection: Connection, views: Sequence[View]) -> None:
    """Make and publish a first generation of every view that has none. The connection must hold the log's lock."""
    known = {one.view for one in list_generations(connection)}
    for view in views:
        if view.name not in known and enter(connection, view, 1, GenerationState.LIVE):
            physical.create(connection, view, 1)
            physical.finish(connection, view, 1)
            publication.point(connection, view.name, view.published.physical(1))


def _is_row_of(generation: Generation) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.view == generation.view, table.c.generation == generation.number


def _position(connection: Connection, generation: Generation) -> int | None:
    return connection.execute(select(table.c.position).where(*_is_row_of(generation))).scalar()


def _resume(connection: Connection, generation: Generation) -> None:
    values = {"stopped_at": None, "stopped_type": None, "error": None}
    connection.execute(update(table).where(*_is_row_of(generation)).values(values))


def _locked(connection: Connection, view: str) -> list[Generation]:
    """List a view's generations by number, locked against changes by others until the transaction ends."""
    connection.execute(select(table.c.generation).where(table.c.view == view).with_for_update())
    return [one for one in list_generations(connection) if one.view == view]


def _live(found: Iterable[Generation]) -> Generation | None:
    return next((one for one in found if one.is_live), None)


def _set_state(connection: Connection, generation: Generation, state: GenerationState) -> None:
    connection.execute(update(table).where(*_is_row_of(generation)).values(state=state))


def _make_live(connection: Connection, live: Generation | None, other: Generation) -> None:
    """Make a generation the live one, and keep the one before."""
    if live is not None:
        _set_state(connection, live, GenerationState.KEPT)
    _set_state(connection, other, GenerationState.LIVE)
    publication.point(connection, other.view, _tables_of(connection, other)[0])


def _tables_of(connection: Connection, generation: Generation) -> list[str]:
    """List the physical tables of a generation, the published one first, as the code that made them recorded it."""
    return str(connection.execute(select(table.c.tables).where(*_is_row_of(generation))).scalar_one()).split()


def _drop(generation: Generation, names: Sequence[str], connection: Connection) -> None:
    for name in names:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
    connection.execute(delete(table).where(*_is_row_of(generation)))


def _driver(connection: Connection) -> Any:  # noqa: ANN401 - either driver's connection
    return connection.connection.dbapi_connection
