"""The queue of commands that wait for what they ask for: first come, first served within a pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from holdbook.domain.ports import LogReader
    from holdbook.domain.waiting import Waiting

SERVED_MAX: Final = 32
"""How many commands at the front of a pool's queue are looked at to find those that can be decided now."""


class Undecided(Exception):
    """The answer of a batch to a command that has to wait: nothing was decided, and its place in the queue is kept."""


class Queue:
    """The order of those who wait, as one look at the log found it and as a batch goes on.

    A command is behind those that entered the queue of one of its pools before it. A command that has not entered the
    queue is behind all that have.
    """

    def __init__(self, reader: LogReader, leaving_max: int) -> None:
        """Read the queue through a reader; at most ``leaving_max`` commands leave it with this batch."""
        self._reader = reader
        self._leaving_max = leaving_max
        self._first: dict[str, list[str]] = {}
        """Ids of the first commands in the queue of each pool that was asked about."""
        self.entered: dict[str, Waiting] = {}
        """The commands that enter the queue with this batch, by id."""
        self.left: set[str] = set()
        """Ids of the commands that leave the queue with this batch, because they are decided."""

    def behind(self, command_id: str, pools: Iterable[str]) -> set[str]:
        """List those of the pools in whose queues other commands wait before this one."""
        return {pool for pool in pools if self._is_behind(command_id, pool)}

    def _is_behind(self, command_id: str, pool: str) -> bool:
        if pool not in self._first:
            # At most `leaving_max` leave with this batch, so the first one that stays is among one more than that.
            self._first[pool] = self._reader.queued(pool, self._leaving_max + 1)
        before = next((other for other in self._first[pool] if other not in self.left), None)
        if before is None:
            before = next((key for key, one in self.entered.items() if pool in one.quantities), None)
        return before is not None and before != command_id

    def enter(self, command_id: str, waiting: Waiting) -> None:
        """Have a command wait; one that waits already keeps its place."""
        self.entered[command_id] = waiting

    def leave(self, command_id: str) -> None:
        """Take a command that is decided out of the queue, whether it was in it or not."""
        self.left.add(command_id)
        self.entered.pop(command_id, None)


class FreeCapacity:
    """What is free in pools, less what the commands that are served before will take of it."""

    def __init__(self, free: Mapping[str, int]) -> None:
        self._free = free
        self._taken = dict.fromkeys(free, 0)

    def has(self, quantities: Mapping[str, int]) -> bool:
        """Tell whether quantities fit beside what will be taken; a pool of which nothing is taken is not checked."""
        return all(
            not self._taken[pool] or self._taken[pool] + quantity <= self._free[pool]
            for pool, quantity in quantities.items()
        )

    def take(self, quantities: Mapping[str, int]) -> None:
        """Note that quantities will be taken."""
        for pool, quantity in quantities.items():
            self._taken[pool] += quantity
