"""The answers of reads: lists that say at which position of the log they are true."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

_Item = TypeVar("_Item")


class Answer(list[_Item]):
    """A list as of a position of the log: it takes every event up to there into account, and none after it."""

    def __init__(self, found: Iterable[_Item], position: int) -> None:
        super().__init__(found)
        self.position = position
        """Position of the last event that was taken into account; 0 in an empty log."""
