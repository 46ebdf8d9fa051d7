"""Commands that wait: served in order, whoever frees what they want, and decided once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from holdbook import Allocate, AllocationState, Ledger, Limits, NotFound, RefusalCode, Refused
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from support.logs import execute
from support.outcomes import DEADLINE_SECONDS, answers
from support.queueing import (
    LONG,
    SHORT,
    ask,
    granted_in_order,
    line_up,
    open_pools,
    until_queued,
    waiting_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """A ledger in each store in turn, with a pool of four, of which two and two are held."""
    if request.param == "memory":
        ledger = Ledger.in_memory()
    else:
        url = request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param])
        ledger = Ledger.open(url)
    with ledger:
        hold(ledger)
        yield ledger


@pytest.fixture
def here(database_url: str) -> Iterator[Ledger]:
    """The same in a database, as one of two processes has it."""
    with Ledger.open(database_url) as ledger:
        hold(ledger)
        yield ledger


@pytest.fixture
def there(here: Ledger, database_url: str) -> Iterator[Ledger]:
    """As the other has it."""
    assert here.pool("gpu").free == 0
    with Ledger.open(database_url) as ledger:
        yield ledger


def hold(ledger: Ledger) -> None:
    """Open the pools, and hold all of one."""
    open_pools(ledger, gpu=4, cpu=4)
    ledger.allocate({"gpu": 2}, owner="bob", allocation_id="h1")
    ledger.allocate({"gpu": 2}, owner="bob", allocation_id="h2")


def refused(ledger: Ledger, command: Allocate) -> RefusalCode:
    """Execute a command that is to be refused."""
    with pytest.raises(Refused) as raised:
        ledger.execute(command)
    return raised.value.code


# Granted


def test_granted_when_something_is_released(ledger: Ledger) -> None:
    """Until then it is in the queue and not in the log; then it is decided, once, right after the release."""
    before = len(ledger.log.rows())
    [waiting] = line_up(ledger, ask("a", 2))
    assert waiting_in(ledger) == ["a"]
    assert (waiting.done(), len(ledger.log.rows())) == (False, before)
    released = ledger.release("h1")
    outcome = waiting.result(DEADLINE_SECONDS)
    assert released.state is AllocationState.RELEASED
    assert (outcome.position, outcome.repeated, len(ledger.log.rows())) == (before + 2, False, before + 2)
    assert outcome.allocation is not None
    assert outcome.allocation.quantities == {"gpu": 2}
    assert waiting_in(ledger) == []
    assert ledger.execute(ask("a", 2, wait=None)).repeated
    assert verify_ledger(ledger).ok


def test_granted_when_a_hold_lapses(ledger: Ledger) -> None:
    """Though nobody sweeps: whoever waits knows when to look."""
    ledger.release("h1")
    ledger.allocate({"gpu": 2}, owner="bob", allocation_id="short", ttl=SHORT)
    outcome = ledger.submit(ask("a", 2)).result(DEADLINE_SECONDS)
    assert outcome.expired == ("short",)
    assert outcome.refusal is None


def test_a_lapse_that_is_not_enough(ledger: Ledger) -> None:
    """It goes on waiting for the next, and the one after."""
    ledger.release("h1")
    ledger.release("h2")
    for number in range(1, 4):
        ledger.allocate({"gpu": 1}, owner="bob", allocation_id=f"s{number}", ttl=number * SHORT)
    outcome = ledger.submit(ask("a", 4)).result(DEADLINE_SECONDS)
    assert outcome.expired == ("s1", "s2", "s3")


def test_granted_when_limits_are_raised(ledger: Ledger) -> None:
    """What is free may come from anywhere."""
    waiting = line_up(ledger, ask("a", 2), ask("b", 1))
    ledger.change_limits("gpu", Limits(total=7))
    answers(waiting)
    assert granted_in_order(ledger)[2:] == ["a", "b"]


def test_a_reservation_waits_too(ledger: Ledger) -> None:
    """Its deadline counts from the grant."""
    ledger.release("h1")
    ledger.allocate({"gpu": 2}, owner="bob", ttl=SHORT)
    held = ledger.reserve({"gpu": 2}, owner="ann", ttl=timedelta(minutes=1), wait=LONG)
    assert held.state is AllocationState.RESERVED
    assert held.deadline == held.opened_at + timedelta(minutes=1)


def test_granted_when_another_process_frees_something(here: Ledger, there: Ledger) -> None:
    """By the log's own news; each sees who waits, whichever process it waits in."""
    [first] = line_up(here, ask("a", 2))
    [second] = line_up(there, ask("b", 2))
    assert waiting_in(here) == waiting_in(there) == ["a", "b"]
    there.release("h1")
    first.result(DEADLINE_SECONDS)
    assert waiting_in(there) == ["b"]
    here.release("h2")
    second.result(DEADLINE_SECONDS)
    assert granted_in_order(here)[2:] == ["a", "b"]


