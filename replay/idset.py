"""A set of ids that costs little: what must be remembered of everything that has ended."""

from __future__ import annotations

from array import array
from typing import Final

_SLOTS_FIRST: Final = 1024
_SLOT_MASK: Final = 2**64 - 1


class IdSet:
    """Remembers 64 bits of each id, in 12 to 24 bytes, where a set of texts takes a hundred and more.

    The bits are those of Python's own keyed hash, which changes from process to process, so nobody can prepare two
    ids that meet; by chance two of ten million do once in 400,000 verifications.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _SLOTS_FIRST))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: str) -> bool:
        return self._slots[self._slot(hash(key) & _SLOT_MASK or 1)] != 0

    def add(self, key: str) -> bool:
        """Remember an id; tell whether it is a new one."""
        bits = hash(key) & _SLOT_MASK or 1
        slot = self._slot(bits)
        if self._slots[slot]:
            return False
        self._slots[slot] = bits
        self._count += 1
        if 3 * self._count > 2 * len(self._slots):
            self._grow()
        return True

    def _slot(self, bits: int) -> int:
        """Find where the bits are, or the free slot where they belong."""
        slots, last = self._slots, len(self._slots) - 1
        slot = bits & last
        while slots[slot] and slots[slot] != bits:
            slot = (slot + 1) & last
        return slot

    def _grow(self) -> None:
        before, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
        for bits in before:
            if bits:
                self._slots[self._slot(bits)] = bits
