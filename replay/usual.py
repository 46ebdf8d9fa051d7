"""The usual commands, checked in a hurry."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bursar.replay.books import Books
    from bursar.replay.snapshots import SnapshotCheck
    from bursar.replay.stored import Page


class Usual:
    """x."""

    def __init__(self, books: Books, versions: dict[str, int], snapshots: SnapshotCheck) -> None:
        self._books = books

    def enter(self, rows: Page) -> bool:
        """x."""
        return False
