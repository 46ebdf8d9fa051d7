"""For logs of any length, hashed in any portions: the stored tiles are the tree that the RFC defines."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, select
from sqlalchemy.pool import StaticPool

from holdbook.infrastructure.database.tables import seal_tiles
from holdbook.infrastructure.seals.tiles import TILE_HASHES, StoredTree, TreeDamaged, TreeEdge, read_leaves
from holdbook.replay.evidence.merkle import consistency_proof, inclusion_proof, is_consistent, is_included, root
from support.trees import mth, numbered_leaves

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

LEAVES = numbered_leaves(TILE_HASHES**2 + 2)


@contextmanager
def tiles() -> Iterator[Connection]:
    """Give a database in memory with the table of tiles, empty."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    seal_tiles.create(engine)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def grow(connection: Connection, leaves: Sequence[bytes]) -> TreeEdge:
    """Go on where the tree ends, as a sealer does that begins anew."""
    edge = TreeEdge.load(connection)
    for leaf in leaves:
        edge.append(leaf, leaf)
    edge.save(connection)
    return edge


portions = st.lists(st.one_of(st.integers(1, 40), st.integers(200, 300)), min_size=1, max_size=5)


@settings(max_examples=25)
@given(portions, st.data())
@example([255, 1, 1], None)
@example([256, 256], None)
def test_tiles_are_the_tree(counts: list[int], data: st.DataObject | None) -> None:
    """In whatever portions leaves are appended, the root and the proofs are those over all leaves, at every size."""
    size = sum(counts)
    with tiles() as connection:
        done = 0
        for count in counts:
            edge = grow(connection, LEAVES[done : done + count])
            done += count
            assert (edge.size, edge.chain) == (done, LEAVES[done - 1])
        assert TreeEdge.load(connection).size == size
        assert read_leaves(connection, 0) == LEAVES[:size]
        smaller = 1 + size // 2 if data is None else data.draw(st.integers(1, size))
        at = StoredTree(connection)
        now, then = mth(LEAVES[:size]), mth(LEAVES[:smaller])
        assert (root(size, at), root(smaller, at)) == (now, then)
        assert read_leaves(connection, smaller) == LEAVES[smaller:size]
        assert is_consistent(smaller, size, then, now, consistency_proof(smaller, size, at))
        path = inclusion_proof(smaller - 1, size, at)
        assert is_included(LEAVES[smaller - 1], smaller - 1, size, path, now)


def test_three_levels_of_tiles() -> None:
    """Around 256 times 256 leaves, where a third level of tiles begins, the roots are right, and proofs read few."""
    with tiles() as connection:
        grow(connection, LEAVES)
        levels = connection.execute(select(seal_tiles.c.level, seal_tiles.c.number)).all()
        assert sorted(tuple(one) for one in levels if one.level) == [(1, 0), (2, 0)]
        for size in (65_535, 65_536, 65_537, 65_538):
            assert root(size, StoredTree(connection)) == mth(LEAVES[:size])
        at = StoredTree(connection)
        inclusion_proof(40_000, 65_538, at)
        assert len(at._tiles) <= 4  # noqa: SLF001 - what was read is the claim


def test_who_is_behind_changes_nothing() -> None:
    """A sealer that writes an older state of a tile leaves the newer one as it is."""
    with tiles() as connection:
        behind = TreeEdge.load(connection)
        for leaf in LEAVES[:200]:
            behind.append(leaf, leaf)
        grow(connection, LEAVES[:700])
        behind.save(connection)
        assert read_leaves(connection, 0) == LEAVES[:700]
        assert TreeEdge.load(connection).chain == LEAVES[699]


def test_a_hash_that_is_missing() -> None:
    """A hash that the stored tree should have, and has not, is an error that names it; leaves are read up to a hole."""
    with tiles() as connection:
        grow(connection, LEAVES[:700])
        with pytest.raises(TreeDamaged, match="the stored tree lacks the hash 700 of level 0"):
            StoredTree(connection)(0, 700)
        connection.execute(seal_tiles.delete().where(seal_tiles.c.level == 0, seal_tiles.c.number == 1))
        with pytest.raises(TreeDamaged, match="the stored tree lacks the hash 80 of level 2"):
            StoredTree(connection)(2, 80)
        assert read_leaves(connection, 0) == LEAVES[:256]
        assert read_leaves(connection, 300) == []
