"""What a manager holds: resources by id, and their deadlines."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from holdbook.domain.resources import Resource, ResourceProvider


@dataclass(slots=True, eq=False)
class HeldResource:
    """A resource that a provider made, and the right to it."""

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
    """Resources by id. Whoever ends one takes it out first, so that nobody else does, and puts it back on failure."""

    def __init__(self) -> None:
        self.in_hand: set[str] = set()
        """The rights of what is held, is being made, and is being ended: nobody else is to touch their things."""
        self._held: dict[str, HeldResource] = {}
        self._claims: dict[str, ResourceProvider[Any]] = {}
        """Providers of the resources that are not confirmed yet, by the resource's id."""
        self._deadlines: list[tuple[datetime, str]] = []

    def claim(self, resource_id: str, provider: ResourceProvider[Any]) -> ResourceProvider[Any] | None:
        """Keep an id for a resource to come; give the provider of the resource that has it, if one has."""
        held = self._held.get(resource_id)
        other = held.provider if held else self._claims.get(resource_id)
        if other is None:
            self._claims[resource_id] = provider
        return other

    def end_claim(self, resource_id: str | None) -> None:
        """End a claim, if there is one: the resource is held now, or will never be."""
        if resource_id is not None:
            self._claims.pop(resource_id, None)

    def get(self, resource_id: str) -> HeldResource | None:
        """Find one."""
        return self._held.get(resource_id)

    def put(self, held: HeldResource) -> None:
        """Add one, or put it back; an id that was taken meanwhile stays with its new holder."""
        if self._held.setdefault(held.resource.id, held) is held:
            self.in_hand.add(held.right)
        else:
            self.in_hand.discard(held.right)

    def take(self, resource_id: str) -> HeldResource | None:
        """Take one out; its right stays in hand until it is put back or `forget` is told."""
        return self._held.pop(resource_id, None)

    def forget(self, held: HeldResource) -> None:
        """Take note that one which was taken out has ended."""
        self.in_hand.discard(held.right)

    def all_of(self, provider: ResourceProvider[Any]) -> list[HeldResource]:
        """List every one that a provider made."""
        return [held for held in self._held.values() if held.provider is provider]

    def take_all_of(self, provider: ResourceProvider[Any]) -> list[HeldResource]:
        """Take out every one that a provider made."""
        found = self.all_of(provider)
        for held in found:
            del self._held[held.resource.id]
        return found

    def providers(self) -> list[ResourceProvider[Any]]:
        """List the providers of what is held, one entry for each resource."""
        return [held.provider for held in self._held.values()]

    def remember_deadline(self, held: HeldResource, deadline: datetime | None) -> None:
        """Remember a deadline; None: there is none."""
        if deadline is not None:
            heappush(self._deadlines, (deadline, held.resource.id))

    @property
    def next_deadline(self) -> datetime | None:
        """The earliest deadline that was remembered, of something that may have ended since; None if there is none."""
        return self._deadlines[0][0] if self._deadlines else None

    def take_due(self, moment: datetime) -> list[HeldResource]:
        """List those whose deadline, as last heard of, is not after a moment, and forget that deadline."""
        found = []
        while self._deadlines and self._deadlines[0][0] <= moment:
            held = self._held.get(heappop(self._deadlines)[1])
            if held is not None:
                found.append(held)
        return found
