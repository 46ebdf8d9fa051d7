"""Named units: which allocation has which of them, as a fold of its pool's events."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from holdbook.domain.checks import given_name
from holdbook.domain.errors import LogCorrupt, Malformed
from holdbook.domain.events import Resized, is_ending, is_opening

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdbook.domain.records import Recorded


class Assignment:
    """Which allocation has which units.

    A grant takes the first units, in the order given, that are free at that point of the pool's stream. An end frees
    them, a shrink frees the last of them, a growth takes the first that are free. So every reader of the stream that
    is given the same units comes to the same, and nothing has to be written. A grant or a growth of more units than
    are free takes none: the pool's limits allow more than there are names.

    Units may be added at the end as long as no such grant has been: those before them are assigned as they were.
    """

    def __init__(self, units: Sequence[str]) -> None:
        """Take the units' names, in the order in which they are taken; raises `Malformed`."""
        if isinstance(units, str) or not units:
            raise Malformed("units", units, "expected a list of at least one name")
        for unit in units:
            given_name("units", unit)
        if len(set(units)) < len(units):
            raise Malformed("units", list(units), "expected each name once")
        self.units = tuple(units)
        self.version = 0
        """Version in the pool's stream of the last event that was seen."""
        self._free = list(range(len(units)))
        self._taken: dict[str, list[int]] = {}

    @property
    def free(self) -> int:
        """How many units nobody has."""
        return len(self._free)

    def of(self, allocation_id: str) -> tuple[str, ...] | None:
        """List the units of an allocation, first those that it took first; None if it holds nothing of the pool."""
        taken = self._taken.get(allocation_id)
        return None if taken is None else tuple(self.units[index] for index in taken)

    def evolve(self, recorded: Recorded) -> None:
        """Fold the next event of the pool's stream; raises `LogCorrupt` for one that cannot follow."""
        if recorded.version != self.version + 1:
            message = f"position {recorded.position}: version {recorded.version} follows {self.version}"
            raise LogCorrupt(message)
        event = recorded.event
        if is_opening(event):
            self.hold(event.allocation_id, event.quantity)
        elif is_ending(event):
            self.give_back(event.allocation_id)
        elif isinstance(event, Resized):
            self.hold(event.allocation_id, event.quantity)
        self.version = recorded.version

    def hold(self, allocation_id: str, quantity: int) -> bool:
        """Have an allocation hold so many units; False if there are too few: then it keeps those that it has."""
        taken = self._taken.setdefault(allocation_id, [])
        while len(taken) > quantity:
            heappush(self._free, taken.pop())
        more = quantity - len(taken)
        if more > len(self._free):
            return False
        taken += (heappop(self._free) for _ in range(more))
        return True

    def give_back(self, allocation_id: str) -> None:
        """Free the units of an allocation, if it has any."""
        for index in self._taken.pop(allocation_id, ()):
            heappush(self._free, index)
