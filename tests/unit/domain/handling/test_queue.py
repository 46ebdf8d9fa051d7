"""Who waits before whom, and what a batch does with commands that may wait."""

from datetime import timedelta
from itertools import count

import pytest

from holdbook import (
    Allocate,
    ClosePool,
    Limits,
    LogUnavailable,
    Malformed,
    MemoryEventLog,
    RefusalCode,
    Release,
    Reserve,
)
from holdbook.domain.handling.batch import Batch
from holdbook.domain.handling.outcome import PendingCommand
from holdbook.domain.handling.pool_cache import PoolCache
from holdbook.domain.handling.queue import FreeCapacity, Queue
from holdbook.infrastructure.log.memory_log import MemoryReader
from support.deciding import T0, History, allocated, given, opened, refusal, waiting

FULL = given(opened(), opened("cpu"), allocated("held", gpu=8))
MINUTE = timedelta(minutes=1)


def ask(name: str, quantity: int = 1, *, may_wait: bool = True, **fields: object) -> PendingCommand:
    """Ask for some of the pool `gpu`, ready to wait a minute."""
    quantities = fields.pop("quantities", {"gpu": quantity})
    command = Allocate(**{"quantities": quantities, "owner": "ann", "command_id": name, "wait": MINUTE, **fields})
    return PendingCommand(command, name, fresh=False, may_wait=may_wait)


def free(allocation_id: str = "held") -> PendingCommand:
    """Release an allocation."""
    return PendingCommand(Release(allocation_id=allocation_id), f"free {allocation_id}", fresh=False)


def batch_on(log: MemoryEventLog, *asked: PendingCommand) -> Batch:
    """Make a batch on what a log holds."""
    numbers = count(1)
    with log.reading() as reader:
        return Batch(
            asked, reader=reader, cache=PoolCache(), epoch=1, now=T0, actor=None, new_id=lambda: f"new-{next(numbers)}"
        )


def lined_up(history: History, *asked: PendingCommand) -> MemoryEventLog:
    """Give the log of what happened, with commands that wait."""
    log = history.log()
    with log.writing() as writer:
        writer.move_queue([waiting(one.command_id, **vars(one.command)["quantities"]) for one in asked], ())
    return log


def answered(batch: Batch, *asked: PendingCommand) -> list[str]:
    """Say in a word what became of each command, one after another."""
    answers = [batch.answer(one, atomic=False) for one in asked]
    return [
        type(one).__name__ if isinstance(one, Exception) else one.refusal.code.value if one.refusal else "granted"
        for one in answers
    ]


# Who is before whom


def queue_of(*names: str, log: MemoryEventLog | None = None) -> Queue:
    """Look at the queue of a log, as a batch of so many commands does."""
    with (log or MemoryEventLog()).reading() as reader:
        return Queue(reader, len(names))


def test_nobody_is_behind_where_nobody_waits() -> None:
    """Pools without a queue have none before anybody."""
    assert queue_of("a").behind("a", ["gpu", "cpu"]) == set()


def test_behind_are_those_that_came_later() -> None:
    """The first of a pool is behind nobody there; who never entered is behind all; other pools do not count."""
    log = lined_up(FULL, ask("a"), ask("b", quantities={"cpu": 1, "gpu": 1}), ask("c", quantities={"cpu": 1}))
    queue = queue_of("a", "b", "c", "new", log=log)
    both = {"cpu", "gpu"}
    assert [queue.behind(name, both) for name in ("a", "b", "c", "new")] == [{"cpu"}, {"gpu"}, both, both]
    assert queue.behind("new", ["ram"]) == set()


def test_who_leaves_is_before_nobody_any_more() -> None:
    """In the batch that it leaves with: those behind move up, however many leave."""
    log = lined_up(FULL, ask("a"), ask("b"), ask("c"))
    queue = queue_of("a", "b", log=log)
    queue.leave("a")
    assert (queue.behind("b", ["gpu"]), queue.behind("c", ["gpu"])) == (set(), {"gpu"})
    queue.leave("b")
    assert queue.behind("c", ["gpu"]) == set()


def test_who_enters_with_the_batch_is_before_those_after_it() -> None:
    """Also before the queue is read again; unless it is decided in the same batch after all."""
    queue = queue_of("a", "b")
    queue.enter("a", waiting("a", gpu=1))
    assert (queue.behind("a", ["gpu"]), queue.behind("b", ["gpu"]), queue.behind("b", ["cpu"])) == (
        set(),
        {"gpu"},
        set(),
    )
    queue.leave("a")
    assert queue.behind("b", ["gpu"]) == set()
    assert not queue.entered


# Room for several at once


def test_there_is_room_for_as_many_as_fit_together() -> None:
    """The first is for its pools to judge; each after it has to fit in beside what those before it take."""
    room = FreeCapacity({"gpu": 3, "cpu": 0})
    assert room.has({"gpu": 9, "cpu": 9})
    room.take({"gpu": 2})
    assert room.has({"gpu": 1})
    assert not room.has({"gpu": 2})
    room.take({"gpu": 1})
    assert not room.has({"gpu": 1, "cpu": 1})
    assert room.has({"cpu": 1})


# Batches


