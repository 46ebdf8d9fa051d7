"""What reads give: with it, the position in the log that it is true at."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

_Item = TypeVar("_Item")


class Answer(list[_Item]):
    """A list that was true at a position of the log: nothing up to there is missing, nothing after it is in it."""

    def __init__(self, found: Iterable[_Item], position: int) -> None:
        super().__init__(found)
        self.position = position
        """Position of the last event that the answer knows of; 0 in an empty log."""
