"""The log that views are built from: allocates and releases over three pools, held as long as in a real cluster."""

from __future__ import annotations

from collections import deque
from itertools import count, islice
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

POOLS: Final = 3
BATCH: Final = 500
"""How many commands are recorded at a time."""

_SHORT: Final = 750
"""How many allocates come before the release of most allocations; more than a batch, so that their ids are known."""
_LONG_ONE_IN: Final = 10
_LONG_SHARE: Final = 100
_LONG_MIN: Final = 100


class Turn(NamedTuple):
    """One command, which is one event."""

    allocates: bool
    """False: it releases."""
    number: int
    """Of the allocation."""

    @property
    def pool(self) -> str:
        """Name the pool."""
        return f"pool-{self.number % POOLS}"

    @property
    def quantity(self) -> int:
        """Say how much of it is held."""
        return 1 + self.number % 4

    @property
    def owner(self) -> str:
        """Name the owner."""
        return f"owner-{self.number % 50}"

    @property
    def tags(self) -> dict[str, str]:
        """Say what it is for."""
        return {"job": f"job-{self.number % 1000}", "qos": "best effort"}


def batches(events: int) -> Iterator[list[Turn]]:
    """Make so many commands: nine allocations of ten are soon released, the tenth stays for a fifth of the log."""
    made = islice(_endless(max(events // _LONG_SHARE, _LONG_MIN)), events)
    while batch := list(islice(made, BATCH)):
        yield batch


def open_at_end(events: int) -> int:
    """Count the allocations that are not released at the end."""
    return sum(1 if turn.allocates else -1 for batch in batches(events) for turn in batch)


def _endless(long: int) -> Iterator[Turn]:
    waiting: dict[bool, deque[int]] = {True: deque(), False: deque()}
    kept = {True: long, False: _SHORT}
    for number in count():
        is_long = number % _LONG_ONE_IN == 0
        yield Turn(allocates=True, number=number)
        waiting[is_long].append(number)
        if len(waiting[is_long]) > kept[is_long]:
            yield Turn(allocates=False, number=waiting[is_long].popleft())
