"""For all ledgers and requests: what is said to stand in the way does, for exactly as long as is said."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from holdbook import Allocate, Ledger, MemoryEventLog
from holdbook.domain.commands import command_from
from support.deciding import Clock, after
from support.strategies import OWNERS, POOLS, commands

if TYPE_CHECKING:
    from holdbook import RefusalCode

pytestmark = pytest.mark.untraced

MICROSECOND = timedelta(microseconds=1)

limits = st.fixed_dictionaries(
    {"total": st.integers(6, 14)}, optional={"per_owner": st.integers(4, 8), "max_allocations": st.integers(2, 4)}
)
sizes = st.dictionaries(st.sampled_from(POOLS[:2]), st.integers(1, 4), min_size=1)
grants = st.fixed_dictionaries(
    {"command": st.just("allocate"), "quantities": sizes, "owner": st.sampled_from(OWNERS)},
    optional={"ttl": st.integers(10, 60)},
)
steps = st.lists(
    st.tuples(st.one_of(grants, grants, grants, commands), st.integers(0, 3)), min_size=5, max_size=20
)  # commands that open a pool again would be an error
request = st.fixed_dictionaries(
    {"quantities": st.dictionaries(st.sampled_from(POOLS[:2]), st.integers(2, 8), min_size=1)},
    optional={"ttl": st.just(5)},
)


def refusal(ledger: Ledger, clock: Clock, command: Allocate, moment: datetime) -> tuple[RefusalCode, str | None] | None:
    """Why the ledger itself would refuse a command at a moment; None if it would grant it."""
    clock.now = moment
    refused = ledger.check(command).refusal
    return None if refused is None else (refused.code, refused.data.get("pool"))


@settings(max_examples=150)
@given(st.tuples(limits, limits), steps, request, st.sampled_from(OWNERS))
def test_it_is_refused_until_the_moment_that_is_told(
    limits: tuple[dict[str, Any], ...], steps: list[tuple[dict[str, Any], int]], request: dict[str, Any], owner: str
) -> None:
    """The moment told is the first at which the ledger itself grants the request.

    And each obstacle is the refusal that the ledger gives, from the moment it begins until just before it ends.
    """
    clock, now = Clock(), 0
    opened = [
        {"command": "open_pool", "pool": name, "resource_type": "r", "limits": one}
        for name, one in zip(POOLS[:2], limits, strict=True)
    ]
    with Ledger(MemoryEventLog(), clock=clock) as ledger:
        ledger.record([command_from(one) for one in opened])
        for number, (fields, seconds) in enumerate(steps):
            now += seconds
            if fields["command"] != "open_pool":
                ledger.record([command_from({**fields, "command_id": f"c{number}", "at": after(now)})])
        clock.set(now)
        explanation = ledger.explain(**request, owner=owner)
        command = Allocate(**request, owner=owner)
        ends = {one.deadline for one in ledger.allocations() if one.deadline is not None}
        moments = [explanation.moment, *sorted(end for end in ends if end > explanation.moment)]
        granted = [moment for moment in moments if refusal(ledger, clock, command, moment) is None]
        assert explanation.granted_at == (granted[0] if granted else None)
        assert granted == moments[len(moments) - len(granted) :], "what would be granted once would be later too"
        since = explanation.moment
        for obstacle in explanation.obstacles:
            assert obstacle.since == since
            until = moments[-1] + MICROSECOND if obstacle.until is None else obstacle.until
            for moment in (since, until - MICROSECOND):
                assert refusal(ledger, clock, command, moment) == (obstacle.code, obstacle.pool)
            since = until
    event(f"{len(explanation.obstacles)} obstacles, {'granted' if granted else 'never granted'}")
