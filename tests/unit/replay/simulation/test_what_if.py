"""What if limits had been different: each rule on its own."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Allocate, Ledger, Limits, MemoryEventLog, OpenPool, Refused
from holdbook.replay.simulation.outcomes import Divergence
from holdbook.replay.simulation.what_if import what_if
from holdbook.replay.simulation.world import World
from support.deciding import envelope, opened
from support.logs import written
from support.story import T0, Clock, seconds, tell
from support.tampering import rewritten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook.domain.commands import Command
    from holdbook.domain.ports import EventLog
    from holdbook.replay.simulation.what_if import WhatIf


@pytest.fixture
def clock() -> Clock:
    """A clock for the ledger."""
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Iterator[Ledger]:
    """An empty ledger."""
    with Ledger.in_memory(clock=clock) as ledger:
        yield ledger


@pytest.fixture
def told(ledger: Ledger, clock: Clock) -> EventLog:
    """A log in which everything has happened."""
    tell(ledger, clock)
    return ledger.log


def at(number: float) -> datetime:
    """Give the moment so many seconds after the beginning."""
    return T0 + seconds(number)


def refused(ledger: Ledger, **command: Any) -> None:  # noqa: ANN401 - fields by name
    """Ask for an allocation that is refused."""
    with pytest.raises(Refused):
        ledger.allocate(**command)


def ends(found: WhatIf) -> list[tuple[int, str | None, str, str]]:
    """List the flips: position, allocation, the recorded outcome and the new one."""
    assert found.ok
    return [(one.position, one.allocation_id, one.recorded.word, one.what_if.word) for one in found.flips]


class TestTheRecordedLimits:
    """Commands decided again under the recorded limits."""

    def test_everything_that_can_happen(self, told: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every kind of event follows from its command again, for any window and any size of page."""
        monkeypatch.setattr("holdbook.replay.simulation.recorded_commands.PAGE_ROWS", 3)
        times = [None, *map(at, (0, 5, 10, 20, 25, 30, 70, 71, 100, 220, 299, 300, 350, 400, 500))]
        for since, until in product(times, times):
            if since is None or until is None or since < until:
                assert what_if(told, {}, since=since, until=until).fault is None, (since, until)

    def test_it_says_what_was_read(self, told: EventLog) -> None:
        """The result has the events and commands counted and the position; progress is reported."""
        progress: list[tuple[int, int]] = []
        found = what_if(told, {}, progress=lambda done, total: progress.append((done, total)))
        assert (found.events, found.commands, found.position) == (36, 24, 36)
        assert (found.recorded.total(), found.flipped, found.flips) == (24, 0, [])
        assert progress == [(36, 36)]

    def test_an_empty_log(self, ledger: Ledger) -> None:
        """In an empty log, no command is decided again."""
        found = ledger.what_if({})
        assert (found.ok, found.commands, found.pools) == (True, 0, [])

    def test_a_log_that_was_restored(self, told: EventLog) -> None:
        """Grants are decided again in the epoch in which they were made."""
        rows = [
            rewritten(row, {"epoch": 3} if row.position > 30 and "epoch" in row.data else None) for row in told.rows()
        ]
        log = written(rows)
        log.epoch = 3
        assert what_if(log, {}).ok
        log.epoch = 2
        assert what_if(log, {}).fault == Divergence(31, "epoch", 3, 1)


