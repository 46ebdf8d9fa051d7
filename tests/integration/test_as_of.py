"""The ledger as of any moment, from a database, beside the fold of its log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

import pytest

from holdbook import Allocate, Ledger, Limits, OpenPool, Release
from holdbook.domain.commands import command_from
from holdbook.domain.errors import LogCorrupt
from holdbook.replay.history.as_of import state_at
from support.cli import Holdbook
from support.logs import take_snapshot
from support.plain_fold import described, folded, records_of, whole_commands
from support.tampering import tampering
from support.workloads import POOLS, made_up

if TYPE_CHECKING:
    from pathlib import Path

    from holdbook.infrastructure.log.sql_log import SQLEventLog


def test_fifty_positions_and_fifty_times(database_url: str) -> None:
    """At positions and times chosen at random the state is that of a fresh fold of the whole log up to there."""
    random = Random(6)  # noqa: S311 - a test's choice
    with Ledger.open(database_url) as ledger:
        log: SQLEventLog = ledger.log  # type: ignore[assignment]  # this one has a database
        lines = iter(made_up(600))
        while portion := list(islice(lines, 120)):
            ledger.record([command_from(line) for line in portion])
            for pool in random.sample(sorted(POOLS), 2):
                take_snapshot(log, pool)
        records = records_of(log)
        for position in random.choices(range(len(records) + 1), k=50):
            assert described(state_at(log, position)) == folded(whole_commands(records, position))
        begin, length = records[0].occurred_at, records[-1].occurred_at - records[0].occurred_at
        between = [begin + share * length for share in (random.random() for _ in range(25))]
        for moment in between + [random.choice(records).occurred_at for _ in range(25)]:
            assert described(state_at(log, moment)) == folded(
                (one for one in records if one.occurred_at <= moment), moment
            )


def test_it_begins_at_the_nearest_snapshot(database_url: str) -> None:
    """Nothing before a snapshot is read again: events there may be unreadable, and a state behind it is found."""
    with Ledger.open(database_url) as ledger:
        log: SQLEventLog = ledger.log  # type: ignore[assignment]  # this one has a database
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
        held = [ledger.allocate({"gpu": 1}, owner="ann", allocation_id=f"a{number}").token for number in range(4)]
        take_snapshot(log, "gpu")
        ledger.release("a3")
        with tampering(database_url) as table:
            table.set(held[1].position, data="nothing that could be read")
        last = held[-1].position
        assert [one.id for one in state_at(log, last).allocations()] == ["a0", "a1", "a2", "a3"]
        assert [one.id for one in state_at(log, last + 1).allocations()] == ["a0", "a1", "a2"]
        with pytest.raises(LogCorrupt, match=f"position {held[1].position}"):
            state_at(log, last - 1)


@pytest.mark.parametrize("when", ["--as-of=2023-04-27T20:45:00Z", "--at-position=4"])
def test_commands(database_url: str, when: str) -> None:
    """Pools and allocations are told as of a time or a position, and at which position that is true."""
    at = datetime(2023, 4, 27, 20, 44, tzinfo=UTC)
    grant = Allocate(allocation_id="a", quantities={"cpu": 3, "gpu": 2}, owner="ann", ttl=90, at=at)
    with Ledger.open(database_url) as ledger:
        opened = [OpenPool(pool=name, resource_type=name, limits=Limits(total=4), at=at) for name in ("cpu", "gpu")]
        ledger.record([*opened, grant, Release(allocation_id="a", at=at + timedelta(minutes=1, microseconds=1))])
    holdbook = Holdbook(database_url)
    position = 6 if when.startswith("--as-of") else 4
    pools = holdbook.json("pools", when)
    assert pools["position"] == position
    assert [(one["name"], one["used"]) for one in pools["pools"]] == [("cpu", 3), ("gpu", 2)]
    (found,) = holdbook.lines("allocations", when)
    assert (found["id"], found["state"], found["as_of_position"]) == ("a", "active", position)


def test_wrong_moments(tmp_path: Path) -> None:
    """A time and a position at once, and a position that the log has not reached, are malformed and named."""
    url = f"sqlite:///{tmp_path}/x.db"
    Ledger.open(url).close()
    holdbook = Holdbook(url)
    for command in ("pools", "allocations"):
        both = holdbook.error(command, "--as-of=2023-04-27T20:45:00Z", "--at-position=4")
        assert (both["type"], both["parameter"], both["value"]) == ("Malformed", "at-position", 4)
        late = holdbook.error(command, "--at-position=1")
        assert (late["parameter"], late["expected"]) == ("position", "expected a position in the log, 0 to 0")
    assert "no pools then" in holdbook("pools", "--at-position=0").out
