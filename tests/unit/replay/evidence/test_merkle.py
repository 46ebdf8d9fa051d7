"""Merkle trees: the reference vectors of Certificate Transparency, and the definition of the RFC."""

from __future__ import annotations

import pytest

from holdbook.replay.evidence.merkle import (
    EMPTY_ROOT,
    CompactRange,
    append_subtrees,
    compact_range,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
    range_proof,
    root,
    subtrees,
)
from support.trees import Hashes, mth, numbered_leaves, path, proof

LEAVES = [
    bytes.fromhex(data)
    for data in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
"""The leaves that the tests of Certificate Transparency's implementations share."""

ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The root over the first n of them."""

PATHS = {
    (0, 1): (),
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
    (6, 7): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
}
"""Proofs that a leaf is in the tree of a size."""

PROOFS = {
    (1, 1): (),
    (1, 8): PATHS[0, 8],
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
"""Proofs that one tree goes on from another."""

HASHED = list(map(leaf_hash, LEAVES))


def raw(hashes: tuple[str, ...]) -> list[bytes]:
    """Read hashes."""
    return list(map(bytes.fromhex, hashes))


def test_leaves_and_nodes_are_hashed_apart() -> None:
    """The vectors of the hasher: no leaf, a leaf, a node."""
    assert EMPTY_ROOT.hex() == ROOTS[0]
    assert leaf_hash(bytes(range(0x10, 0x20))).hex() == (
        "3bfb960453ebaebf33727da7a1f4db38acc051d381b6da20d6d4e88f0eabfd7a"
    )
    assert node_hash(bytes(range(0x20)), bytes(range(0x20, 0x40))).hex() == (
        "1a378704c17da31e2d05b6d121c2bb2c7d76f6ee6fa8f983e596c2d034963c57"
    )


@pytest.mark.parametrize("size", range(9))
def test_roots(size: int) -> None:
    """The roots over the first leaves are those of the reference vectors, appended one by one or from subtrees."""
    tree = CompactRange()
    for leaf in HASHED[:size]:
        tree.append(leaf)
    assert (tree.root().hex(), tree.size) == (ROOTS[size], size)
    assert root(size, Hashes(HASHED)).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_inclusion(index: int, size: int) -> None:
    """Proofs of inclusion are those of the reference vectors, and verify."""
    found = inclusion_proof(index, size, Hashes(HASHED))
    assert found == raw(PATHS[index, size])
    assert is_included(HASHED[index], index, size, found, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("first", "second"), PROOFS)
def test_consistency(first: int, second: int) -> None:
    """Proofs of consistency are those of the reference vectors, and verify."""
    found = consistency_proof(first, second, Hashes(HASHED))
    assert found == raw(PROOFS[first, second])
    assert is_consistent(first, second, bytes.fromhex(ROOTS[first]), bytes.fromhex(ROOTS[second]), found)


def test_every_proof_of_small_trees() -> None:
    """For every tree up to 20 leaves, each proof is the one that the RFC defines, and verifies."""
    leaves = numbered_leaves(20)
    for size in range(1, 21):
        some, at = leaves[:size], Hashes(leaves)
        whole = mth(some)
        for index in range(size):
            found = inclusion_proof(index, size, at)
            assert found == path(index, some)
            assert is_included(leaves[index], index, size, found, whole)
        for first in range(1, size + 1):
            found = consistency_proof(first, size, at)
            assert found == proof(first, some)
            assert is_consistent(first, size, mth(leaves[:first]), whole, found)


def test_what_is_altered_is_refused() -> None:
    """A proof with any hash altered, left out or added, or for another place, size or root, does not verify."""
    leaves = numbered_leaves(13)
    at, whole, other = Hashes(leaves), mth(leaves), bytes(32)
    for index in range(13):
        good = inclusion_proof(index, 13, at)
        for bad in _altered(good):
            assert not is_included(leaves[index], index, 13, bad, whole)
        assert not is_included(other, index, 13, good, whole)
        assert not is_included(leaves[index], index, 13, good, other)
        assert not any(is_included(leaves[index], wrong, 13, good, whole) for wrong in range(-1, 15) if wrong != index)
    for first in range(1, 13):
        good, before = consistency_proof(first, 13, at), mth(leaves[:first])
        for bad in _altered(good):
            assert not is_consistent(first, 13, before, whole, bad)
        assert not is_consistent(first, 13, other, whole, good)
        assert not is_consistent(first, 13, before, other, good)
        assert not any(is_consistent(wrong, 13, before, whole, good) for wrong in range(-1, 15) if wrong != first)
    assert not is_consistent(13, 13, whole, whole, [other])
    assert not is_consistent(13, 13, whole, other, [])


def _altered(good: list[bytes]) -> list[list[bytes]]:
    """Give every list that has one hash more or less, or another one."""
    at = range(len(good))
    altered = [[*good[:n], bytes(32), *good[n + 1 :]] for n in at]
    shorter = [[*good[:n], *good[n + 1 :]] for n in at]
    return [*altered, *shorter, [*good, bytes(32)], [bytes(32), *good], []]


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    """A leaf outside of the tree has no proof."""
    with pytest.raises(ValueError, match=f"leaf {index} is not in a tree of {size}"):
        inclusion_proof(index, size, Hashes(HASHED))


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 3)])
def test_no_proof_from_nothing_or_backwards(first: int, second: int) -> None:
    """A tree goes on from a smaller one that has leaves."""
    with pytest.raises(ValueError, match="expected 0 < first <= second"):
        consistency_proof(first, second, Hashes(HASHED))


def test_whole_subtrees() -> None:
    """A range of leaves is cut into the largest whole subtrees that there are."""
    assert list(subtrees(0, 0)) == []
    assert list(subtrees(0, 7)) == [(2, 0), (1, 2), (0, 6)]
    assert list(subtrees(3, 9)) == [(0, 3), (2, 1), (0, 8)]
    assert list(subtrees(8, 16)) == [(3, 1)]


def test_a_range_with_what_is_beside_it() -> None:
    """The hashes left and right of a range give with its leaves the root; a hash too many or too few is an error."""
    leaves = numbered_leaves(21)
    for first in range(21):
        for last in range(first + 1, 22):
            left, right = range_proof(first, last, 21, Hashes(leaves))
            tree = CompactRange()
            append_subtrees(tree, first, left)
            for leaf in leaves[first:last]:
                tree.append(leaf)
            append_subtrees(tree, 21, right)
            assert tree.root() == mth(leaves)
    for hashes in ([], [bytes(32)] * 2):
        with pytest.raises(ValueError, match="zip"):
            append_subtrees(CompactRange(), 8, hashes)


def test_many_leaves_at_once() -> None:
    """Leaves appended many at a time give the root that they give one by one, wherever they begin."""
    leaves = numbered_leaves(40)
    for first in range(0, 40, 3):
        for last in range(first, 41):
            tree = compact_range(first, Hashes(leaves))
            tree.extend(leaves[first:last])
            assert (tree.size, tree.root()) == (last, mth(leaves[:last]))


def test_a_subtree_begins_where_it_can() -> None:
    """A whole subtree of four leaves does not begin at the third leaf."""
    tree = compact_range(2, Hashes(HASHED))
    with pytest.raises(ValueError, match="no subtree of level 2 begins at leaf 2"):
        tree.append_subtree(2, HASHED[0])


def test_proofs_of_large_trees_take_few_hashes() -> None:
    """Of a tree of 5,000 leaves, no proof asks for more hashes than twice the tree's height."""
    leaves = numbered_leaves(5000)
    for place in (0, 1, 4095, 4096, 4999):
        for prove in (inclusion_proof, consistency_proof):
            at = Hashes(leaves)
            prove(max(place, 1), 5000, at)
            assert at.asked <= 2 * 13
