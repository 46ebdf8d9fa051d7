"""A look at the log that knows where it ends, and nothing else: for deciding on what is in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Collection

    from holdbook.domain.records import LogPosition, Recorded


class NotKnown(Exception):
    """The log itself has to be read."""


class KnownEnd:
    """A `LogReader` over nothing. Raises `NotKnown` for every question that a memory cannot answer."""

    def __init__(self, end: LogPosition) -> None:
        self.head = end.position
        """Position of the last event."""

    def commands(self, command_ids: Collection[str]) -> dict[str, list[Recorded]]:
        """Find nothing if nothing is looked for."""
        return {command_id: _not_known() for command_id in command_ids}

    def granted(self, allocation_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Find nothing if nothing is looked for."""
        return {allocation_id: _not_known() for allocation_id in allocation_ids}

    def histories(self, allocation_ids: Collection[str]) -> dict[str, list[Recorded]]:
        """Find nothing if nothing is looked for."""
        return {allocation_id: _not_known() for allocation_id in allocation_ids}

    def queued(self, _pool: str, _limit: int) -> list[str]:
        """Find nobody: what is decided so is recorded only if nobody waits."""
        return []

    stream = rows_since = decode = event = version = lambda *_: _not_known()
    queue = pool_names = snapshots = snapshot = snapshot_at = lambda *_: _not_known()


def _not_known() -> NoReturn:
    raise NotKnown
