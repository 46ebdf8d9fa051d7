"""What a manager holds: its resources by their ids, and their deadlines."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from holdbook.domain.resources import Resource, ResourceProvider


@dataclass(slots=True, eq=False)
class HeldResource:
    """A resource that a provider made, with the right to it and what is known of both."""

    resource: Resource[Any]
    provider: ResourceProvider[Any]
    resource_type: str
    right: str
    """The allocation's id in the ledger."""
    confirmed: bool = True
    """False if the right may still be a reservation: undoing the allocation failed."""
    returned: bool = False
    """True once the provider has taken the resource back."""
    ended: bool = False
    """True once the right has ended as well."""


class Holdings:
    """The resources of a manager by their ids.

    To end one, take it out first, so that no other task ends it at the same time, and put it back if that fails.
    """

    def __init__(self) -> None:
        self.in_hand: set[str] = set()
        """The rights whose things are held, being made or being released, and which are no leftovers to reconcile."""
        self._held: dict[str, HeldResource] = {}
        self._claims: dict[str, ResourceProvider[Any]] = {}
        """The providers of resources whose rights are not confirmed yet, by the resource's id."""
        self._deadlines: list[tuple[datetime, str]] = []
        """A heap of deadlines, each with the id of its resource."""

    def claim(self, resource_id: str, provider: ResourceProvider[Any]) -> ResourceProvider[Any] | None:
        """Claim an id for a resource that is not held yet.

        If a resource has the id already, or a claim to it, return the provider of that resource; else None.
        """
        held = self._held.get(resource_id)
        other = held.provider if held else self._claims.get(resource_id)
        if other is None:
            self._claims[resource_id] = provider
        return other

    def end_claim(self, resource_id: str | None) -> None:
        """End the claim to an id, if there is one: its resource is held now, or will not be."""
        if resource_id is not None:
            self._claims.pop(resource_id, None)

    def get(self, resource_id: str) -> HeldResource | None:
        """Find the resource of an id; None if none is held."""
        return self._held.get(resource_id)

    def put(self, held: HeldResource) -> None:
        """Add a resource, or put it back, unless another resource has got its id in the meantime."""
        if self._held.setdefault(held.resource.id, held) is held:
            self.in_hand.add(held.right)
        else:
            self.in_hand.discard(held.right)

    def take(self, resource_id: str) -> HeldResource | None:
        """Take a resource out; None if none is held. Its right stays in hand until `put` or `forget` is called."""
        return self._held.pop(resource_id, None)

    def forget(self, held: HeldResource) -> None:
        """Take the right of a resource that was taken out, and has ended, out of hand."""
        self.in_hand.discard(held.right)

    def all_of(self, provider: ResourceProvider[Any]) -> list[HeldResource]:
        """List the resources that a provider made."""
        return [held for held in self._held.values() if held.provider is provider]

    def take_all_of(self, provider: ResourceProvider[Any]) -> list[HeldResource]:
        """Take out the resources that a provider made."""
        found = self.all_of(provider)
        for held in found:
            del self._held[held.resource.id]
        return found

    def providers(self) -> list[ResourceProvider[Any]]:
        """List the provider of each resource; one that made several is listed as often."""
        return [held.provider for held in self._held.values()]

    def remember_deadline(self, held: HeldResource, deadline: datetime | None) -> None:
        """Remember the deadline of a resource; None if it has none."""
        if deadline is not None:
            heappush(self._deadlines, (deadline, held.resource.id))

    @property
    def next_deadline(self) -> datetime | None:
        """The earliest deadline that is remembered, even if its resource has ended since; None if there is none."""
        return self._deadlines[0][0] if self._deadlines else None

    def take_due(self, moment: datetime) -> list[HeldResource]:
        """List the held resources whose remembered deadline is not after a moment, and forget these deadlines."""
        found = []
        while self._deadlines and self._deadlines[0][0] <= moment:
            held = self._held.get(heappop(self._deadlines)[1])
            if held is not None:
                found.append(held)
        return found