def test_who_may_wait_is_not_refused_for_now() -> None:
    """It enters the queue with all that is told of it, and nothing is recorded."""
    one = ask("a", quantities={"cpu": 2, "gpu": 1})
    batch = batch_on(FULL.log(), one)
    assert answered(batch, one) == ["Undecided"]
    assert batch.records == []
    entered = batch.queue.entered["a"]
    assert (entered.owner, entered.quantities, entered.since, entered.until) == (
        "ann", {"cpu": 2, "gpu": 1}, T0, T0 + MINUTE,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "word"),
    [
        (ask("granted", quantities={"cpu": 1}), "granted"),
        (ask("never", 9), "above_capacity"),
        (ask("no pool", quantities={"ram": 1}), "pool_not_found"),
        (ask("time is up", may_wait=False), "pool_exhausted"),
    ],
    ids=lambda one: one if isinstance(one, str) else one.command_id,
)
def test_what_is_decided_does_not_wait(one: PendingCommand, word: str) -> None:
    """A grant, a refusal for good, and any answer once the time is up: it leaves the queue with it, if it was there."""
    log = lined_up(FULL, one)
    batch = batch_on(log, one)
    assert answered(batch, one) == [word]
    assert len(batch.records) == 1
    assert (batch.queue.entered, batch.queue.left) == ({}, {one.command_id})


def test_who_does_not_wait_is_not_served_before_who_does() -> None:
    """Though there is room for it: it is refused, and may be granted once nobody waits any more."""
    log = lined_up(FULL, ask("large", 5))
    small = PendingCommand(Reserve(quantities={"gpu": 1}, owner="bob", ttl=MINUTE), "small", fresh=False)
    again = small._replace(command_id="again")
    asked = [free(), small, ask("large", 5), again]
    assert answered(batch_on(log, *asked), *asked) == ["granted", "queued_behind", "granted", "granted"]


def test_a_batch_serves_in_order() -> None:
    """Whatever the order of its commands: who came first is first, and those that enter with the batch come after."""
    log = lined_up(given(opened(total=2), allocated("held", gpu=2)), ask("a"), ask("b"))
    asked = [free(), ask("new"), ask("b"), ask("a"), ask("b"), ask("new")]
    assert answered(batch_on(log, *asked), *asked) == [
        "granted", "Undecided", "Undecided", "granted", "granted", "Undecided",
    ]  # fmt: skip


def test_the_same_command_without_waiting_has_the_place() -> None:
    """Whether it waits is no part of it: it is served in its turn, leaves, and whoever waits for it has the outcome."""
    log = lined_up(FULL, ask("a"), ask("b"))
    at_once = PendingCommand(Allocate(quantities={"gpu": 1}, owner="ann", command_id="a"), "a", fresh=False)
    batch = batch_on(log, free(), at_once, ask("a"))
    assert answered(batch, free(), at_once, ask("a")) == ["granted", "granted", "granted"]
    assert batch.queue.left == {"a"}
    assert len(batch.records) == 2


def test_what_would_be_decided_is_told_without_deciding_it() -> None:
    """Grants, refusals for good and errors are decisions; to have to wait is none."""
    granted, never, stuck, reused = ask("granted", quantities={"cpu": 1}), ask("never", 9), ask("stuck"), ask("used")
    log = FULL.given(allocated("x", cpu=1)).log()
    reused = reused._replace(command_id="given-4")
    batch = batch_on(log, granted, never, stuck, reused)
    assert [batch.would_decide(one) for one in (granted, never, stuck, reused)] == [True, True, False, True]
    assert batch.records == []


def test_a_log_that_cannot_be_read_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits is not told of it: it may pass."""

    def stream(*_: object) -> None:
        raise LogUnavailable

    one = ask("a")
    batch = batch_on(FULL.log(), one)
    monkeypatch.setattr(MemoryReader, "stream", stream)
    with pytest.raises(LogUnavailable):
        batch.would_decide(one)


# The domain's ledger, which has nobody wait


def test_a_ledger_without_a_waiting_room_refuses_at_once() -> None:
    """The time to wait is none of the decision's: the refusal is recorded, and a repeat with another wait has it."""
    ledger = FULL.ledger()
    command = ask("a").command
    assert refusal(ledger, command).code is RefusalCode.POOL_EXHAUSTED
    again = ledger.submit(command.model_copy(update={"wait": 2 * MINUTE})).result()
    assert (again.repeated, len(ledger.log.rows())) == (True, 4)


def test_a_batch_that_brings_its_own_times_does_not_wait() -> None:
    """An import is decided at once: a time to wait there is an error, and nothing is recorded."""
    ledger = FULL.ledger()
    with pytest.raises(Malformed, match="wait: expected none: a batch is decided at once"):
        ledger.record([ClosePool(pool="gpu"), ask("a").command])
    assert len(ledger.log.rows()) == 3


def test_a_check_does_not_wait() -> None:
    """It says what would happen now."""
    outcome = FULL.waited_for("cpu").ledger().check(ask("a", quantities={"cpu": 1}).command)
    assert outcome.refusal is not None
    assert outcome.refusal.code is RefusalCode.QUEUED_BEHIND


def test_growing_does_not_queue() -> None:
    """Who holds something may enlarge it though others wait: it is not behind them, it is there."""
    ledger = given(opened(), allocated("held", gpu=2)).waited_for("gpu").ledger()
    assert ledger.resize("held", {"gpu": 8}).quantities == {"gpu": 8}
    assert ledger.change_limits("gpu", Limits(total=9)).free == 1
