"""A `LogReader` that knows where the log ends and nothing else, to decide a command on what is in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Collection

    from holdbook.domain.records import LogPosition, Recorded


class NotKnown(Exception):
    """The question cannot be answered from memory: the log itself has to be read."""


class KnownEnd:
    """A `LogReader` that raises `NotKnown` for every question that only the log can answer."""

    def __init__(self, end: LogPosition) -> None:
        self.head = end.position
        """Position of the last event."""

    def commands(self, command_ids: Collection[str]) -> dict[str, list[Recorded]]:
        """Give an empty dict if no ids are given; else raise `NotKnown`."""
        return {command_id: _not_known() for command_id in command_ids}

    def granted(self, allocation_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Give an empty dict if no ids are given; else raise `NotKnown`."""
        return {allocation_id: _not_known() for allocation_id in allocation_ids}

    def histories(self, allocation_ids: Collection[str]) -> dict[str, list[Recorded]]:
        """Give an empty dict if no ids are given; else raise `NotKnown`."""
        return {allocation_id: _not_known() for allocation_id in allocation_ids}

    def queued(self, _pool: str, _limit: int) -> list[str]:
        """Find nobody. What is decided on this reader is recorded only if the queue is empty."""
        return []

    stream = rows_since = decode = event = version = lambda *_: _not_known()
    queue = pool_names = snapshots = snapshot = snapshot_at = lambda *_: _not_known()


def _not_known() -> NoReturn:
    raise NotKnown
