"""Leases over a ledger in memory, on a clock of elapsed seconds that goes only when it is told to."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from holdbook import (
    AllocationState,
    Held,
    LeaseLost,
    Ledger,
    Limits,
    LogUnavailable,
    Malformed,
    RefusalCode,
    Refused,
    Token,
)
from support.deciding import Clock, after
from support.leasing import MINUTE, SECONDS_MAX, Patient, Watch, clock, go, held, ledger, renewals, watch

__all__ = ["clock", "held", "ledger", "watch"]
"""Fixtures."""


# Renewing


def test_a_lease_renews_at_once_and_at_each_third(ledger: Ledger, held: Held, watch: Watch, clock: Clock) -> None:
    """With the ttl of the grant and its token; the end of the block ends that, and releases nothing."""
    with held.keep_alive() as lease:
        assert (renewals(ledger), lease.deadline, lease.token, lease.allocation_id) == (1, after(60), held.token, "a")
        assert lease.seconds_left == 50.0
        go(watch, 19.9, lease)
        assert renewals(ledger) == 1
        clock.set(20)
        go(watch, 0.1, lease)
        assert (renewals(ledger), lease.deadline, lease.seconds_left) == (2, after(80), 50.0)
        lease.check()
    assert lease.seconds_left == 0.0
    go(watch, 20, lease)
    assert renewals(ledger) == 2
    assert ledger.allocation("a").state is AllocationState.ACTIVE
    command = ledger.history("a")[-1].command or ""
    assert f'"token":"{held.token}","ttl":60' in command


def test_by_id_alone(ledger: Ledger, watch: Watch, clock: Clock) -> None:
    """Without a ttl the pools' default holds, changed or not; the token is learned with the first renewal."""
    held = ledger.allocate({"cpu": 1}, owner="ann", allocation_id="a")
    lease = ledger.keep_alive("a")
    assert (lease.token, lease.deadline, lease.lost) == (None, None, None)
    with lease:
        assert (lease.token, lease.deadline) == (held.token, after(120))
        ledger.change_limits("cpu", Limits(total=8, default_ttl=60))
        go(watch, 40, lease)
        assert (lease.deadline, lease.seconds_left) == (after(60), 50.0)
    clock.set(60)
    with pytest.raises(Refused) as caught:
        ledger.keep_alive("a").start()
    assert caught.value.code is RefusalCode.ALLOCATION_ENDED


@pytest.mark.parametrize(
    ("allocation_id", "options", "code"),
    [
        ("a", {}, RefusalCode.TTL_REQUIRED),
        ("a", {"ttl": timedelta(hours=1)}, RefusalCode.TTL_TOO_LONG),
        ("a", {"token": Token(1, 1), "ttl": MINUTE}, RefusalCode.TOKEN_MISMATCH),
        ("nobody", {"ttl": MINUTE}, RefusalCode.ALLOCATION_NOT_FOUND),
    ],
)
@pytest.mark.usefixtures("held")
def test_what_cannot_be_renewed_is_not_kept(
    ledger: Ledger, allocation_id: str, options: dict[str, Any], code: RefusalCode
) -> None:
    """The block does not begin: the refusal is raised, and the log has it."""
    lease = ledger.keep_alive(allocation_id, **options)
    with pytest.raises(Refused) as caught, lease:
        pytest.fail("the block began")
    assert caught.value.code is code
    assert lease.lost is None
    with pytest.raises(LeaseLost, match="it has not begun"):
        lease.check()


@pytest.mark.parametrize("grace", [MINUTE, 60, -1, timedelta(seconds=-1), "5", True, float("nan")])
def test_a_grace_is_less_than_the_ttl(ledger: Ledger, held: Held, grace: Any) -> None:  # noqa: ANN401 - what is none
    """Another is malformed, and nothing is renewed."""
    with pytest.raises(Malformed, match=r"^grace: expected a duration from 0, less than the time to live"):
        held.keep_alive(grace=grace)
    assert renewals(ledger) == 0


def test_a_grace_is_less_than_the_default_too(ledger: Ledger) -> None:
    """Which is known only once the first renewal was answered."""
    ledger.allocate({"cpu": 1}, owner="ann", allocation_id="a")
    with pytest.raises(Malformed, match=r"^grace: expected less than the time to live, 120 s"):
        ledger.keep_alive("a", grace=2 * MINUTE).start()