# In order


def test_a_large_request_is_not_starved(ledger: Ledger) -> None:
    """Small ones that would fit are refused if they do not wait, and served after it if they do."""
    large, small = line_up(ledger, ask("large", 4), ask("small"))
    ledger.release("h1")
    assert refused(ledger, ask("pushy", wait=None)) is RefusalCode.QUEUED_BEHIND
    assert ledger.check(ask("pushy 2", wait=None)).refusal is not None
    ledger.release("h2")
    assert large.result(DEADLINE_SECONDS).refusal is None
    ledger.release("large")
    assert small.result(DEADLINE_SECONDS).refusal is None
    assert granted_in_order(ledger)[2:] == ["large", "small"]
    ledger.allocate({"gpu": 1}, owner="bob", allocation_id="nobody waits any more")


def test_several_pools(ledger: Ledger) -> None:
    """A command is behind those before it in any of its pools, and holds up those after it in all of them."""
    open_pools(ledger, ram=1)
    both, cpu, gpu = line_up(ledger, ask("both", cpu=3, gpu=1), ask("cpu", cpu=2), ask("gpu", gpu=3))
    assert waiting_in(ledger, "cpu") == ["both", "cpu"]
    assert waiting_in(ledger, "gpu") == ["both", "gpu"]
    assert waiting_in(ledger, "ram") == []
    assert ledger.submit(ask("ram", ram=1)).result(DEADLINE_SECONDS).refusal is None
    assert [one.done() for one in (both, cpu, gpu)] == [False] * 3
    ledger.release("h1")
    both.result(DEADLINE_SECONDS)
    ledger.release("both")
    cpu.result(DEADLINE_SECONDS)
    ledger.release("h2")
    gpu.result(DEADLINE_SECONDS)
    assert granted_in_order(ledger)[2:] == ["ram", "both", "cpu", "gpu"]


def test_as_many_are_served_at_once_as_there_is_room_for(ledger: Ledger) -> None:
    """One release may be for several; the first that does not fit in beside them ends it."""
    waiting = line_up(ledger, ask("a"), ask("b"), ask("c", 2), ask("d"))
    ledger.release("h1")
    answers(waiting[:2])
    assert waiting_in(ledger) == ["c", "d"]
    ledger.release("h2")
    waiting[2].result(DEADLINE_SECONDS)
    ledger.release("a")
    answers(waiting)
    assert granted_in_order(ledger)[2:] == ["a", "b", "c", "d"]


# Refused


def test_the_time_is_up(ledger: Ledger) -> None:
    """One refusal is recorded, which a repeat gives again; the next in the queue is served."""
    before = len(ledger.log.rows())
    assert refused(ledger, ask("a", 2, wait=SHORT)) is RefusalCode.POOL_EXHAUSTED
    assert refused(ledger, ask("a", 2)) is RefusalCode.POOL_EXHAUSTED
    assert (len(ledger.log.rows()), waiting_in(ledger)) == (before + 1, [])


