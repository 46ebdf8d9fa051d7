"""The limits that a what-if puts in place of recorded ones: checking them, and applying them to commands and pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdbook.domain.commands import ChangeLimits, Command, OpenPool
from holdbook.domain.errors import Malformed
from holdbook.domain.limits import Limits
from holdbook.domain.values import QUANTITY_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    Changes = Mapping[str, Mapping[str, object]]
    """New values of limits: by pool, then by the limit's name."""


def check_limits(limits: Changes, pools: set[str]) -> None:
    """Check that each pool and limit exists, and each value on its own; raises `Malformed`, which names both."""
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
    """Replaces recorded limits with other ones."""

    def __init__(self, changes: Changes) -> None:
        self.by_pool = changes

    @property
    def is_empty(self) -> bool:
        """Tell whether no limit changes."""
        return not any(self.by_pool.values())

    def at_the_beginning(self, pool: str, limits: Limits) -> Limits:
        """Give the limits a pool has when the window begins; raises `Malformed` if they contradict its other limits."""
        return self._changed(pool, limits, "in force when these begin to hold")

    def command(self, command: Command, position: int) -> Command:
        """Give a command with its limits replaced; raises `Malformed` if they contradict its other limits."""
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
