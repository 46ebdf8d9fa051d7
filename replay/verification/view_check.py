"""Checks of views: each must equal the fold of the log at the view's position, though both move on meanwhile."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

from holdbook.domain.errors import LogCorrupt
from holdbook.domain.records import StoredRow
from holdbook.replay.verification.findings import Check, Finding, Findings, Harm, ViewChecked
from holdbook.replay.verification.raw_log import BEFORE_ALL, pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from holdbook.replay.verification.raw_log import Page, StoredLog

    Key = tuple[Any, ...]
    Read = Callable[[int, int], Iterable[tuple[Sequence[Any], int]]]
    """Reads events after one position and up to another; gives them in pages, each with the position of its end."""

Table = TypeVar("Table", bound="ComparedTable")
Table_contra = TypeVar("Table_contra", bound="ComparedTable", contravariant=True)

NEAR_EVENTS: Final = 10_000
"""If a view is at most this far ahead of the fold, the fold catches up while the view's rows wait to be read."""


class ComparedTable(Protocol):
    """A table of a view."""

    @property
    def name(self) -> str:
        """The table's name; for the published table, the view's name."""
        ...

    @property
    def columns(self) -> Iterable[str]:
        """The columns in order."""
        ...

    @property
    def key(self) -> Sequence[str]:
        """The columns that identify a row."""
        ...

    @property
    def grows(self) -> bool:
        """Tell whether rows are only ever added, in the order of positions."""
        ...


class Look(Protocol[Table_contra]):
    """A view's rows and position at one moment."""

    @property
    def position(self) -> int:
        """The position in the log up to which the view should be true."""
        ...

    def rows(self, table: Table_contra, after: int | None, upto: int | None) -> Iterable[Sequence[Any]]:
        """Read a table's rows, with values in the order of the columns.

        For a table that only grows, gives only rows at positions after ``after`` and up to ``upto``, if these are
        given.
        """
        ...


class CheckedView(Protocol[Table]):
    """A view to be compared, and the fold of the log that it is compared with."""

    @property
    def name(self) -> str:
        """The published name."""
        ...

    @property
    def tables(self) -> Sequence[Table]:
        """The tables, the published one first."""
        ...

    def look(self) -> AbstractContextManager[Look[Table]]:
        """Look at the view as it is at one moment."""
        ...

    def fold(self, events: Sequence[Any]) -> Iterable[object]:
        """Fold events; gives, for each event that could not be folded, what was wrong."""
        ...

    def folded(self, table: Table) -> Mapping[Key, Mapping[str, Any]]:
        """Give the rows by key that a table should have, since its rows were last cleared."""
        ...

    def clear(self, table: Table) -> None:
        """Forget the rows that a table should have, once they were compared."""
        ...


