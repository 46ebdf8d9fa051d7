"""The queue: commands that wait for what they ask for, first come, first served within a pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

STAY_SECONDS: Final = 3.0
"""How often whoever waits says that it is alive."""

GONE_SECONDS: Final = 10.0
"""How long whoever waits may say nothing before its commands lose their places."""

AHEAD_SECONDS_MAX: Final = 60.0
"""How far ahead whoever waits can have said that it is alive: what is further is of a clock that was set back since."""

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from holdbook.domain.handling.batch import PendingCommand
    from holdbook.domain.ports import LogReader


SERVED_MAX: Final = 32
"""How many of a pool's queue are looked at to find whose turn it is."""


class Undecided(Exception):
    """What a batch answers to a command that has to wait: nothing was decided, its place in the queue is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A command in the queue: nothing is decided until it is granted or its time is up."""

    ticket: int
    """Its place: whoever came later has a greater one."""
    command_id: str
    owner: str
    quantities: Mapping[str, int]
    """What it asks for, pool by pool."""
    since: datetime
    """When it entered the queue, by its process's clock."""
    until: datetime
    """When it is decided at the latest."""


class Queue:
    """Who waits before whom: as one look at the log found it, and as a batch goes on.

    A command is behind those that entered the queue of one of its pools before it. One that never entered is behind
    all of them.
    """

    def __init__(self, reader: LogReader, asked: Sequence[PendingCommand]) -> None:
        self._reader = reader
        self._leaving_max = len(asked)
        self._first: dict[str, list[str]] = {}
        self.entered: dict[str, Waiting] = {}
        """Those that enter with this batch, by command id."""
        self.left: set[str] = set()
        """Ids of the commands that leave with it: they are decided."""

    def behind(self, command_id: str, pools: Iterable[str]) -> set[str]:
        """List those of the pools in which others wait before a command."""
        return {pool for pool in pools if self._is_behind(command_id, pool)}

    def _is_behind(self, command_id: str, pool: str) -> bool:
        if pool not in self._first:
            # No more can leave with this batch than are in it: one more is enough.
            self._first[pool] = self._reader.queued(pool, self._leaving_max + 1)
        before = next((other for other in self._first[pool] if other not in self.left), None)
        if before is None:
            before = next((key for key, one in self.entered.items() if pool in one.quantities), None)
        return before is not None and before != command_id

    def enter(self, command_id: str, waiting: Waiting) -> None:
        """Let a command wait; one that waits already keeps its place."""
        self.entered[command_id] = waiting

    def leave(self, command_id: str) -> None:
        """Let a command go that is decided; whether it ever waited or not, here or in another process."""
        self.left.add(command_id)
        self.entered.pop(command_id, None)


class FreeCapacity:
    """What is free in pools, less what those whose turn it is will take of it."""

    def __init__(self, free: Mapping[str, int]) -> None:
        self._free = free
        self._taken = dict.fromkeys(free, 0)

    def has(self, quantities: Mapping[str, int]) -> bool:
        """Tell whether quantities fit in beside what will be taken; where that is nothing, the pools know best."""
        return all(
            not self._taken[pool] or self._taken[pool] + quantity <= self._free[pool]
            for pool, quantity in quantities.items()
        )

    def take(self, quantities: Mapping[str, int]) -> None:
        """Note that quantities will be taken."""
        for pool, quantity in quantities.items():
            self._taken[pool] += quantity
