"""An allocation that knows which ledger granted it, and so can be kept alive."""

from __future__ import annotations

from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol

from holdbook.domain.allocation import Allocation
from holdbook.domain.errors import LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from holdbook.domain.values import Token
    from holdbook.infrastructure.leases.lease import Lease, OnLost

P = ParamSpec("P")

_FIELDS: Final = tuple(field.name for field in fields(Allocation))
"""The names of an allocation's fields."""

_COMPARED: Final = tuple(field.name for field in fields(Allocation) if field.compare)
"""Those of them by which two allocations are equal."""


class Renewing(Protocol):
    """A ledger that keeps allocations from lapsing; see `holdbook.infrastructure.ledger.Ledger`."""

    def keep_alive(
        self,
        allocation_id: str,
        *,
        token: Token | None = None,
        ttl: timedelta | None = None,
        grace: timedelta | None = None,
        on_lost: OnLost | None = None,
    ) -> Lease:
        """Make a lease, which renews the allocation in the background once it has begun; raises `Malformed`."""
        ...


class Held(Allocation):
    """An allocation as its ledger granted it to its holder. It equals an `Allocation` with the same content.

    A copy of it, a pickled one too, has the same content, but no ledger: it cannot be kept alive.
    """

    __slots__ = ("_ledger", "_ttl")
    _ledger: Renewing
    _ttl: timedelta | None

    @classmethod
    def of(cls, allocation: Allocation, ledger: Renewing, ttl: timedelta | None) -> Held:
        """Bind an allocation to the ledger that granted it, and keep the time to live that was asked for."""
        held = cls(**{name: getattr(allocation, name) for name in _FIELDS})
        object.__setattr__(held, "_ledger", ledger)  # an allocation is frozen
        object.__setattr__(held, "_ttl", ttl)
        return held

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Allocation):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _COMPARED)

    __hash__ = Allocation.__hash__

    def keep_alive(
        self, *, ttl: timedelta | None = None, grace: timedelta | None = None, on_lost: OnLost | None = None
    ) -> Lease:
        """Keep the allocation from lapsing; see `Ledger.keep_alive`. Without a ``ttl``, it takes the one of the grant.

        Raises `Malformed`, and `LogUnavailable` for a copy, which has no ledger.
        """
        ledger: Renewing | None = getattr(self, "_ledger", None)
        if ledger is None:
            message = f"this is a copy of allocation {self.id!r}, which knows no ledger: use the ledger's keep_alive"
            raise LogUnavailable(message)
        return ledger.keep_alive(self.id, token=self.token, ttl=ttl or self._ttl, grace=grace, on_lost=on_lost)


def holding(method: Callable[Concatenate[Any, P], Allocation]) -> Callable[Concatenate[Any, P], Held]:
    """Wrap a method of a ledger, so that it returns a `Held` of that ledger instead of an `Allocation`."""

    @wraps(method)
    def hold(self: Any, /, *positional: P.args, **named: P.kwargs) -> Held:  # noqa: ANN401 - the ledger whose method it is
        ttl: Any = named.get("ttl")
        return Held.of(method(self, *positional, **named), self, ttl)

    return hold
