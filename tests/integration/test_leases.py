"""Leases on real databases: outages, clocks that are minutes apart, holders that are killed, and the manager's."""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING

import pytest

from holdbook import (
    AllocationState,
    Fence,
    LeaseLost,
    Ledger,
    Limits,
    LogUnavailable,
    Outcome,
    RefusalCode,
    Refused,
    StaleToken,
    Sweeper,
    UnifiedResourceManager,
)
from holdbook.domain.events import Renewed
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.database import postgres as transactions
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from support.leasing import SECONDS_MAX, Watch, renewals, watch
from support.processes import allocate_ahead, forked, keep_for_ever, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook import Lease
    from integration.conftest import Messages
    from support.deciding import Clock
    from support.providers import Scripted

__all__ = ["watch"]
"""A fixture."""

MINUTE = timedelta(minutes=1)


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger with one slot."""
    with Ledger.open(database_url) as ledger:
        ledger.open_pool("slot", resource_type="slot", limits=Limits(total=1))
        yield ledger


@pytest.mark.crash
def test_a_holder_that_is_killed(ledger: Ledger, database_url: str) -> None:
    """It keeps what it holds beyond its time to live; killed, it lapses at its deadline, and a sweeper records that."""
    with running(keep_for_ever, [(database_url, "a", 1.5)]) as (holder,):
        assert holder.receive() == "held"
        with ledger.log.watching() as news:
            while renewals(ledger) < 3:
                news(SECONDS_MAX)
        with pytest.raises(Refused):
            ledger.allocate({"slot": 1}, owner="next")
        holder.kill()
    swept, told = Event(), list[Outcome]()

    def tell(outcome: Outcome) -> None:
        told.append(outcome)
        swept.set()

    with Sweeper(ledger, interval=SECONDS_MAX, tell=tell):
        assert swept.wait(SECONDS_MAX)
    (outcome,) = told
    (expired,) = outcome.records
    last = [one.event for one in ledger.history("a") if isinstance(one.event, Renewed)][-1]
    assert outcome.expired == ("a",)
    assert expired.occurred_at == last.deadline
    assert expired.recorded_at >= expired.occurred_at
    assert ledger.pool("slot").used == 0
    assert ledger.allocate({"slot": 1}, owner="next").state is AllocationState.ACTIVE


def test_a_process_whose_clock_is_minutes_ahead(
    ledger: Ledger, database_url: str, watch: Watch, messages: Messages
) -> None:
    """It has another's hold lapse early; the holder finds out at its next renewal, and its token is turned away.

    Nothing is granted twice: the first hold had ended, by the pool's time, when the second was granted.
    """
    held = ledger.allocate({"slot": 1}, owner="holder", ttl=MINUTE, allocation_id="a")
    fence = Fence()
    lease = held.keep_alive().start()
    fence.check(held.token, "the slot")
    with running(allocate_ahead, [(database_url, timedelta(minutes=5))]) as (hurried,):
        fence.check(hurried.receive(), "the slot")
        assert ledger.pool("slot").used == 1
        watch.now += 20
        lease.turn()
        lost = lease.wait_lost(SECONDS_MAX)
    assert isinstance(lost, LeaseLost)
    assert isinstance(lost.__cause__, Refused)
    assert lost.__cause__.code is RefusalCode.ALLOCATION_ENDED
    (message,) = messages.of("lease_lost")
    about = {"allocation_id": "a", "pool": "slot", "code": "allocation_ended", "error": str(lost)}
    assert message.items() >= {**about, "command_id": lost.__cause__.command_id}.items()
    with pytest.raises(StaleToken):
        fence.check(held.token, "the slot")
    kinds = [type(ledger.log.decode(row).event).__name__ for row in ledger.log.rows()]
    assert kinds == ["PoolOpened", "Allocated", "Renewed", "Expired", "Allocated", "ValidationFailed"]
    ledger.release("early")
    assert ledger.pool("slot").used == 0
    assert verify_ledger(ledger).ok


def test_a_process_whose_clock_is_minutes_behind(database_url: str, watch: Watch) -> None:
    """Once others have written to its pool, what it renews lasts as long as theirs, by the pool's time."""
    assert watch.now == 1000.0
    slow = Ledger.open(database_url, clock=lambda: system_clock() - timedelta(minutes=5))
    with slow, Ledger.open(database_url) as ledger:
        ledger.open_pool("slot", resource_type="slot", limits=Limits(total=2))
        ledger.allocate({"slot": 1}, owner="other", ttl=MINUTE)
        with slow.allocate({"slot": 1}, owner="slow", ttl=MINUTE, allocation_id="a").keep_alive() as lease:
            assert lease.deadline is not None
            assert lease.deadline > system_clock()
            assert ledger.expire() == slow.expire() == ()
            assert ledger.allocation("a").state is AllocationState.ACTIVE


