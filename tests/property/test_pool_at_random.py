"""For all histories of one pool: its heap of deadlines finds what a look at every hold finds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdbook.domain import pool as module
from holdbook.domain.events import PoolOpened
from holdbook.domain.pool import Hold, Pool
from holdbook.domain.values import Token
from support.deciding import T0, after, opened

STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "take", "trim"]), st.integers(0, 7), st.none() | st.integers(1, 9)),
    max_size=60,
)


def empty() -> Pool:
    """Make a pool in which nothing is held."""
    event = opened()
    assert isinstance(event, PoolOpened)
    return Pool(event, T0)


def hold(until: int | None, quantity: int, owner: str) -> Hold:
    """Make a hold."""
    return Hold(quantity, owner, None if until is None else after(until), False, Token(1, 1), ("gpu",), {}, T0)  # noqa: FBT003 - a record's field


@given(STEPS, st.sampled_from([0, 64]))
def test_the_heap_finds_what_is_due(steps: list[tuple[str, int, int | None]], stale_min: int) -> None:
    """After any puts, moves and takes: by deadline, then id, each once; sums and all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_STALE_DEADLINES_MIN", stale_min)
        pool, plain = empty(), dict[str, Hold]()
        for step, number, until in steps:
            key = str(number)
            if step == "put":
                plain[key] = hold(until, number + 1, "ann" if until else "bob")
                pool.put(key, plain[key])
            elif step == "take" and key in plain:
                assert pool.take(key) == plain.pop(key)
            pool.trim()
            assert pool.holds == plain
            assert pool.used == sum(one.quantity for one in plain.values())
            for owner in ("ann", "bob"):
                assert pool.by_owner.get(owner, 0) == sum(one.quantity for one in plain.values() if one.owner == owner)
            assert 0 not in pool.by_owner.values()
            assert len(pool.deadlines) <= stale_min + 2 * len(plain)
            for moment in (0, 3, 5, 9):
                due = [
                    (one.deadline, key) for key, one in plain.items() if one.deadline and one.deadline <= after(moment)
                ]
                assert pool.due(after(moment)) == [key for _, key in sorted(due)]
