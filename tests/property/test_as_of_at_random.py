"""For all logs: the ledger as of any position and any time is the fold of the events up to it, from the first one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdbook.replay.history.as_of import allocations_as_of, state_at
from support.busy import busy_log
from support.deciding import T0
from support.plain_fold import described, folded, records_of, whole_commands
from support.strategies import commands, small_limits

if TYPE_CHECKING:
    from holdbook import MemoryEventLog
    from holdbook.replay.history.as_of import LedgerState

Fields = dict[str, Any]

steps = st.lists(st.tuples(commands, st.integers(-2, 6), st.sampled_from(["", "", "a", "b"])), min_size=5, max_size=40)
"""Commands, the seconds to each, and of what pool a snapshot is taken before it."""


@settings(max_examples=60)
@given(small_limits, steps, st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_any_log(limits: Fields, steps: list[tuple[Fields, int, str]], shares: list[float]) -> None:
    """Wherever snapshots were taken, a state is what a plain fold finds; the quick list is that of the long way."""
    log, latest = busy_log(limits, steps)
    records = records_of(log)
    for share in shares:
        position = round(share * len(records))
        state = state_at(log, position)
        until_then = whole_commands(records, position)
        assert state.position == len(until_then)
        assert described(state) == folded(until_then)
        assert_lists_agree(state, log, position)
        moment = T0 + timedelta(seconds=round(share * (latest - T0).total_seconds()))  # often that of an event
        state = state_at(log, moment)
        assert state.position == len(records)
        assert described(state) == folded((one for one in records if one.occurred_at <= moment), moment)
        assert_lists_agree(state, log, moment)


def assert_lists_agree(state: LedgerState, log: MemoryEventLog, when: datetime | int) -> None:
    """Compare the open allocations, and the pools' sums, with those that the whole log gives."""
    long_way = [one for one in allocations_as_of(log, when) if one.state.is_open]
    assert list(state.allocations()) == long_way
    for pool in state.statuses():
        held = [one.quantities[pool.name] for one in long_way if pool.name in one.quantities]
        assert (pool.used, pool.allocations) == (sum(held), len(held))