class TestOtherLimits:
    """Commands decided again under other limits."""

    def test_who_was_behind_others_is_so_whatever_the_limits(self, ledger: Ledger) -> None:
        """The queue is not in the log; a refusal that others were waiting first stays so under any limits."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=4))
        ledger.allocate({"gpu": 2}, owner="ann", allocation_id="a")
        promise = ledger.submit(Allocate(quantities={"gpu": 4}, owner="bob", wait=seconds(600)))
        refused(ledger, quantities={"gpu": 1}, owner="cleo", allocation_id="behind")
        assert promise.cancel()
        refused(ledger, quantities={"gpu": 3}, owner="cleo", allocation_id="alone")
        assert what_if(ledger.log, {}).ok
        assert ends(ledger.what_if({"gpu": {"total": 9}})) == [(4, "alone", "pool_exhausted", "done")]

    def test_done_that_was_refused_and_the_other_way_round(self, ledger: Ledger) -> None:
        """A flip has the recorded outcome and the new one, also in words."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=4, max_size=3))
        ledger.allocate({"gpu": 3}, owner="ann", allocation_id="a")
        refused(ledger, quantities={"gpu": 2}, owner="bob", allocation_id="b")
        ledger.release("a")
        found = ledger.what_if({"gpu": {"total": 3, "max_size": 2}})
        assert ends(found) == [
            (2, "a", "done", "above_max_size"),
            (3, "b", "pool_exhausted", "done"),
            (4, "a", "done", "allocation_not_found"),
        ]
        assert found.flips[0].what_if.message == "pool 'gpu' grants 2 unit at most, not 3"
        assert (found.flips[0].recorded.message, found.gained, found.lost) == (None, 1, 2)

    def test_refused_for_another_reason(self, ledger: Ledger) -> None:
        """Another reason for a refusal is counted separately: it is no flip."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=4))
        refused(ledger, quantities={"gpu": 5}, owner="bob", allocation_id="b")
        found = ledger.what_if({"gpu": {"max_size": 2}})
        assert (found.flipped, found.flips) == (0, [])
        assert found.turns == {("allocate", "above_capacity", "above_max_size"): 1}

    def test_only_so_many_are_listed(self, ledger: Ledger) -> None:
        """Only the first flips are listed, and all are counted."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=0))
        for name in "abc":
            refused(ledger, quantities={"gpu": 1}, owner="bob", allocation_id=name)
        found = ledger.what_if({"gpu": {"total": 2}}, flips=1)
        assert (ends(found), found.flipped) == ([(2, "a", "above_capacity", "done")], 2)

    def test_limits_that_are_lifted_and_expected(self, ledger: Ledger) -> None:
        """A change of limits that expects the present ones succeeds, and the replaced limit stays replaced."""
        first = Limits(total=4, max_size=2)
        ledger.open_pool("gpu", resource_type="gpu", limits=first)
        ledger.change_limits("gpu", Limits(total=6, max_size=3), expected=first)
        refused(ledger, quantities={"gpu": 5}, owner="bob", allocation_id="b")
        assert ends(ledger.what_if({"gpu": {"max_size": None}})) == [(3, "b", "above_max_size", "done")]

    def test_peaks(self, ledger: Ledger, clock: Clock) -> None:
        """The peaks have what was held and what would have been held, the capacity then, and the time."""
        ledger.open_pool("gpu", resource_type="gpu", unit="card", limits=Limits(total=4))
        clock.set(5)
        ledger.allocate({"gpu": 3}, owner="ann", ttl=seconds(10))
        clock.set(6)
        refused(ledger, quantities={"gpu": 2}, owner="bob")
        ledger.change_limits("gpu", Limits(total=8))
        (found,) = ledger.what_if({"gpu": {"total": 5}}).pools
        assert (found.name, found.unit) == ("gpu", "card")
        assert (found.recorded, found.what_if) == ((3, 4, at(5)), (5, 5, at(6)))

    def test_a_name_for_what_was_never_granted(self, ledger: Ledger) -> None:
        """An allocation without an id that was refused gets a derived id, which is always the same."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
        ledger.allocate({"gpu": 1}, owner="ann")
        refused(ledger, quantities={"gpu": 1}, owner="bob")
        ((position, made_up, *_),) = found = ends(ledger.what_if({"gpu": {"total": 2}}))
        assert position == 3
        assert len(made_up or "") == len("~") + 64
        assert ends(ledger.what_if({"gpu": {"total": 2}})) == found

    def test_a_recorded_name_is_kept(self, ledger: Ledger) -> None:
        """An allocation without an id keeps the recorded id, by which it is then released."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
        held = ledger.allocate({"gpu": 1}, owner="ann")
        ledger.release(held.id)
        assert ends(ledger.what_if({"gpu": {"total": 2}})) == []

    def test_tokens_given_later_still_match(self, ledger: Ledger) -> None:
        """A grant keeps its fencing token, in whatever order its pools come and although more is granted before it."""
        for pool in ("cpu", "gpu"):
            ledger.open_pool(pool, resource_type=pool, limits=Limits(total=2))
        ledger.allocate({"cpu": 1, "gpu": 2}, owner="ann", allocation_id="a", ttl=seconds(5))
        refused(ledger, quantities={"cpu": 1, "gpu": 1}, owner="bob", allocation_id="b")
        held = ledger.allocate({"cpu": 1}, owner="cid", allocation_id="c")
        ledger.renew("c", ttl=seconds(9), token=held.token)
        assert ends(ledger.what_if({"gpu": {"total": 9}, "cpu": {"total": 9}})) == [(5, "b", "pool_exhausted", "done")]

    def test_what_lapsed_unnoticed_is_not_a_peak(self, ledger: Ledger, clock: Clock) -> None:
        """A hold past its deadline does not count in a peak, even if its expiry is recorded later."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
        for size in (3, 4):
            ledger.allocate({"gpu": size}, owner="ann", ttl=seconds(5))
        clock.set(50)
        ledger.allocate({"gpu": 1}, owner="ann")
        (found,) = ledger.what_if({}, since=at(40)).pools
        assert found.recorded == (1, 9, at(50))

    def test_what_expires_with_another_pool_s_command(self, ledger: Ledger, clock: Clock) -> None:
        """What was held at the beginning is a peak, even if it expires with a command about another of its pools."""
        for pool in ("cpu", "gpu"):
            ledger.open_pool(pool, resource_type="r", limits=Limits(total=9))
        ledger.allocate({"cpu": 1, "gpu": 3}, owner="ann", ttl=seconds(50))
        clock.set(60)
        ledger.allocate({"cpu": 1}, owner="ann")
        found = ledger.what_if({"gpu": {"total": 8}}, since=at(40))
        assert [(one.recorded.used, one.what_if.used) for one in found.pools] == [(1, 1), (3, 3)]

    def test_nobody_notices(self, ledger: Ledger) -> None:
        """A hold past its deadline at the beginning does not count, even if its expiry is never recorded."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
        ledger.allocate({"gpu": 3}, owner="ann", ttl=seconds(5))
        ledger.allocate({"gpu": 1}, owner="ann")
        (found,) = ledger.what_if({"gpu": {"total": 8}}, since=at(40)).pools
        assert (found.recorded, found.what_if) == ((1, 9, None), (1, 8, None))

    def test_a_clock_that_was_set_back(self, ledger: Ledger, clock: Clock) -> None:
        """A live command is decided again at its own clock's time, or at the time of its pools if that is later."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=3))
        clock.set(100)
        ledger.allocate({"gpu": 2}, owner="ann", allocation_id="a")
        clock.set(50)
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="b", ttl=seconds(10))
        clock.set(70)
        refused(ledger, quantities={"gpu": 1}, owner="ann", allocation_id="c")
        assert ends(ledger.what_if({"gpu": {"total": 1, "max_size": 1}})) == [
            (2, "a", "done", "above_max_size"),
            (4, "c", "pool_exhausted", "done"),
        ]

    def test_every_part_of_a_grant_has_its_token(self) -> None:
        """A grant over several pools has the same token in all of them, that of its place in the log."""
        world, position = World({}), 0
        recorded = envelope(opened("a"), position=10)
        for command in (
            OpenPool(pool="a", resource_type="r", limits=Limits(total=2)),
            OpenPool(pool="b", resource_type="r", limits=Limits(total=2)),
            Allocate(allocation_id="x", quantities={"a": 1, "b": 1}, owner="ann", ttl=seconds(5)),
            Allocate(allocation_id="y", quantities={"a": 2, "b": 2}, owner="ann", at=at(5)),
        ):
            position += 10
            first = recorded._replace(position=position)
            world.apply_decision(world.decide(command, T0, epoch=2, new_id=""), first)
        assert [list(pool.holds) for pool in world.pools.values()] == [["y"], ["y"]]
        assert [pool.holds["y"].token for pool in world.pools.values()] == [(2, 40), (2, 40)]


class TestTimes:
    """A what-if that is limited to a window of time."""

    def test_limits_hold_from_a_time_on(self, ledger: Ledger, clock: Clock) -> None:
        """Before the window, outcomes stay; in it, commands are decided under the other limits."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=4))
        ledger.allocate({"gpu": 3}, owner="ann", allocation_id="a")
        for moment, name in ((10, "b"), (20, "c")):
            clock.set(moment)
            ledger.allocate({"gpu": 1}, owner="ann", allocation_id=name)
            ledger.release(name)
        found = ledger.what_if({"gpu": {"total": 3}}, since=at(10), until=at(20))
        assert ends(found) == [(3, "b", "done", "pool_exhausted"), (4, "b", "done", "allocation_not_found")]
        (pool,) = found.pools
        assert (pool.recorded, pool.what_if) == ((4, 4, at(10)), (3, 3, None))

    def test_what_is_known_of_earlier_allocations(
        self, ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Allocation ids used before the window stay used, and allocations that had ended stay ended."""
        monkeypatch.setattr("holdbook.replay.simulation.recorded_commands.PAGE_ROWS", 1)
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="released")
        ledger.transfer("released", to="bob")
        ledger.release("released")
        ledger.reserve({"gpu": 1}, owner="ann", allocation_id="voided", ttl=seconds(1))
        ledger.void("voided")
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="lapsed", ttl=seconds(5))
        refused(ledger, quantities={"gpu": 10}, owner="ann", allocation_id="refused")
        clock.set(10)
        for name in ("released", "voided", "lapsed", "later"):
            with pytest.raises(Refused):
                ledger.release(name)
        for name in ("released", "lapsed"):
            with pytest.raises(Refused):
                ledger.allocate({"gpu": 1}, owner="ann", allocation_id=name, command_id=f"again {name}")
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="refused", command_id="again refused")
        clock.set(20)
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="later")
        found = ledger.what_if({"gpu": {"total": 8}}, since=at(10))
        assert (ends(found), found.commands) == ([], 8)

    def test_expiry_noticed_after_the_time(self, ledger: Ledger, clock: Clock) -> None:
        """A command after the window does not count, even if it records an expiry within the window."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="a", ttl=seconds(10))
        clock.set(30)
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="b")
        found = ledger.what_if({"gpu": {"total": 8}}, since=at(5), until=at(20))
        assert (found.ok, found.commands, found.events) == (True, 0, 0)

    def test_a_sweep(self, ledger: Ledger, clock: Clock) -> None:
        """A command that only records expiries counts at the time of the first of them."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
        for lasts in (10, 20, 30):
            ledger.allocate({"gpu": 1}, owner="ann", ttl=seconds(lasts))
        clock.set(40)
        ledger.expire("gpu")
        before = ledger.what_if({"gpu": {"total": 8}}, since=at(5), until=at(20))
        after = ledger.what_if({"gpu": {"total": 8}}, since=at(20))
        assert (before.ok, before.events, before.commands) == (True, 3, 1)
        assert (after.ok, after.events, after.commands) == (True, 0, 0)

    def test_what_comes_after_is_not_read(self, told: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
        """Reading stops when no command of the window is left, however late expiries are recorded."""
        monkeypatch.setattr("holdbook.replay.simulation.recorded_commands.PAGE_ROWS", 1)
        monkeypatch.setattr("holdbook.replay.simulation.recorded_commands._LOOK_ROWS", 2)
        read: list[int] = []
        found = what_if(told, {}, until=at(90), progress=lambda done, _total: read.append(done))
        assert (read[-1], found.commands) == (24, 18)

    def test_a_sweep_at_the_end(self, ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """A command that only records expiries may be the last of the window, after a command of a later time."""
        monkeypatch.setattr("holdbook.replay.simulation.recorded_commands.PAGE_ROWS", 1)
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=9))
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
        ledger.allocate({"gpu": 1}, owner="ann", ttl=seconds(10))
        clock.set(40)
        ledger.allocate({"cpu": 1}, owner="ann")
        ledger.expire()
        found = ledger.what_if({}, until=at(20))
        assert (found.ok, found.commands, found.recorded["expire", "done"]) == (True, 4, 1)

    def test_peaks_of_the_time(self, ledger: Ledger, clock: Clock) -> None:
        """A peak after the window does not count, in either world."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
        clock.set(10)
        ledger.allocate({"gpu": 2}, owner="ann")
        clock.set(20)
        ledger.allocate({"gpu": 3}, owner="ann")
        (found,) = ledger.what_if({"gpu": {"total": 8}}, until=at(20)).pools
        assert (found.recorded, found.what_if) == ((2, 9, at(10)), (2, 8, at(10)))

    def test_times_that_do_not_follow_the_log(self) -> None:
        """Commands count by their time, wherever they are in the log; an expiry recorded later happened before."""
        log = MemoryEventLog()
        both = {"a": 1, "b": 1}
        lived(
            log,
            *(OpenPool(pool=pool, resource_type="r", limits=Limits(total=2), at=at(0)) for pool in "ab"),
            Allocate(allocation_id="x", quantities=both, owner="ann", ttl=seconds(10), at=at(0)),
            Allocate(allocation_id="y", quantities={"a": 2}, owner="ann", at=at(30)),
            Allocate(allocation_id="z", quantities={"b": 2}, owner="ann", at=at(15)),
        )
        assert [row.type for row in log.rows()][4:] == ["Expired", "Expired", "Allocated", "Allocated"]
        found = what_if(log, {"b": {"total": 1}}, since=at(5), until=at(20))
        assert (ends(found), found.commands) == ([(8, "z", "done", "above_capacity")], 1)
        assert what_if(log, {"b": {"total": 1}}, since=at(12), until=at(20)).ok

    def test_clocks_that_differ(self) -> None:
        """A refusal was decided on what is before it in the log, even if another clock gave that a later time."""
        log = MemoryEventLog()
        lived(
            log,
            OpenPool(pool="a", resource_type="r", limits=Limits(total=2), at=at(0)),
            OpenPool(pool="b", resource_type="r", limits=Limits(total=2), at=at(20)),
            Allocate(allocation_id="x", quantities={"a": 3, "b": 3}, owner="ann", at=at(5)),
            Allocate(allocation_id="y", quantities={"a": 2}, owner="ann", at=at(10)),
        )
        assert [row.occurred_at[17:19] for row in log.rows()] == ["00", "20", "20", "10"]
        found = what_if(log, {"a": {"total": 3}, "b": {"total": 3}}, since=at(15))
        assert (ends(found), found.commands) == ([(3, "x", "above_capacity", "done")], 2)

    def test_limits_wait_for_their_time(self) -> None:
        """What was decided before the window but is later in the log was decided under the recorded limits."""
        log = MemoryEventLog()
        lived(
            log,
            *(OpenPool(pool=pool, resource_type="r", limits=Limits(total=2), at=at(0)) for pool in "ab"),
            Allocate(allocation_id="x", quantities={"a": 2}, owner="ann", at=at(30)),
            OpenPool(pool="c", resource_type="r", limits=Limits(total=2), at=at(5)),
            Allocate(allocation_id="y", quantities={"b": 2, "c": 2}, owner="ann", at=at(5)),
            Allocate(allocation_id="z", quantities={"b": 1}, owner="ann", at=at(40)),
        )
        limits = {pool: {"total": 1} for pool in "abc"}
        found = what_if(log, limits, since=at(20))
        assert ends(found) == [(3, "x", "done", "above_capacity")]
        assert [pool.what_if for pool in found.pools] == [(0, 1, None), (2, 1, None), (2, 1, None)]

    def test_worlds_apart(self, ledger: Ledger, clock: Clock) -> None:
        """What existed at the beginning goes on separately in each world: renewed in one, it expires in the other."""
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1, max_ttl=seconds(10)))
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="a", ttl=seconds(10))
        clock.set(5)
        with pytest.raises(Refused):
            ledger.renew("a", ttl=seconds(50))
        clock.set(20)
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="b", ttl=seconds(10))
        assert ends(ledger.what_if({"gpu": {"max_ttl": None}}, since=at(5))) == [
            (3, "a", "ttl_too_long", "done"),
            (5, "b", "done", "pool_exhausted"),
        ]

    def test_the_earliest_times(self, told: EventLog) -> None:
        """The first moment of the calendar is a valid beginning."""
        first = datetime.min.replace(tzinfo=UTC)
        assert what_if(told, {}, since=first).events == 36
        assert what_if(told, {}, until=first).events == 0


def lived(log: MemoryEventLog, *commands: Command) -> None:
    """Import commands, one at a time."""
    with Ledger(log) as ledger:
        for command in commands:
            ledger.record([command])
