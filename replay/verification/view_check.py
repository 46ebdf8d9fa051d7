"""Views beside the fold of the log: compared at the view's own position, though both move on meanwhile."""

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
    """Reads the log after a position up to another, page by page: what views fold, and where the page ends."""

Table = TypeVar("Table", bound="ComparedTable")
Table_contra = TypeVar("Table_contra", bound="ComparedTable", contravariant=True)

NEAR_EVENTS: Final = 10_000
"""A view that is no more than this ahead of the fold is caught up with while its rows wait to be read."""


class ComparedTable(Protocol):
    """A table of a view."""

    @property
    def name(self) -> str:
        """Its name; of the published table, the view's."""
        ...

    @property
    def columns(self) -> Iterable[str]:
        """The columns in order."""
        ...

    @property
    def key(self) -> Sequence[str]:
        """The columns that tell rows apart."""
        ...

    @property
    def grows(self) -> bool:
        """Tell whether rows are only ever added, by position."""
        ...


class Look(Protocol[Table_contra]):
    """A view's rows and position at one moment."""

    @property
    def position(self) -> int:
        """Position in the log up to which the view is said to be true."""
        ...

    def rows(self, table: Table_contra, after: int | None, upto: int | None) -> Iterable[Sequence[Any]]:
        """Read a table's rows, values in the order of the columns; of one that only grows, of a range of positions."""
        ...


class CheckedView(Protocol[Table]):
    """A view that can be compared, and the fold of the log that it is compared with."""

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
        """Fold events; what was wrong with those that could not be folded, said in words."""
        ...

    def folded(self, table: Table) -> Mapping[Key, Mapping[str, Any]]:
        """Show the rows of a table that there should be, by key, since they were last cleared."""
        ...

    def clear(self, table: Table) -> None:
        """Forget the rows that there should be: those of a table that only grows, once they were compared."""
        ...


class ViewCheck(Generic[Table]):
    """Compares one view. A table whose key is the position only ever grows, so it is compared piece by piece."""

    def __init__(self, view: CheckedView[Table], add: Callable[[str, Harm], None]) -> None:
        self._view = view
        self._report = add
        self._growing = [table for table in view.tables if table.grows]
        self._compared_upto: int | None = None
        """Of the tables that grow: the position up to which they have been compared."""
        self._rows = 0
        self._folded_upto = 0
        """Position up to which the log is folded."""
        with view.look() as look:
            self._target = look.position

    def fold(self, page: Sequence[Any], position: int) -> None:
        """Fold a page of the log that ends at a position, as far as the view has come."""
        if position > self._target:
            page = [event for event in page if event.position <= self._target]
        for fault in self._view.fold(page):
            self._add(f"cannot be computed: {fault}")
        self._folded_upto = max(self._folded_upto, min(position, self._target))
        if self._growing and self._folded_upto > (self._compared_upto or 0):
            with self._view.look() as look:
                self._compare_growing(look, self._folded_upto)

    def settle(self, read: Read, head: int) -> ViewChecked:
        """Compare the rest at the view's position, reading on where it has moved; ``head`` is what was verified."""
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
        """Compare what is left of the tables that grow, up to a position if one is given."""
        for table in self._growing:
            self._compare(table, look.rows(table, self._compared_upto, upto))
            self._view.clear(table)
        self._compared_upto = upto

    def _compare(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        """Compare rows with the fold."""
        folded, columns = self._view.folded(table), list(table.columns)
        key_of, values_of = _key_getter(table.key, columns), itemgetter(*columns)
        if isinstance(rows, list) and rows == list(map(values_of, folded.values())):  # the usual case, in order
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
    """Compares views with the log, at once or meanwhile."""

    def begin(self, head: int) -> None:
        """Begin, if it is done meanwhile; ``head`` is what of the log is verified."""
        ...

    def done(self) -> int:
        """Tell how many events have been folded so far; below 0 if there is nothing to compare."""
        ...

    def result(self, tell: Callable[[int], None]) -> ViewComparison:
        """Give what was found, once all is compared; until then, ``tell`` is told how many events have been folded."""
        ...


class NoViews:
    """Compares nothing."""

    def begin(self, head: int) -> None:
        """Do nothing."""

    def done(self) -> int:
        """Tell that there is nothing to compare."""
        return -1

    def result(self, tell: Callable[[int], None]) -> ViewComparison:  # noqa: ARG002 - there is nothing to tell
        """Give nothing."""
        return ViewComparison(())


NO_VIEWS: Final = NoViews()


class CheckedViews:
    """Compares views when asked for the result; the log is read anew for that."""

    def __init__(self, views: Sequence[CheckedView[Any]], read: Read) -> None:
        self._read = read
        self._findings = Findings()
        self._checks = [
            ViewCheck(view, partial(self._findings.add, None, Check.VIEWS, view=view.name)) for view in views
        ]
        self._head = 0

    def begin(self, head: int) -> None:
        """Take note of how much of the log is verified."""
        self._head = head

    def done(self) -> int:
        """Tell that nothing has been folded yet."""
        return 0

    def result(self, tell: Callable[[int], None]) -> ViewComparison:
        """Fold the log, and compare."""
        for events, position in self._read(BEFORE_ALL, self._head):
            for check in self._checks:
                check.fold(events, position)
            tell(position)
        views = tuple(check.settle(self._read, self._head) for check in self._checks)
        return ViewComparison(views, tuple(self._findings.in_order()), self._findings.more)


def reading(stored: StoredLog, read: Callable[[StoredRow], Any]) -> Read:
    """Read a log's rows one by one; what ``read`` cannot take is left out."""

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
