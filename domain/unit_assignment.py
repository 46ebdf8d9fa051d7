"""Named units of a pool, such as the devices ``gpu-0`` to ``gpu-7``: which allocation has which of them."""

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
    """Assigns the units of a pool to its allocations, by folding the events of the pool's stream.

    The rules depend on nothing but the stream and the list of units, so every reader computes the same assignment, and
    none has to be recorded. A grant takes the first free units in the order of the list, and so does a growth. A shrink
    frees the units that the allocation took last, and an end frees all of them. If the pool's limits allow more than
    there are units, a grant or growth for which too few are free takes none.

    Units may be added at the end of the list later, and change no earlier assignment, unless there has been a grant or
    growth that took none.
    """

    def __init__(self, units: Sequence[str]) -> None:
        """Begin with all units free. They are assigned in the order of their names here; raises `Malformed`."""
        if isinstance(units, str) or not units:
            raise Malformed("units", units, "expected a list of at least one name")
        for unit in units:
            given_name("units", unit)
        if len(set(units)) < len(units):
            raise Malformed("units", list(units), "expected each name once")
        self.units = tuple(units)
        self.version = 0
        """Version in the pool's stream of the last event that was folded; 0 before the first."""
        self._free = list(range(len(units)))
        """Indexes of the free units, as a heap (`heapq`): the first in the list comes first."""
        self._taken: dict[str, list[int]] = {}
        """Indexes of the units of each allocation, in the order in which it took them."""

    @property
    def free(self) -> int:
        """How many units are free."""
        return len(self._free)

    def of(self, allocation_id: str) -> tuple[str, ...] | None:
        """List the units of an allocation, in the order in which it took them; None if it holds nothing of the pool."""
        taken = self._taken.get(allocation_id)
        return None if taken is None else tuple(self.units[index] for index in taken)

    def evolve(self, recorded: Recorded) -> None:
        """Fold the next event of the pool's stream; raises `LogCorrupt` if its version is not the next one."""
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
        """Let an allocation have so many units. If too few are free, it keeps those that it has, and False is given."""
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
