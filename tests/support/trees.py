"""Merkle trees straight from the text of RFC 6962, section 2.1: slow, and sharing no code with the product."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def split(count: int) -> int:
    """Find the largest power of two smaller than a count."""
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def mth(leaves: Sequence[bytes]) -> bytes:
    """Compute the Merkle Tree Hash of a list of leaves that are hashed already."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = split(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:middle]) + mth(leaves[middle:])).digest()


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """List the Merkle audit path of a leaf."""
    if len(leaves) == 1:
        return []
    middle = split(len(leaves))
    if index < middle:
        return [*path(index, leaves[:middle]), mth(leaves[middle:])]
    return [*path(index - middle, leaves[middle:]), mth(leaves[:middle])]


def proof(first: int, leaves: Sequence[bytes]) -> list[bytes]:
    """List the Merkle consistency proof between the tree over the first leaves and the tree over all."""
    return _subproof(first, leaves, whole=True)


def _subproof(first: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if first == len(leaves):
        return [] if whole else [mth(leaves)]
    middle = split(len(leaves))
    if first <= middle:
        return [*_subproof(first, leaves[:middle], whole=whole), mth(leaves[middle:])]
    return [*_subproof(first - middle, leaves[middle:], whole=False), mth(leaves[:middle])]


class Hashes:
    """The hashes of whole subtrees over leaves in memory, by level and index; counts how often it is asked."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = leaves
        self.asked = 0

    def __call__(self, level: int, index: int) -> bytes:
        """Give one; it must be whole."""
        self.asked += 1
        found = self._leaves[index << level : (index + 1) << level]
        assert len(found) == 1 << level, (level, index)
        return mth(found)


def numbered_leaves(count: int) -> list[bytes]:
    """Make leaves up, each another."""
    return [hashlib.sha256(number.to_bytes(8)).digest() for number in range(count)]
