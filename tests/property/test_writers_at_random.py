"""For all commands of two writers: however they interleave, what came of them is what a serial order gives."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from tempfile import TemporaryDirectory
from threading import Barrier, Lock
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdbook import CommandIdReused, HoldbookError, Ledger, Limits, MemoryEventLog, PoolAlreadyOpen
from holdbook.domain.commands import command_from
from holdbook.domain.values import instant
from support.deciding import Clock, ledger_on
from support.strategies import commands, small_limits

if TYPE_CHECKING:
    from concurrent.futures import Future
    from datetime import datetime
    from pathlib import Path

    from holdbook import Outcome, Refused
    from holdbook.domain.commands import Command
    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.domain.records import Recorded

pytestmark = pytest.mark.untraced

Fields = dict[str, Any]

EVERYTHING = 10**6

numbered = st.tuples(commands, st.integers(0, 60)).map(lambda one: {**one[0], "command_id": f"c{one[1]}"})
"""Commands under ids that both writers use: some are asked twice, some are another command's."""

openings = st.lists(small_limits, min_size=2, max_size=3).map(
    lambda limits: [
        {"command": "open_pool", "pool": name, "resource_type": "r", "limits": one, "command_id": f"open-{name}"}
        for name, one in zip("abc", limits, strict=False)
    ]
)


@dataclass(frozen=True)
class Asked:
    """A command that a writer sent, and what came of it."""

    command: Command
    answer: Future[Outcome]


class Ticking(Clock):
    """A clock that goes on by a second whenever it is read, until it is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self.seconds = 1

    def __call__(self) -> datetime:
        """Tell the time."""
        with self._lock:
            self.now += timedelta(seconds=self.seconds)
            return self.now


@settings(max_examples=80)
@given(openings, st.lists(st.tuples(st.integers(0, 1), numbered, st.integers(-5, 9)), min_size=5, max_size=40))
def test_two_writers_who_take_turns(opening: list[Fields], turns: list[tuple[int, Fields, int]]) -> None:
    """Turn by turn in any order, with clocks that go back: each writer sees what the other did."""
    log, clock = MemoryEventLog(), Clock()
    writers = [ledger_on(log, clock) for _ in range(2)]
    asked = []
    for writer, fields, seconds in [*((0, one, 0) for one in opening), *turns]:
        clock.now += timedelta(seconds=seconds)
        asked.append(send(writers[writer], fields))
    check_serial(writers, clock, asked)


@settings(max_examples=25)
@given(openings, st.tuples(*[st.lists(numbered, min_size=5, max_size=25)] * 2))
def test_two_writers_at_once(sqlite_template: Path, opening: list[Fields], plans: tuple[list[Fields], ...]) -> None:
    """Two ledgers on one database, each in a thread of its own, their commands committed in groups."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{shutil.copy(sqlite_template, folder)}"
        clock, together = Ticking(), Barrier(2)
        with Ledger.open(url, clock=clock, actor="tests") as one, Ledger.open(url, clock=clock, actor="tests") as other:
            asked = [send(one, fields) for fields in opening]

            def work(ledger: Ledger, plan: list[Fields]) -> list[Asked]:
                together.wait()
                return [send(ledger, fields) for fields in plan]

            with ThreadPoolExecutor(2) as threads:
                for sent in threads.map(work, [one, other], plans):
                    asked += sent
            check_serial([one, other], clock, asked)


def send(ledger: LedgerInterface, fields: Fields) -> Asked:
    """Send a command, and do not wait for the answer."""
    command = command_from(fields)
    return Asked(command, ledger.submit(command))


def check_serial(writers: list[Any], clock: Clock, asked: list[Asked]) -> None:
    """Decide what the log has one by one, in its order and at its times: all is as it was."""
    outcomes = [(one.command, one.answer.result()) for one in asked if answered(one)]
    log = writers[0].log
    serial_clock = Clock()
    serial = ledger_on(MemoryEventLog(), serial_clock)
    decided: dict[str, Outcome] = {}
    for row in log.rows(limit=EVERYTHING):
        if row.command is not None:
            serial_clock.now = instant(row.recorded_at)
            command = command_from({**json.loads(row.command), "command_id": row.command_id})
            decided[row.command_id] = serial.submit(command).result()
    assert records_of(serial.log) == records_of(log)
    first = {command.command_id: told(outcome) for command, outcome in outcomes if is_new(outcome)}
    assert first == {command_id: told(outcome) for command_id, outcome in decided.items()}
    assert len(first) == sum(is_new(outcome) for _, outcome in outcomes), "a command was decided twice"
    for command, outcome in outcomes:
        if outcome.repeated and outcome.records:
            again = decided[str(command.command_id)]
            assert (outcome.records, reason(outcome.refusal)) == (again.records, reason(again.refusal))
    check_same_state([*writers, serial], clock, serial_clock)


def records_of(log: Any) -> list[Recorded]:  # noqa: ANN401 - any log
    """Read every event with its envelope; hashes differ from ledger to ledger."""
    return [log.decode(row) for row in log.rows(limit=EVERYTHING)]


def answered(one: Asked) -> bool:
    """Tell whether a command has an outcome; else it was an error that only other commands explain."""
    error = one.answer.exception()
    assert error is None or isinstance(error, CommandIdReused | PoolAlreadyOpen), error
    return error is None


def is_new(outcome: Outcome) -> bool:
    """Tell whether the outcome was decided just then, and recorded."""
    return bool(outcome.records) and not outcome.repeated


def told(outcome: Outcome) -> tuple[object, ...]:
    """Tell all of an outcome."""
    return outcome.records, reason(outcome.refusal), outcome.allocation, outcome.pool, outcome.expired


def reason(refusal: Refused | None) -> tuple[object, ...] | None:
    """Tell why a command was refused."""
    return None if refusal is None else (refusal.code, refusal.data)


def check_same_state(ledgers: list[Any], clock: Clock, serial_clock: Clock) -> None:
    """Every ledger shows the same pools and allocations at the same time."""
    if isinstance(clock, Ticking):
        clock.seconds = 0
    serial_clock.now = clock.now
    shown = [(ledger.pools(), ledger.allocations()) for ledger in ledgers]
    assert shown == [shown[-1]] * len(ledgers)


def test_the_check_can_fail() -> None:
    """A canary: writers who grant a unit too many did what no serial order gives."""
    log, clock = MemoryEventLog(), Clock()
    writers = [ledger_on(log, clock) for _ in range(2)]
    right = Limits.capacity.fget  # type: ignore[attr-defined]  # a property's function
    opening = {"command": "open_pool", "pool": "a", "resource_type": "r", "limits": {"total": 2}, "command_id": "c0"}
    grant = {"command": "allocate", "quantities": {"a": 3}, "owner": "ann", "allocation_id": "x", "command_id": "c1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Limits, "capacity", property(lambda limits: right(limits) + 1))
        asked = [send(writers[0], opening), send(writers[1], grant)]
    assert not isinstance(asked[1].answer.result().refusal, HoldbookError)
    with pytest.raises(AssertionError):
        check_serial(writers, clock, asked)