def test_the_time_is_up_behind_others(ledger: Ledger) -> None:
    """There was room for it, and not its turn: that is what the refusal says."""
    [large] = line_up(ledger, ask("large", 4))
    ledger.release("h1")
    assert refused(ledger, ask("small", wait=SHORT)) is RefusalCode.QUEUED_BEHIND
    assert waiting_in(ledger) == ["large"]
    ledger.release("h2")
    large.result(DEADLINE_SECONDS)


def test_what_waiting_cannot_help_is_refused_at_once(ledger: Ledger) -> None:
    """More than there is in all is never granted, however long one waits."""
    assert refused(ledger, ask("a", 5)) is RefusalCode.ABOVE_CAPACITY
    assert refused(ledger, ask("b", ram=1)) is RefusalCode.POOL_NOT_FOUND


def test_what_waiting_no_longer_helps_is_refused_at_once(ledger: Ledger) -> None:
    """As soon as rules change, at whatever place; the others go on waiting, until the pool is closed."""
    one, four, two = line_up(ledger, ask("one", 1), ask("four", 4), ask("two", 2))
    ledger.change_limits("gpu", Limits(total=4, max_size=3))
    assert getattr(four.result(DEADLINE_SECONDS).refusal, "code", None) is RefusalCode.ABOVE_MAX_SIZE
    assert (waiting_in(ledger), one.done(), two.done()) == (["one", "two"], False, False)
    ledger.close_pool("gpu")
    codes = [getattr(outcome.refusal, "code", None) for outcome in answers([one, two])]
    assert codes == [RefusalCode.POOL_CLOSED] * 2
    assert waiting_in(ledger) == []


# The same command more than once, and places that are lost


def test_the_same_command_twice(ledger: Ledger) -> None:
    """It has one place and one outcome, which everybody is told who waits for it; one that goes leaves it there."""
    first, second, third = line_up(ledger, ask("a", 2), ask("a", 2, wait=2 * LONG), ask("a", 2))
    assert waiting_in(ledger) == ["a"]
    assert first.cancel()
    ledger.release("h1")
    outcomes = answers([second, third])
    assert outcomes[0].position == outcomes[1].position
    assert sorted(outcome.repeated for outcome in outcomes) == [False, True]


def test_another_process_takes_a_place_over(here: Ledger, there: Ledger) -> None:
    """A command that is sent again by another process keeps its place, though the first one ends."""
    line_up(here, ask("a", 2))
    [behind, again] = line_up(there, ask("b", 2), ask("a", 2))
    here.close()
    assert waiting_in(there) == ["a", "b"]
    there.release("h1")
    assert again.result(DEADLINE_SECONDS).refusal is None
    there.release("h2")
    behind.result(DEADLINE_SECONDS)
    assert granted_in_order(there)[2:] == ["a", "b"]


def test_who_was_taken_for_gone_goes_on_behind(here: Ledger, there: Ledger, database_url: str) -> None:
    """A process that was silent for too long lost its places, finds that out, and waits on at the queue's end."""
    lost = line_up(here, ask("a", 2), ask("b", 2))
    execute(database_url, "UPDATE waiters SET alive_until = 0")
    [behind] = line_up(there, ask("c", 2))
    assert waiting_in(there) == ["c"]
    until_queued(there, 3)
    assert waiting_in(there) == ["c", "a", "b"]
    for name, one in (("h1", behind), ("h2", lost[0]), ("a", lost[1])):
        there.release(name)
        one.result(DEADLINE_SECONDS)
    assert granted_in_order(there)[2:] == ["c", "a", "b"]


def test_the_queue_of_a_pool_that_is_not_there(ledger: Ledger) -> None:
    """It is an error, not an empty queue."""
    with pytest.raises(NotFound, match="no pool 'tpu' in this ledger"):
        ledger.queue("tpu")
    assert ledger.queue("gpu").position == ledger.queue().position == len(ledger.log.rows())
