"""Provide units that have names: GPUs or licence seats, for example."""

from __future__ import annotations

import asyncio
from threading import Lock
from typing import TYPE_CHECKING, Any

from holdbook.domain.limits import Limits
from holdbook.domain.unit_assignment import Assignment
from holdbook.infrastructure.clock import new_id
from holdbook.infrastructure.resources.providers.base import BaseProvider, check_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.domain.resources import Resource, ResourceMetadata

_Units = tuple[str, ...]


class UnitResourceProvider(BaseProvider[_Units, _Units]):
    """Provides named units: a resource is a tuple of ``size`` names that no other holder has, in any process.

    Which allocation has which units follows from the events of the pool; see `holdbook.domain.unit_assignment`. Give
    every process the same units in the same order. Without a ledger, the provider assigns the units itself.
    """

    def __init__(self, units: Sequence[str]) -> None:
        """Take the names of the units, each once, in the order in which they are assigned; raises `Malformed`."""
        super().__init__()
        self._assignment = Assignment(units)
        self._ledger: LedgerInterface | None = None
        self._pool = ""
        self._reading = Lock()

    def pool_limits(self) -> Limits:
        """Return the limits of the pool: the number of units."""
        return Limits(total=len(self._assignment.units))

    def quantity(self, options: Mapping[str, Any]) -> int:
        """Return how much of the pool a request takes: ``size`` units, or one; raises `Malformed`."""
        return check_size(options.get("size", 1))

    def registered(self, ledger: LedgerInterface, resource_type: str) -> None:
        """Keep the ledger and the pool of the rights.

        Raises ValueError if the provider is registered with others already, or holds units without a ledger.
        """
        place = (ledger.log.ledger_id, resource_type)
        if self._ledger is None and self._kept:
            message = "units are held that no ledger knows of; register the provider before it gives any"
            raise ValueError(message)
        if self._ledger is not None and (self._ledger.log.ledger_id, self._pool) != place:
            message = f"these units are those of pool {self._pool!r} already; give each pool a provider of its own"
            raise ValueError(message)
        self._ledger, self._pool = ledger, resource_type

    async def allocate(
        self,
        resource_type: str,  # noqa: ARG002 - the port's
        metadata: ResourceMetadata,
        **options: Any,  # noqa: ANN401 - the seed's signature
    ) -> Resource[_Units]:
        """Find the units of a right; raises ValueError if there are too few, and `Malformed` for the size."""
        size = self.quantity(options)
        right = options.get("allocation_id") or new_id()
        if self._ledger is None:
            units = self._assign(right, size)
        else:
            units = self._check_assigned(right, await asyncio.to_thread(self.assigned, right))
        return self._keep(metadata, {"allocation_id": right}, units, units)

    def assigned(self, right: str) -> _Units:
        """List the units that a right has in the ledger now; none if it has ended, or was never granted.

        Reads the events of the pool that are new since the last time. Raises `LogUnavailable`.
        """
        with self._reading:
            if self._ledger is not None:
                with self._ledger.log.reading() as reader:
                    for recorded in reader.stream(f"pool:{self._pool}", after=self._assignment.version):
                        self._assignment.evolve(recorded)
            return self._assignment.of(right) or ()

    async def validate(self, resource: Resource[_Units]) -> list[str]:
        """List what is wrong with units: not allocated here, or not those that the right has in the ledger now."""
        units = self._kept.get(resource.id)
        if units is None:
            return ["Units not allocated"]
        assigned = await asyncio.to_thread(self.assigned, resource.id)
        if assigned == units:
            return []
        return [f"Units changed: {', '.join(units)} given, {', '.join(assigned) or 'none'} by the ledger"]

    async def _take_back(self, right: str, thing: _Units) -> None:  # noqa: ARG002 - the right is enough
        if self._ledger is None:
            self._assignment.give_back(right)

    def _assign(self, right: str, size: int) -> _Units:
        """Assign units to a right without a ledger; raises ValueError if too few are free."""
        if not self._assignment.hold(right, size):
            message = f"Units: {size} asked, {self._assignment.free} of {len(self._assignment.units)} free"
            self._assignment.give_back(right)
            raise ValueError(message)
        return self._assignment.of(right) or ()

    def _check_assigned(self, right: str, units: _Units) -> _Units:
        """Accept the units that the ledger has for a right; raises ValueError if there are none."""
        if not units:
            message = (
                f"no units for {right}: it has ended, or pool {self._pool!r} grants more than the "
                f"{len(self._assignment.units)} units there are"
            )
            raise ValueError(message)
        return units