def test_a_long_grace_brings_renewals_forward(held: Held, watch: Watch, ledger: Ledger) -> None:
    """There are two renewals before the lease would be lost, whatever the grace; none at all is a grace too."""
    with held.keep_alive(grace=timedelta(seconds=40)) as lease:
        assert lease.seconds_left == 20.0
        go(watch, 10, lease)
        assert (renewals(ledger), lease.seconds_left) == (2, 20.0)
    with held.keep_alive(grace=timedelta()) as lease:
        assert lease.seconds_left == 60.0


def test_a_lease_begins_once(held: Held) -> None:
    """Another one is another lease."""
    lease = held.keep_alive().start()
    with pytest.raises(RuntimeError, match="a lease begins once"):
        lease.start()
    lease.close()
    lease.close()
    with pytest.raises(LeaseLost, match="it was closed"):
        lease.check()
    with pytest.raises(RuntimeError, match="a lease begins once"), lease:
        pytest.fail("the block began")
    assert lease.wait_lost() is None


# Losing


def test_a_holder_finds_out_at_its_next_renewal(ledger: Ledger, held: Held, watch: Watch, clock: Clock) -> None:
    """The error says which allocation, since when, why, and what to do; the callback is told once; the block raises."""
    patient = Patient()

    def work() -> None:
        with held.keep_alive(on_lost=patient) as lease:
            assert lease.wait_lost(0) is None
            clock.set(61)  # as another machine's may be
            ledger.expire()
            lease.check()
            go(watch, 20, lease)
            assert patient.wait(SECONDS_MAX)
            assert lease.wait_lost(SECONDS_MAX) is lease.lost is patient.told[0]
            with pytest.raises(LeaseLost):
                lease.check()
            go(watch, 20, lease)

    with pytest.raises(LeaseLost) as caught:
        work()
    (lost,) = patient.told
    assert caught.value is lost
    assert (lost.allocation_id, lost.since) == ("a", after(61))
    assert isinstance(lost.__cause__, Refused)
    assert str(lost) == (
        "the lease of allocation 'a' is lost since 2026-01-01 00:01:01Z: its renewal was refused (allocation_ended), "
        "as allocation 'a' has ended: expired; stop using the resource, as somebody else may hold it, and allocate anew"
    )
    assert renewals(ledger) == 1


def test_a_lease_is_over_a_grace_before_its_deadline(held: Held, watch: Watch) -> None:
    """By the holder's clock alone, whoever looks first, counted from before the renewal was sent."""
    patient = Patient()
    lease = held.keep_alive(on_lost=patient).start()
    watch.now += 49.999
    lease.check()
    watch.now += 0.001
    with pytest.raises(LeaseLost, match="no renewal was confirmed for 50 s; stop using"):
        lease.check()
    assert patient.wait(SECONDS_MAX)
    assert (lease.seconds_left, lease.lost) == (0.0, patient.told[0])
    other = held.keep_alive().start()
    watch.now += 50
    other.turn()
    assert other.wait_lost() is not None


def test_time_counts_from_before_a_renewal_was_sent(held: Held, watch: Watch, ledger: Ledger) -> None:
    """However long the answer took: the ledger's deadline cannot be earlier than the holder's."""
    with held.keep_alive() as lease:
        watch.now += 20
        with ledger._handler.own_cache():  # noqa: SLF001 - nothing is committed meanwhile
            lease.turn()
            watch.now += 15
            assert lease.seconds_left == 15.0
        ledger.expire()
        assert (renewals(ledger), lease.seconds_left) == (2, 35.0)


def test_another_error_is_not_covered_up(held: Held, watch: Watch) -> None:
    """It is raised as it is, with a note that the lease was lost as well; the loss itself needs none."""

    def work(seconds: float, error: Exception | None = None) -> None:
        with held.keep_alive() as lease:
            watch.now += seconds
            if error is not None:
                raise error
            lease.check()

    with pytest.raises(KeyError) as caught:
        work(60, KeyError("k"))
    (note,) = caught.value.__notes__
    assert note.startswith("the lease of allocation 'a' is lost since ")
    with pytest.raises(LeaseLost) as itself:
        work(60)
    assert not hasattr(itself.value, "__notes__")
    with pytest.raises(ZeroDivisionError) as alone:
        work(0, ZeroDivisionError())
    assert not hasattr(alone.value, "__notes__")


