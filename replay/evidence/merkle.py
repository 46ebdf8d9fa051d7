"""Merkle trees over SHA-256 as RFC 9162 (and RFC 6962 before it) defines them: roots, proofs and their verification.

A node is named by its level and its index: (0, i) is leaf i, and (l, i) is the root over the 2**l leaves from i * 2**l
on. Only subtrees that are whole have a node, and its hash never changes once it exists.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    HashAt = Callable[[int, int], bytes]
    """Gives the hash of a whole subtree by its level and its index."""

HASH_BYTES: Final = 32
"""The length of every hash."""

EMPTY_ROOT: Final = hashlib.sha256().digest()
"""The root of a tree without leaves."""

_sha256 = hashlib.sha256


def leaf_hash(data: bytes) -> bytes:
    """Hash a leaf: SHA-256 over a byte 0 and the data (RFC 9162, section 2.1.1)."""
    return _sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash a node: SHA-256 over a byte 1 and the hashes of its two children (RFC 9162, section 2.1.1)."""
    return _sha256(b"\1" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Compute the root over hashes of one level; their number is a power of two."""
    while len(hashes) > 1:
        hashes = [_sha256(b"\1" + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


class CompactRange:
    """A tree to which leaves are appended, of which only the roots of its largest whole subtrees are kept.

    The structure is the compact range of the transparency-dev project, beginning at leaf 0.
    """

    def __init__(self) -> None:
        self._hashes: list[bytes] = []
        """The roots of the whole subtrees from left to right, one for each bit that is set in the size."""
        self.size = 0

    def append(self, leaf: bytes) -> None:
        """Append the hash of a leaf."""
        self.append_subtree(0, leaf)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Append the hashes of leaves, whole subtrees at a time, which is faster than one by one."""
        done, size = 0, self.size
        for level, _ in subtrees(size, size + len(leaves)):
            self.append_subtree(level, fold(leaves[done : done + (1 << level)]))
            done += 1 << level

    def append_subtree(self, level: int, root: bytes) -> None:
        """Append a whole subtree by its root; raises ValueError if no subtree of this level can begin at this size."""
        index, rest = divmod(self.size, 1 << level)
        if rest:
            raise ValueError(f"no subtree of level {level} begins at leaf {self.size}")
        while index & 1:
            root = node_hash(self._hashes.pop(), root)
            index >>= 1
        self._hashes.append(root)
        self.size += 1 << level

    def root(self) -> bytes:
        """Compute the root of the tree."""
        if not self._hashes:
            return EMPTY_ROOT
        found = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            found = node_hash(left, found)
        return found


def subtrees(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Give level and index of the fewest whole subtrees that hold exactly the leaves ``first`` to ``last - 1``."""
    while first < last:
        aligned = (first & -first).bit_length() - 1 if first else last.bit_length()
        level = min(aligned, (last - first).bit_length() - 1)
        yield level, first >> level
        first += 1 << level


def compact_range(size: int, hash_at: HashAt) -> CompactRange:
    """Build the compact range over the first leaves of a tree."""
    made = CompactRange()
    for level, index in subtrees(0, size):
        made.append_subtree(level, hash_at(level, index))
    return made


def root(size: int, hash_at: HashAt) -> bytes:
    """Compute the root over the first leaves of a tree."""
    return compact_range(size, hash_at).root()


def inclusion_proof(index: int, size: int, hash_at: HashAt) -> list[bytes]:
    """Prove that a leaf is in the tree of a given size (RFC 9162, section 2.1.3.1); raises ValueError if it is not."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_root_of(middle, high, hash_at))
            high = middle
        else:
            path.append(_root_of(low, middle, hash_at))
            low = middle
    return path[::-1]


def consistency_proof(first: int, second: int, hash_at: HashAt) -> list[bytes]:
    """Prove that one tree begins another (RFC 9162, section 2.1.4.1); raises ValueError unless 0 < first <= second."""
    if not 0 < first <= second:
        raise ValueError(f"expected 0 < first <= second, not {first} and {second}")
    low, high, path, whole = 0, second, [], True
    while first != high:
        middle = low + _split(high - low)
        if first <= middle:
            path.append(_root_of(middle, high, hash_at))
            high = middle
        else:
            path.append(_root_of(low, middle, hash_at))
            low, whole = middle, False
    if not whole:
        path.append(_root_of(low, high, hash_at))
    return path[::-1]


def _split(count: int) -> int:
    """Find the largest power of two that is less than a count above 1."""
    return 1 << (count - 1).bit_length() - 1


def _root_of(low: int, high: int, hash_at: HashAt) -> bytes:
    count = high - low
    if count & count - 1 == 0:
        return hash_at(count.bit_length() - 1, low // count)
    middle = low + _split(count)
    return node_hash(_root_of(low, middle, hash_at), _root_of(middle, high, hash_at))


def range_proof(first: int, last: int, size: int, hash_at: HashAt) -> tuple[list[bytes], list[bytes]]:
    """Give the roots of the whole subtrees before leaf ``first``, and of those from leaf ``last`` to the tree's end."""
    return [hash_at(*one) for one in subtrees(0, first)], [hash_at(*one) for one in subtrees(last, size)]


def append_subtrees(tree: CompactRange, size: int, hashes: Iterable[bytes]) -> None:
    """Append whole subtrees up to a size; raises ValueError if there are too many or too few hashes."""
    for (level, _), found in zip(list(subtrees(tree.size, size)), hashes, strict=True):
        tree.append_subtree(level, found)


def is_included(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> bool:
    """Verify an inclusion proof (RFC 9162, section 2.1.3.2, which names ``fn`` and ``sn``)."""
    if not 0 <= index < size:
        return False
    fn, sn, found = index, size - 1, leaf
    for hashed in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node_hash(hashed, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, hashed)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == expected


def is_consistent(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Verify a consistency proof (RFC 9162, section 2.1.4.2, which names ``fn`` and ``sn``)."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    hashes = [first_root, *path] if first & first - 1 == 0 else list(path)
    if not hashes:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    before = after = hashes[0]
    for hashed in hashes[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            before, after = node_hash(hashed, before), node_hash(hashed, after)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            after = node_hash(after, hashed)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and (before, after) == (first_root, second_root)