def test_a_clock_that_goes_wrong_under_a_lease(
    postgres_url: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL takes nothing from it any more: the holder is told at its next renewal that it has to stop."""
    with Ledger.open(postgres_url) as ledger:
        ledger.open_pool("slot", resource_type="slot", limits=Limits(total=1, default_ttl=60))
        lease = ledger.allocate({"slot": 1}, owner="holder").keep_alive().start()
        monkeypatch.setattr(transactions, "_CLOCK_CHECK_SECONDS", 0.0)
        ledger.expire()
        monkeypatch.setattr(transactions, "system_clock", lambda: system_clock() + timedelta(minutes=3))
        watch.now += 20
        lease.turn()
        lost = lease.wait_lost(SECONDS_MAX)
        assert "it cannot be renewed: the clock of this process is 180 s ahead of the database server's" in str(lost)


def test_a_database_that_is_away_for_a_while(
    ledger: Ledger, database_url: str, watch: Watch, messages: Messages
) -> None:
    """A renewal that fails is sent again, in time; else the lease is lost in time, too."""
    lease = ledger.allocate({"slot": 1}, owner="holder", ttl=MINUTE, allocation_id="a").keep_alive().start()
    with Ledger.open(database_url) as other, other.log.writing():
        fail(ledger, lease, watch, 20)
        lease.check()
    watch.now += 1
    lease.turn()
    with ledger.log.watching() as news:
        while renewals(ledger) < 2:
            news(SECONDS_MAX)
    ledger.expire()
    assert lease.seconds_left == 50.0
    with Ledger.open(database_url) as other, other.log.writing():
        fail(ledger, lease, watch, 49)
        lease.check()
        watch.now += 1
        with pytest.raises(LeaseLost, match="no renewal was confirmed for 50 s: "):
            lease.check()
    assert [one["allocation_id"] for one in messages.of("lease_not_renewed")] == ["a", "a"]
    assert all(one["command_id"] for one in messages.of("lease_not_renewed"))
    assert len(messages.of("lease_lost")) == 1


def fail(ledger: Ledger, lease: Lease, watch: Watch, seconds: float) -> None:
    """Let time go by, give a lease its turn, and wait until what it asked has failed."""
    failed = Event()
    before, ledger._group.patience = ledger._group.patience, 0.1  # noqa: SLF001 - to be impatient only here
    with lease._lock:  # noqa: SLF001 - its own thread may have the same idea
        watch.now += seconds
        lease.turn()
        pending = lease._pending  # noqa: SLF001 - nothing public tells of a try
        assert pending is not None
        pending.add_done_callback(lambda _: failed.set())  # called after the lease's own
    assert failed.wait(SECONDS_MAX)
    ledger._group.patience = before  # noqa: SLF001 - the same


def test_a_process_that_was_forked_holds_nothing(ledger: Ledger) -> None:
    """Whoever asks there is told so; the holder itself goes on."""

    def look() -> str:
        try:
            lease.check()
        except LogUnavailable as error:
            return str(error)
        return "held"

    with ledger.allocate({"slot": 1}, owner="holder", ttl=MINUTE).keep_alive() as lease:
        assert forked(look) == "the ledger was opened before this process was forked: open one of its own here"
        assert look() == "held"


# With a manager


async def test_a_resource_is_kept(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, fixed_clock: Clock
) -> None:
    """Its right is renewed while the block runs, and what has lapsed is not kept."""
    assert provider.live == set()
    resource = await manager.allocate("slot", expiration_time=fixed_clock.now + MINUTE)
    async with manager.keep_alive(resource.id, ttl=2 * MINUTE) as lease:
        assert (lease.allocation_id, renewals(stored_ledger, resource.id)) == (resource.id, 1)
        assert lease.token == resource.metadata.token == stored_ledger.allocation(resource.id).token
    fixed_clock.set(300)
    with pytest.raises(Refused):
        async with manager.keep_alive(resource.id, ttl=MINUTE):
            pytest.fail("the block began")
    with pytest.raises(ValueError, match="Resource not found: nobody"):
        manager.keep_alive("nobody")
