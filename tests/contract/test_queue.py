"""The queue beside the log: one suite that it passes in every store."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from holdbook.domain.records import LogPosition
from holdbook.domain.waiting import AHEAD_SECONDS_MAX, GONE_SECONDS
from support.deciding import T0, after, waiting
from support.logs import Log, execute, granted, open_log, opened, query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook import Waiting


@pytest.fixture
def other(log: Log, log_url: str | None) -> Iterator[Log]:
    """The same log as another process has it; in memory there is but one."""
    if log_url is None:
        yield log
        return
    with closing(open_log(log_url)) as other:
        yield other


def gpu(command_id: str) -> Waiting:
    """Make a command that wants to wait for one of the pool `gpu`."""
    return waiting(command_id, gpu=1)


def enter(log: Log, *entered: Waiting) -> None:
    """Let commands enter the queue, together."""
    with log.writing() as writer:
        writer.move_queue(entered, ())


def leave(log: Log, *left: str) -> None:
    """Let commands leave with what is decided."""
    with log.writing() as writer:
        writer.move_queue((), left)


def listed(log: Log) -> list[str]:
    """List the ids of those who wait, in order."""
    with log.reading() as reader:
        return [one.command_id for one in reader.queue()]


def first(log: Log, pool: str, limit: int = 9) -> list[str]:
    """List the first who wait for a pool, as one sees it who decides; as one who only looks, it is the same."""
    with log.reading() as reader:
        seen = list(reader.queued(pool, limit))
    with log.writing() as writer:
        assert list(writer.queued(pool, limit)) == seen
    return seen


def test_the_order_is_that_of_entering(log: Log, other: Log) -> None:
    """Whoever comes later is served later, whichever process it waits in, and a ticket says so."""
    enter(log, gpu("a"), gpu("b"))
    enter(other, gpu("c"))
    enter(log, gpu("d"))
    assert listed(log) == listed(other) == ["a", "b", "c", "d"]
    with log.reading() as reader:
        tickets = [one.ticket for one in reader.queue()]
    assert tickets == sorted(set(tickets))


def test_what_is_told_of_who_waits(log: Log) -> None:
    """All of it comes back as it was given, but for the ticket: of several pools, one command."""
    enter(log, waiting("a", gpu=2, cpu=3))
    with log.reading() as reader:
        (found,) = reader.queue()
    assert found.ticket > 0
    assert (found.command_id, found.owner, dict(found.quantities)) == ("a", "ann", {"gpu": 2, "cpu": 3})
    assert (found.since, found.until) == (T0, after(60))


def test_the_first_of_a_pool(log: Log) -> None:
    """Of each pool only those are told who wait for some of it, no more than asked for."""
    enter(log, waiting("a", gpu=1), waiting("b", cpu=1), waiting("c", cpu=1, gpu=1), waiting("d", gpu=1))
    assert first(log, "gpu") == ["a", "c", "d"]
    assert first(log, "gpu", 2) == ["a", "c"]
    assert first(log, "cpu") == ["b", "c"]
    assert first(log, "ram") == []


def test_who_enters_again_keeps_its_place(log: Log, other: Log) -> None:
    """From another process too, which it waits in from then on; until when it waits may be new."""
    enter(log, gpu("a"), gpu("b"))
    enter(other, replace(gpu("a"), until=after(540)))
    assert listed(log) == ["a", "b"]
    with log.reading() as reader:
        assert reader.queue()[0].until == after(540)
    assert "a" in other.stay_queued()


def test_leaving_with_a_decision(log: Log, other: Log) -> None:
    """Whoever is decided leaves, wherever it waits, whether it ever waited or not; one that comes later is the last."""
    enter(log, gpu("a"), gpu("b"), gpu("c"))
    leave(other, "a", "c", "never there")
    assert listed(log) == ["b"]
    enter(log, gpu("a"))
    assert listed(log) == ["b", "a"]
    leave(log, "a", "b")
    assert listed(log) == []


def test_leaving_undecided(log: Log) -> None:
    """Any number may leave at once, also more than fit into one statement; the others go on waiting."""
    enter(log, *(gpu(f"w{number}") for number in range(3)))
    log.leave_queue([*(f"x{number}" for number in range(2500)), "w0", "w2"])
    assert listed(log) == ["w1"]


def test_nothing_is_appended_behind_the_back_of_who_waits(log: Log) -> None:
    """While anybody waits, a decision that did not look at the queue is not recorded; with nobody, it is."""
    with log.writing() as writer:
        end = writer.append([opened(1)])
    rows = log.chain([granted(2, 2, allocation_id="x", command_id="x")], end)
    enter(log, gpu("a"))
    assert not log.append_if(end, rows)
    leave(log, "a")
    assert log.append_if(end, rows)
    assert LogPosition.of(rows[-1]) == LogPosition.of(log.rows()[-1])


def test_leaving_is_news(log: Log, other: Log) -> None:
    """Whoever watches the log hears that somebody left: it may be its turn."""
    enter(log, gpu("a"))
    with other.watching() as news:
        while news(0.05):
            pass
        log.leave_queue(["a"])
        assert news(60)


def test_a_decision_that_fails_moves_nobody(log: Log) -> None:
    """Who enters and who leaves is part of the transaction."""
    enter(log, gpu("a"))

    def fail() -> None:
        with log.writing() as writer:
            writer.move_queue([gpu("b")], ["a"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert listed(log) == ["a"]


# Whoever is gone: in memory nobody can be


@pytest.mark.parametrize("seconds", [-1.0, 2 * AHEAD_SECONDS_MAX], ids=["silent", "ahead of a clock that was set back"])
def test_the_gone_are_passed_over_and_leave(log: Log, other: Log, shared_url: str, seconds: float) -> None:
    """Who said nothing for too long is not before anybody; the next decision takes it out, and forgets its process."""
    enter(log, gpu("a"))
    enter(other, gpu("b"))
    alive = alive_until(shared_url)
    set_alive(shared_url, log, min(alive.values()) - GONE_SECONDS + seconds)
    with other.reading() as reader:
        assert list(reader.queued("gpu", 9)) == [one.command_id for one in reader.queue()] == ["b"]
    assert len(query(shared_url, "SELECT * FROM queue")) == 2, "whoever only looks leaves it as it is"
    with other.writing() as writer:
        assert list(writer.queued("gpu", 9)) == ["b"]
    assert query(shared_url, "SELECT command_id FROM queue") == [("b",)]
    assert set(alive_until(shared_url)) == {str(getattr(other, "waiter"))}  # noqa: B009 - not in memory
    assert log.stay_queued() == set(), "it finds out that it lost its place"
    enter(log, gpu("a"))
    assert listed(log) == ["b", "a"]


def test_who_says_that_it_is_alive_stays(log: Log, shared_url: str) -> None:
    """However late: it has its place as long as nothing was decided, and is told so."""
    enter(log, gpu("a"))
    set_alive(shared_url, log, 0.0)
    assert listed(log) == []
    assert log.stay_queued() == {"a"}
    with log.writing() as writer:
        assert list(writer.queued("gpu", 9)) == ["a"]


def test_those_in_memory_are_all_alive(log: Log) -> None:
    """Each store tells which commands have their place."""
    enter(log, gpu("a"), gpu("b"))
    assert set(log.stay_queued()) == {"a", "b"}


def test_only_who_waits_here_leaves_undecided(log: Log, other: Log, shared_url: str) -> None:
    """A command that another process has taken over goes on waiting there."""
    enter(log, gpu("a"))
    enter(other, gpu("a"))
    log.leave_queue(["a"])
    assert query(shared_url, "SELECT command_id FROM queue") == [("a",)]


def alive_until(url: str) -> dict[str, float]:
    """Read until when each process is believed to be alive."""
    return {str(row[0]): float(row[1]) for row in query(url, "SELECT waiter, alive_until FROM waiters")}


def set_alive(url: str, log: Log, until: float) -> None:
    """Set until when a log's process is believed to be alive."""
    waiter = getattr(log, "waiter")  # noqa: B009 - not in memory
    execute(url, f"UPDATE waiters SET alive_until = {until} WHERE waiter = '{waiter}'")  # noqa: S608 - a test's
