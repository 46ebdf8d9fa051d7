"""The limits that a what-if puts in the place of the recorded ones: are they well formed, and what do they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdbook.domain.commands import ChangeLimits, Command, OpenPool
from holdbook.domain.errors import Malformed
from holdbook.domain.limits import Limits
from holdbook.domain.values import QUANTITY_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    Changes = Mapping[str, Mapping[str, object]]
    """Values of limits by name, by pool."""


def check_limits(limits: Changes, pools: set[str]) -> None:
    """Check that every pool and limit exists, and every value by itself; raises `Malformed`, naming pool and limit."""
    for pool, changed in limits.items():
        for limit, value in changed.items():
            parameter = f"{pool}.{limit}"
            if pool not in pools:
                raise Malformed(parameter, value, f"expected a pool of this ledger, which has no {pool!r}")
            if limit not in Limits.model_fields:
                raise Malformed(parameter, value, f"expected a limit: one of {', '.join(Limits.model_fields)}")
            try:
                Limits(**{"total": QUANTITY_MAX if limit == "reserved" else 0, limit: value})
            except Malformed as error:
                raise Malformed(parameter, value, error.expected) from None


class LimitChanges:
    """Puts other limits in the place of recorded ones."""

    def __init__(self, changes: Changes) -> None:
        self.by_pool = changes

    @property
    def is_empty(self) -> bool:
        """Tell whether no limit is another."""
        return not any(self.by_pool.values())

    def at_the_beginning(self, pool: str, limits: Limits) -> Limits:
        """Give the limits that a pool has from the time on that is looked at, for its recorded ones."""
        return self._changed(pool, limits, "in force when these begin to hold")

    def command(self, command: Command, position: int) -> Command:
        """Give the command as it would have been under the other limits."""
        if not isinstance(command, OpenPool | ChangeLimits):
            return command
        where = f"recorded at position {position}"
        update = {"limits": self._changed(command.pool, command.limits, where)}
        if isinstance(command, ChangeLimits) and command.expected is not None:
            update["expected"] = self._changed(command.pool, command.expected, where)
        return command.model_copy(update=update)

    def _changed(self, pool: str, limits: Limits, where: str) -> Limits:
        changes = self.by_pool.get(pool)
        if not changes:
            return limits
        try:
            return Limits(**{**limits.model_dump(), **changes})
        except Malformed as error:
            expected = f"expected limits that go with the others {where}: {error.expected}"
            raise Malformed(pool, dict(changes), expected) from None