class ViewCheck(Generic[Table]):
    """Compares one view. A table that only grows is compared piece by piece, any other at the end."""

    def __init__(self, view: CheckedView[Table], add: Callable[[str, Harm], None]) -> None:
        self._view = view
        self._report = add
        self._growing = [table for table in view.tables if table.grows]
        self._compared_upto: int | None = None
        """The position up to which the tables that grow have been compared; None if none has."""
        self._rows = 0
        self._folded_upto = 0
        """The position up to which the log has been folded."""
        with view.look() as look:
            self._target = look.position

    def fold(self, page: Sequence[Any], position: int) -> None:
        """Fold a page of events that ends at a position, as far as the view has come."""
        if position > self._target:
            page = [event for event in page if event.position <= self._target]
        for fault in self._view.fold(page):
            self._add(f"cannot be computed: {fault}")
        self._folded_upto = max(self._folded_upto, min(position, self._target))
        if self._growing and self._folded_upto > (self._compared_upto or 0):
            with self._view.look() as look:
                self._compare_growing(look, self._folded_upto)

    def settle(self, read: Read, head: int) -> ViewChecked:
        """Compare the rest at the view's position, reading on if that has moved; ``head`` is the verified head."""
        while True:
            with self._view.look() as look:
                target = look.position
                is_near = target - self._folded_upto <= NEAR_EVENTS
                if target < self._folded_upto:
                    self._add(f"went back to position {target} while it was compared; verify again")
                elif is_near:
                    self._read_on(read, target)
                    self._compare_growing(look, None)
                    for table in self._view.tables:
                        if not table.grows:
                            self._compare(table, look.rows(table, None, None))
            if is_near:
                return ViewChecked(self._view.name, target, max(head - target, 0), self._rows)
            self._read_on(read, target)

    def _read_on(self, read: Read, target: int) -> None:
        self._target = target
        for page, position in read(self._folded_upto, target):
            self.fold(page, position)
        if self._folded_upto < target:
            self._add(f"is at position {target}; the log ends at {self._folded_upto}")
            self._folded_upto = target

    def _compare_growing(self, look: Look[Table], upto: int | None) -> None:
        """Compare the rest of the tables that grow, up to a position if one is given."""
        for table in self._growing:
            self._compare(table, look.rows(table, self._compared_upto, upto))
            self._view.clear(table)
        self._compared_upto = upto

    def _compare(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        """Compare a table's rows with those of the fold."""
        folded, columns = self._view.folded(table), list(table.columns)
        key_of, values_of = _key_getter(table.key, columns), itemgetter(*columns)
        if isinstance(rows, list) and rows == list(map(values_of, folded.values())):  # most often so, in order
            self._rows += len(rows)
            return
        left = dict(folded)
        for row in rows:
            self._rows += 1
            key = key_of(row)
            expected = left.pop(key, None)
            if expected is None:
                self._add(f"has a row with none in the log, at {_key_text(table, key)}", Harm.LEAK)
                continue
            if tuple(row) == values_of(expected):
                continue
            for column, value in zip(columns, row, strict=True):
                if value != expected[column]:
                    what = f"{column} is {value!r}, the log says {expected[column]!r}"
                    self._add(f"differs at {_key_text(table, key)}: {what}")
        for key in left:
            self._add(f"lacks the row at {_key_text(table, key)}")

    def _add(self, message: str, harm: Harm = Harm.VIEW) -> None:
        self._report(f"view {self._view.name} {message}", harm)


class ViewComparison(NamedTuple):
    """What a comparison of views found."""

    views: tuple[ViewChecked, ...]
    findings: tuple[Finding, ...] = ()
    more: int = 0
    """How many findings there are beyond those listed."""


class Comparison(Protocol):
    """Compares views with the log, at the end or while the log is verified."""

    def begin(self, head: int) -> None:
        """Begin; ``head`` is the position up to which the log is verified."""
        ...

    def done(self) -> int:
        """Tell how many events have been folded so far; below 0 if there are no views to compare."""
        ...

    def result(self, tell: Callable[[int], None]) -> ViewComparison:
        """Wait until all is compared, and give what was found; ``tell`` is called with the events folded so far."""
        ...


class NoViews:
    """Compares no views."""

    def begin(self, head: int) -> None:
        """Do nothing."""

    def done(self) -> int:
        """Tell that there are no views to compare."""
        return -1

    def result(self, tell: Callable[[int], None]) -> ViewComparison:  # noqa: ARG002 - it has no progress to tell
        """Give an empty result."""
        return ViewComparison(())


NO_VIEWS: Final = NoViews()


class CheckedViews:
    """Compares views when the result is asked for, with a pass of its own over the log."""

    def __init__(self, views: Sequence[CheckedView[Any]], read: Read) -> None:
        self._read = read
        self._findings = Findings()
        self._checks = [
            ViewCheck(view, partial(self._findings.add, None, Check.VIEWS, view=view.name)) for view in views
        ]
        self._head = 0

    def begin(self, head: int) -> None:
        """Note up to where the log is verified."""
        self._head = head

    def done(self) -> int:
        """Tell that no event has been folded yet."""
        return 0

    def result(self, tell: Callable[[int], None]) -> ViewComparison:
        """Fold the log and compare the views."""
        for events, position in self._read(BEFORE_ALL, self._head):
            for check in self._checks:
                check.fold(events, position)
            tell(position)
        views = tuple(check.settle(self._read, self._head) for check in self._checks)
        return ViewComparison(views, tuple(self._findings.in_order()), self._findings.more)


def reading(stored: StoredLog, read: Callable[[StoredRow], Any]) -> Read:
    """Read a log's rows as events with ``read``; rows that it cannot read are left out."""

    def readable(page: Page) -> Iterator[Any]:
        for row in map(StoredRow._make, page):
            with suppress(LogCorrupt, TypeError, ValueError):
                yield read(row)

    def read_on(after: int, upto: int) -> Iterator[tuple[Sequence[Any], int]]:
        for page in pages(stored, after, upto):
            yield list(readable(page)), page[-1][0]

    return read_on


def _key_text(table: ComparedTable, key: Key) -> str:
    return ", ".join(f"{column} {value!r}" for column, value in zip(table.key, key, strict=True))


def _key_getter(key: Sequence[str], columns: Sequence[str]) -> Callable[[Sequence[Any]], Key]:
    places = [list(columns).index(column) for column in key]
    if len(places) == 1:
        place = places[0]
        return lambda row: (row[place],)
    return itemgetter(*places)
