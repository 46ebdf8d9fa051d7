"""Views beside the fold of the log: compared at the view's own position, though both move on meanwhile."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

from bursar.replay.findings import Check, ViewChecked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from bursar.domain.records import Recorded
    from bursar.replay.findings import Findings

    Key = tuple[Any, ...]

NEAR_EVENTS: Final = 10_000
"""A view that is no more than this ahead of the fold is caught up with while its rows wait to be read."""


class Look(Protocol):
    """A view's rows and position at one moment."""

    @property
    def position(self) -> int:
        """Position in the log up to which the view is said to be true."""
        ...

    def rows(self, after: int | None, upto: int | None) -> Iterable[Sequence[Any]]:
        """Read the rows, values in the order of the columns; of a view that only grows, of a range of positions."""
        ...


class CheckedView(Protocol):
    """A view that can be compared, and the fold of the log that it is compared with."""

    @property
    def name(self) -> str:
        """The published name."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The columns in order."""
        ...

    @property
    def key(self) -> Sequence[str]:
        """The columns that tell rows apart."""
        ...

    def look(self) -> AbstractContextManager[Look]:
        """Look at the view as it is at one moment."""
        ...

    def fold(self, recorded: Recorded) -> None:
        """Fold one more event."""
        ...

    def folded(self) -> Mapping[Key, Mapping[str, Any]]:
        """Show the rows that there should be, by key, since the fold was last cleared."""
        ...

    def clear(self) -> None:
        """Forget the rows that there should be: those of an append-only view, once they were compared."""
        ...


class ViewCheck:
    """Compares one view. A view whose key is the position only ever grows, so it is compared piece by piece."""

    def __init__(self, view: CheckedView, findings: Findings) -> None:
        self._view = view
        self._findings = findings
        self._grows = tuple(view.key) == ("position",)
        self._compared: int | None = None
        """Of a growing view: the position up to which it has been compared."""
        self._rows = 0
        self._at = 0
        """Position up to which the log is folded."""
        with view.look() as look:
            self._target = look.position

    def fold(self, page: Iterable[Recorded], position: int) -> None:
        """Fold a page of the log that ends at a position, as far as the view has come."""
        for recorded in page:
            if recorded.position <= self._target:
                self._view.fold(recorded)
        self._at = max(self._at, min(position, self._target))
        if self._grows and self._at > (self._compared or 0):
            with self._view.look() as look:
                self._compare(look, self._at)

    def settle(self, read: Callable[[int, int], Iterator[tuple[int, list[Recorded]]]], head: int) -> ViewChecked:
        """Compare the rest at the view's position, reading on where it has moved; ``head`` is what was verified."""
        while True:
            with self._view.look() as look:
                target = look.position
                near = target - self._at <= NEAR_EVENTS
                if target < self._at:
                    self._add(f"went back to position {target} while it was compared; verify again")
                elif near:
                    self._read_on(read, target)
                    self._compare(look, None)
            if near:
                return ViewChecked(self._view.name, target, max(head - target, 0), self._rows)
            self._read_on(read, target)

    def _read_on(self, read: Callable[[int, int], Iterator[tuple[int, list[Recorded]]]], target: int) -> None:
        self._target = target
        for position, page in read(self._at, target):
            self.fold(page, position)
        if self._at < target:
            self._add(f"is at position {target}; the log ends at {self._at}")
            self._at = target

    def _compare(self, look: Look, upto: int | None) -> None:
        """Compare rows with the fold; of a growing view those up to a position, if one is given."""
        left = dict(self._view.folded())
        columns, key_of = self._view.columns, _getter(self._view.key, self._view.columns)
        for row in look.rows(self._compared, upto) if self._grows else look.rows(None, None):
            self._rows += 1
            key = key_of(row)
            wanted = left.pop(key, None)
            if wanted is None:
                self._add(f"has a row with none in the log, at {self._named(key)}")
                continue
            for column, value in zip(columns, row, strict=True):
                if value != wanted[column]:
                    self._add(f"differs at {self._named(key)}: {column} is {value!r}, the log says {wanted[column]!r}")
        for key in left:
            self._add(f"lacks the row at {self._named(key)}")
        if self._grows:
            self._compared = upto
            self._view.clear()

    def _named(self, key: Key) -> str:
        return ", ".join(f"{column} {value!r}" for column, value in zip(self._view.key, key, strict=True))

    def _add(self, message: str) -> None:
        self._findings.add(None, Check.VIEWS, f"view {self._view.name} {message}")


def _getter(key: Sequence[str], columns: Sequence[str]) -> Callable[[Sequence[Any]], Key]:
    places = [list(columns).index(column) for column in key]
    if len(places) == 1:
        place = places[0]
        return lambda row: (row[place],)
    return itemgetter(*places)
