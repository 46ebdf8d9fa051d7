"""The commands by name: `open_pool`, `allocate`, `release` and the others as methods, each over one `execute`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from holdbook.domain.commands import (
    Allocate,
    ChangeLimits,
    CloseLedger,
    ClosePool,
    Confirm,
    Expire,
    OpenPool,
    Reclaim,
    Release,
    Renew,
    Reserve,
    Resize,
    Transfer,
    Void,
)
from holdbook.domain.handling.outcome import allocation_of, pool_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.commands import Command
    from holdbook.domain.handling.outcome import Outcome, PoolStatus
    from holdbook.domain.limits import Limits
    from holdbook.domain.values import Token


class Envelope(TypedDict, total=False):
    """What every command may carry besides its own fields; see `Command`."""

    command_id: str | None
    actor: str | None
    correlation_id: str | None
    causation_id: str | None


class NamedCommands(ABC):
    """Every command as a method: it builds the command object, executes it, and gives what callers mostly want.

    Each method raises what `execute` raises.
    """

    @abstractmethod
    def execute(self, command: Command, *, timeout: float | None = None) -> Outcome:
        """Decide a command and record what was decided; durable when this returns.

        Raises `Refused` (recorded), `CommandIdReused`, `PoolAlreadyOpen`, `Malformed` (not recorded), or
        `LogUnavailable`, whose command id tells what became of the command: also if there is no answer within the
        timeout (seconds). The command may still be decided then.
        """

    def open_pool(
        self, pool: str, *, resource_type: str, limits: Limits, unit: str = "unit", **envelope: Unpack[Envelope]
    ) -> PoolStatus:
        """Open a pool, or find it open with the same content. Raises as `execute`, `PoolAlreadyOpen` included."""
        command = OpenPool(pool=pool, resource_type=resource_type, unit=unit, limits=limits, **envelope)
        return pool_of(self.execute(command))

    def change_limits(
        self, pool: str, limits: Limits, *, expected: Limits | None = None, **envelope: Unpack[Envelope]
    ) -> PoolStatus:
        """Replace the pool's limits; refused if ``expected`` is given and they are others by now."""
        return pool_of(self.execute(ChangeLimits(pool=pool, limits=limits, expected=expected, **envelope)))

    def close_pool(self, pool: str, *, reason: str | None = None, **envelope: Unpack[Envelope]) -> PoolStatus:
        """Close a pool for ever."""
        return pool_of(self.execute(ClosePool(pool=pool, reason=reason, **envelope)))

    def close_ledger(self, *, reason: str | None = None, **envelope: Unpack[Envelope]) -> Outcome:
        """Close the ledger for ever, and every pool that is open: nothing more is granted, what is held may end.

        Closing what is closed is a repeat, whatever the reason. The outcome has the events, one for each pool.
        """
        return self.execute(CloseLedger(reason=reason, **envelope))

    def allocate(  # noqa: PLR0913 - the command's fields, each by name
        self,
        quantities: Mapping[str, int],
        *,
        owner: str,
        ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        allocation_id: str | None = None,
        wait: timedelta | None = None,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """Hold quantities of one or more pools, all or nothing. Raises `Refused` if any pool refuses.

        With ``wait``, what is not free now is waited for, for at most that long, first come, first served.
        """
        fields = {"quantities": quantities, "owner": owner, "ttl": ttl, "tags": tags or {}, "wait": wait}
        return allocation_of(self.execute(Allocate(allocation_id=allocation_id, **fields, **envelope)))

    def reserve(  # noqa: PLR0913 - as above
        self,
        quantities: Mapping[str, int],
        *,
        owner: str,
        ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        allocation_id: str | None = None,
        wait: timedelta | None = None,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """Hold quantities until a deadline, to be confirmed or voided."""
        fields = {"quantities": quantities, "owner": owner, "ttl": ttl, "tags": tags or {}, "wait": wait}
        return allocation_of(self.execute(Reserve(allocation_id=allocation_id, **fields, **envelope)))

    def confirm(
        self,
        allocation_id: str,
        *,
        ttl: timedelta | None = None,
        token: Token | None = None,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """Make a reservation an allocation; its time to live starts anew."""
        return allocation_of(self.execute(Confirm(allocation_id=allocation_id, ttl=ttl, token=token, **envelope)))

    def void(
        self,
        allocation_id: str,
        *,
        reason: str | None = None,
        token: Token | None = None,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """Give a reservation up."""
        return allocation_of(self.execute(Void(allocation_id=allocation_id, reason=reason, token=token, **envelope)))

    def renew(
        self,
        allocation_id: str,
        *,
        ttl: timedelta | None = None,
        token: Token | None = None,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """Move the deadline to now plus ``ttl``, or the shortest default of the allocation's pools."""
        return allocation_of(self.execute(Renew(allocation_id=allocation_id, ttl=ttl, token=token, **envelope)))

    def resize(
        self,
        allocation_id: str,
        quantities: Mapping[str, int],
        *,
        token: Token | None = None,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """Give the allocation other quantities of pools that it has."""
        fields: dict[str, Any] = {"allocation_id": allocation_id, "quantities": quantities}
        return allocation_of(self.execute(Resize(**fields, token=token, **envelope)))

    def transfer(
        self, allocation_id: str, *, to: str, token: Token | None = None, **envelope: Unpack[Envelope]
    ) -> Allocation:
        """Make ``to`` the allocation's owner."""
        return allocation_of(self.execute(Transfer(allocation_id=allocation_id, to=to, token=token, **envelope)))

    def release(
        self,
        allocation_id: str,
        *,
        reason: str | None = None,
        token: Token | None = None,
        force: bool = False,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """End an allocation. With ``force``, a reservation too, for a reason that has to be given, without a token."""
        forced = {} if force is False else {"force": force}
        command = Release(allocation_id=allocation_id, reason=reason, token=token, **forced, **envelope)
        return allocation_of(self.execute(command))

    def expire(
        self, pool: str | None = None, *, limit: int | None = None, **envelope: Unpack[Envelope]
    ) -> tuple[str, ...]:
        """Record the expiries that are due, in one pool or in all, at most about ``limit``; gives the ids."""
        return self.execute(Expire(pool=pool, limit=limit, **envelope)).expired

    def reclaim(
        self, pool: str, allocation_id: str, *, reason: str | None = None, **envelope: Unpack[Envelope]
    ) -> None:
        """Record that a thing was taken back whose right is not open; raises `Refused` if the right is."""
        self.execute(Reclaim(pool=pool, allocation_id=allocation_id, reason=reason, **envelope))