@pytest.mark.parametrize("way", ["release", "void"])
def test_an_end_that_this_process_asked_for_is_no_loss(ledger: Ledger, watch: Watch, way: str) -> None:
    """The lease ends with what it keeps, quietly; but who asks is told that it is over."""
    held = ledger.reserve({"gpu": 1}, owner="ann", ttl=MINUTE, allocation_id="a")
    patient = Patient()
    with held.keep_alive(on_lost=patient) as lease:
        if way == "release":
            ledger.confirm("a", ttl=MINUTE)
        getattr(ledger, way)("a")
        go(watch, 20, lease)
        assert (lease.lost, lease.wait_lost(SECONDS_MAX), lease.seconds_left) == (None, None, 0.0)
        with pytest.raises(LeaseLost, match="it was closed"):
            lease.check()
    assert patient.told == []


def test_an_end_that_somebody_else_asked_for_is_a_loss(ledger: Ledger, held: Held, watch: Watch, clock: Clock) -> None:
    """A release by force elsewhere is one; so is a pool that closes."""
    other = Ledger(ledger.log, clock=clock)  # another process's, so to speak
    lease = held.keep_alive().start()
    other.release("a", force=True, reason="stuck")
    go(watch, 20, lease)
    with pytest.raises(LeaseLost, match=r"\(allocation_ended\), as allocation 'a' has ended: released"):
        lease.check()
    lease = ledger.allocate({"gpu": 1}, owner="ann", ttl=MINUTE).keep_alive().start()
    other.close_pool("gpu")
    go(watch, 20, lease)
    with pytest.raises(LeaseLost, match=r"\(pool_closed\), as pool 'gpu' is closed"):
        lease.check()


def test_a_release_that_is_refused_ends_no_lease(ledger: Ledger, held: Held, watch: Watch) -> None:
    """It goes on being renewed."""
    with held.keep_alive() as lease:
        with pytest.raises(Refused):
            ledger.release("a", token=Token(1, 1))
        go(watch, 20, lease)
        lease.check()
    assert renewals(ledger) == 2


def test_a_ledger_that_is_closed_keeps_nothing(ledger: Ledger, held: Held) -> None:
    """Its leases are lost at once, but for those that were closed; none begins after that, and none is renewed."""
    closed, dropped, lease = (held.keep_alive().start() for _ in range(3))
    closed.close()
    del dropped
    ledger.close()
    assert "its ledger was closed" in str(lease.lost)
    assert closed.lost is None
    with pytest.raises(LogUnavailable, match="the ledger was closed"):
        held.keep_alive().start()


def test_a_renewal_that_is_answered_while_its_ledger_closes(ledger: Ledger, held: Held, watch: Watch) -> None:
    """Its lease is lost as well: nothing will renew it again."""
    patient = Patient()
    lease = held.keep_alive(on_lost=patient).start()
    with ledger._handler.own_cache():  # noqa: SLF001 - nothing is committed meanwhile
        watch.now += 20
        lease.turn()
        ledger._leases._turns.clear()  # noqa: SLF001 - as while its turn is taken
        ledger._leases.close()  # noqa: SLF001 - what the ledger does first
    assert patient.wait(SECONDS_MAX)
    assert "its ledger was closed" in str(lease.lost)


# asyncio


async def test_in_tasks(ledger: Ledger, held: Held, watch: Watch) -> None:
    """The same lease begins without blocking the loop, and raises at the block's end."""
    async with held.keep_alive() as lease:
        assert renewals(ledger) == 1
        with pytest.raises(RuntimeError, match="a lease begins once"):
            await lease.__aenter__()
    with pytest.raises(LeaseLost, match="no renewal was confirmed"):
        async with held.keep_alive():
            watch.now += 60
    ledger.release("a")
    with pytest.raises(Refused):
        async with held.keep_alive():
            pytest.fail("the block began")


async def test_a_loss_cancels_a_task(held: Held, watch: Watch) -> None:
    """A callback that hands over to the loop ends a task that only works."""
    loop, started = asyncio.get_running_loop(), asyncio.Event()

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with held.keep_alive(on_lost=lambda _: loop.call_soon_threadsafe(task.cancel)) as lease:
            started.set()
            watch.now += 60
            lease.turn()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert started.is_set()
