"""For all histories of pools: a snapshot and the tail after it equal the whole fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from eventsourcing.popo import POPOAggregateRecorder
from hypothesis import given, settings
from hypothesis import strategies as st

from holdbook.domain.pool import Pool, evolve
from holdbook.infrastructure.log.snapshots import load_pool, load_pool_version, pool_chunks, pool_header, save_pool
from support.busy import busy_log
from support.strategies import commands, small_limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdbook.domain.records import Recorded

pytestmark = pytest.mark.untraced

Fields = dict[str, Any]

steps = st.lists(st.tuples(commands, st.integers(0, 6)), min_size=10, max_size=60)

cuts = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 4)), min_size=1, max_size=3)
"""Where in a pool's stream snapshots are taken, and how many holds there are in a chunk of each."""


@settings(max_examples=80)
@given(small_limits, steps, cuts)
def test_a_snapshot_and_its_tail_equal_the_whole_fold(
    limits: Fields, steps: list[tuple[Fields, int]], cuts: list[tuple[float, int]]
) -> None:
    """From any snapshot, in chunks of any size, a pool becomes what it is when folded from its first event."""
    for stream in streams(limits, steps):
        recorder = POPOAggregateRecorder()
        whole = folded(stream)
        for share, holds_per_chunk in sorted(cuts):
            version = 1 + round(share * (len(stream) - 1))
            save_pool(recorder, folded(stream[:version]), holds_per_chunk=holds_per_chunk)
            kept = load_pool(recorder, whole.name)
            assert kept is not None
            assert kept.version == version
            assert described(kept) == described(folded(stream[:version]))
            then = folded(stream[version:], kept)
            assert described(then) == described(whole)
            assert written(then) == written(whole), "the next snapshot differs in its bytes"
        for share, _ in cuts:  # those taken before stay readable, whatever was saved after them
            version = 1 + round(share * (len(stream) - 1))
            earlier = load_pool_version(recorder, whole.name, version)
            assert described(folded(stream[version:], earlier)) == described(whole)


def streams(limits: Fields, steps: list[tuple[Fields, int]]) -> list[list[Recorded]]:
    """Let a ledger decide commands, most of which are about what is held; the streams of its pools."""
    log, _ = busy_log(limits, ((fields, seconds, "") for fields, seconds in steps))
    with log.reading() as reader:
        return [list(reader.stream(f"pool:{name}")) for name in "abc"]


def folded(records: Iterable[Recorded], pool: Pool | None = None) -> Pool:
    """Fold events onto a pool."""
    for recorded in records:
        pool = evolve(pool, recorded)
    assert pool is not None
    return pool


def described(pool: Pool) -> Fields:
    """Describe all that a pool is, its holds in order; of its heap, what it is there for: what falls due, and when."""
    whole = {name: getattr(pool, name) for name in Pool.__slots__ if name != "deadlines"}
    moments = {pool.time, *(hold.deadline for hold in pool.holds.values() if hold.deadline)}
    return {**whole, "holds": list(pool.holds.items()), "due": {moment: pool.due(moment) for moment in moments}}


def written(pool: Pool) -> list[bytes]:
    """Write a pool as a snapshot would be."""
    return [pool_header(pool), *pool_chunks(pool, 3)]
