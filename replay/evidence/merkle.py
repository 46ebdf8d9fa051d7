"""Merkle trees as RFC 6962 and RFC 9162 define them, over SHA-256: roots, proofs, and their verification.

A hash of the tree is named by its level and its index: (0, i) is the leaf i, (l, i) the root of the 2**l leaves from
i * 2**l on. Only whole subtrees have such a hash, and once there it never changes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    HashAt = Callable[[int, int], bytes]
    """Gives the hash of a whole subtree by its level and its index."""

HASH_BYTES: Final = 32
"""Length of every hash."""

EMPTY_ROOT: Final = hashlib.sha256().digest()
"""The root of no leaves."""

_sha256 = hashlib.sha256


def leaf_hash(data: bytes) -> bytes:
    """Hash a leaf: SHA-256 of a byte 0 and its data."""
    return _sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash a node: SHA-256 of a byte 1 and the hashes of its two children."""
    return _sha256(b"\1" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Compute the root of hashes of one level that number a power of two."""
    while len(hashes) > 1:
        hashes = [_sha256(b"\1" + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


class CompactRange:
    """A tree that leaves are appended to, of which only the roots of its whole subtrees are kept."""

    def __init__(self) -> None:
        self._hashes: list[bytes] = []
        """Roots of whole subtrees from left to right, one for each bit that is set in the size."""
        self.size = 0

    def append(self, leaf: bytes) -> None:
        """Append a leaf's hash."""
        self.append_subtree(0, leaf)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Append leaves' hashes, the faster the more there are."""
        done, size = 0, self.size
        for level, _ in subtrees(size, size + len(leaves)):
            self.append_subtree(level, fold(leaves[done : done + (1 << level)]))
            done += 1 << level

    def append_subtree(self, level: int, root: bytes) -> None:
        """Append a whole subtree by its root; raises ValueError where none of its level can begin."""
        index, rest = divmod(self.size, 1 << level)
        if rest:
            raise ValueError(f"no subtree of level {level} begins at leaf {self.size}")
        while index & 1:
            root = node_hash(self._hashes.pop(), root)
            index >>= 1
        self._hashes.append(root)
        self.size += 1 << level

    def root(self) -> bytes:
        """Compute the root."""
        if not self._hashes:
            return EMPTY_ROOT
        found = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            found = node_hash(left, found)
        return found


def subtrees(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Name the whole subtrees, the largest that there are, that hold the leaves from ``first`` to before ``last``."""
    while first < last:
        aligned = (first & -first).bit_length() - 1 if first else last.bit_length()
        level = min(aligned, (last - first).bit_length() - 1)
        yield level, first >> level
        first += 1 << level


def compact_range(size: int, hash_at: HashAt) -> CompactRange:
    """Make the compact range of the first leaves."""
    made = CompactRange()
    for level, index in subtrees(0, size):
        made.append_subtree(level, hash_at(level, index))
    return made


def root(size: int, hash_at: HashAt) -> bytes:
    """Compute the root of the first leaves."""
    return compact_range(size, hash_at).root()


def inclusion_proof(index: int, size: int, hash_at: HashAt) -> list[bytes]:
    """Prove that a leaf is in the tree of a size: RFC 9162, section 2.1.3.1."""
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
    """Prove that the tree of one size is the beginning of that of another: RFC 9162, section 2.1.4.1."""
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
    """Find the largest power of two below a count above 1."""
    return 1 << (count - 1).bit_length() - 1


def _root_of(low: int, high: int, hash_at: HashAt) -> bytes:
    count = high - low
    if count & count - 1 == 0:
        return hash_at(count.bit_length() - 1, low // count)
    middle = low + _split(count)
    return node_hash(_root_of(low, middle, hash_at), _root_of(middle, high, hash_at))


def range_proof(first: int, last: int, size: int, hash_at: HashAt) -> tuple[list[bytes], list[bytes]]:
    """Give what is left and what is right of the leaves from ``first`` to before ``last``: with them, the root."""
    return [hash_at(*one) for one in subtrees(0, first)], [hash_at(*one) for one in subtrees(last, size)]


def append_subtrees(tree: CompactRange, size: int, hashes: Iterable[bytes]) -> None:
    """Append the whole subtrees up to a size; raises ValueError for a hash too many or too few."""
    for (level, _), found in zip(list(subtrees(tree.size, size)), hashes, strict=True):
        tree.append_subtree(level, found)


def is_included(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> bool:
    """Verify a proof of inclusion: RFC 9162, section 2.1.3.2."""
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
    """Verify a proof of consistency: RFC 9162, section 2.1.4.2."""
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
