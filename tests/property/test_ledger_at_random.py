"""For all commands, by two processes, with clocks that go back: the ledger does what the model does.

The model shares no code with the domain. After every command the log itself is judged too, from its stored text:
conservation, capacity, time, numbering, the chain, and that whatever was decided can be folded.
"""

import json
from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from holdbook import Limits, Outcome, PoolAlreadyOpen
from holdbook.domain.commands import Command, command_from
from holdbook.domain.pool import Pool, evolve
from holdbook.domain.records import StoredRow, chain_hash, genesis
from holdbook.infrastructure.log.memory_log import MemoryEventLog
from support.deciding import Clock, ledger_on
from support.logs import take_snapshot
from support.reference_model import Answer, Model, ModelAllocation
from support.strategies import POOLS, commands, small_limits

pytestmark = pytest.mark.untraced

GRANTED = {"Allocated", "Reserved"}
ENDED = {"Released", "Voided", "Expired"}


class LedgerBesideModel(RuleBasedStateMachine):
    """Two ledgers over one log, and the model."""

    def __init__(self) -> None:
        super().__init__()
        self.log = MemoryEventLog()
        self.clock = Clock()
        self.processes = [ledger_on(self.log, self.clock) for _ in range(2)]
        self.now = 0
        self.model = Model()
        self.sent: list[tuple[Command, Answer, int]] = []
        """Every command so far, what became of it, and how many events it has."""

    @initialize(limits=st.lists(small_limits, min_size=2, max_size=3))
    def open_some(self, limits: list[dict[str, Any]]) -> None:
        """Most ledgers have pools."""
        for name, one in zip(POOLS, limits, strict=False):
            self.decide({"command": "open_pool", "pool": name, "resource_type": "r", "unit": "u", "limits": one}, 0)

    @rule(fields=commands, process=st.integers(0, 1))
    def decide(self, fields: dict[str, Any], process: int) -> None:
        """Any command, by either process: foretold by check, predicted by the model, then executed."""
        command = command_from({**fields, "command_id": f"c{len(self.sent)}"})
        ledger = self.processes[process]
        before = self.log.rows(limit=10**9)
        foretold = self.outcome(lambda: ledger.check(command))
        assert self.log.rows(limit=10**9) == before, "check recorded something"
        outcome = self.outcome(lambda: ledger.submit(command).result())
        assert self.told(foretold) == self.told(outcome)
        answer = self.answer(outcome)
        assert answer == self.model.apply({**fields, "command_id": command.command_id}, self.now)
        self.sent.append((command, answer, len(self.log.rows(limit=10**9)) - len(before)))

    @rule(seconds=st.integers(-5, 15))
    def let_time_pass(self, seconds: int) -> None:
        """Clocks go forth, and back."""
        self.now = max(self.now + seconds, 0)
        self.clock.set(self.now)

    @precondition(lambda self: any(count for *_, count in self.sent))
    @rule(data=st.data(), process=st.integers(0, 1), changes=st.sampled_from([{}, {"correlation_id": "again"}]))
    def repeat(self, data: st.DataObject, process: int, changes: dict[str, str]) -> None:
        """A command that has events has them again, and appends none."""
        command, answer, _ = data.draw(st.sampled_from([one for one in self.sent if one[2]]))
        before = self.log.rows(limit=10**9)
        outcome = self.processes[process].submit(command.model_copy(update=changes)).result()
        assert outcome.repeated
        assert self.answer(outcome) == Answer("repeated", answer.code)
        recorded = [row.data for row in before if row.command_id == command.command_id]
        assert [one.event.model_dump_json() for one in outcome.records] == recorded
        assert self.log.rows(limit=10**9) == before

    @rule(process=st.integers(0, 1))
    def restart(self, process: int) -> None:
        """A process that crashed knows nothing but the log."""
        self.processes[process] = ledger_on(self.log, self.clock)

    @rule(name=st.sampled_from(POOLS))
    def take_a_snapshot(self, name: str) -> None:
        """A snapshot changes nothing."""
        take_snapshot(self.log, name)

    @invariant()
    def the_ledger_shows_what_the_model_has(self) -> None:
        """Pools and allocations as of now, in both processes."""
        for ledger in self.processes:
            assert {one.name: (one.used, one.allocations, one.capacity, one.closed) for one in ledger.pools()} == {
                name: (sum(held), len(held), pool.capacity, pool.closed)
                for name, pool in self.model.pools.items()
                for held in [[one.held[name] for one in self.open_now().values() if name in one.held]]
            }
            assert {one.id: (one.quantities, one.owner, one.state.value) for one in ledger.allocations()} == {
                key: (one.held, one.owner, one.state) for key, one in self.open_now().items()
            }

    def open_now(self) -> dict[str, ModelAllocation]:
        """Tell what the model holds, less what has lapsed."""
        lapsed = set(self.model.due(self.now))
        return {key: one for key, one in self.model.allocations.items() if one.is_open and key not in lapsed}

    @invariant()
    def the_log_is_sound(self) -> None:
        """Judged from its rows alone."""
        rows = self.log.rows(limit=10**9)
        assert [row.position for row in rows] == list(range(1, len(rows) + 1))
        judge(rows)
        fold_again(self.log, rows)
        before = genesis(self.log.ledger_id)
        for row in rows:
            before = chain_hash(before, row)
            assert row.hash == before

    @staticmethod
    def outcome(attempt: Any) -> Outcome | PoolAlreadyOpen:  # noqa: ANN401 - a thunk
        """Give an outcome, or the error that is one."""
        try:
            result: Outcome = attempt()
        except PoolAlreadyOpen as error:
            return error
        return result

    @staticmethod
    def told(outcome: Outcome | PoolAlreadyOpen) -> object:
        """Tell what check and execute must agree on."""
        if isinstance(outcome, PoolAlreadyOpen):
            return str(outcome)
        refusal = outcome.refusal and (outcome.refusal.code, outcome.refusal.data, str(outcome.refusal))
        return outcome.records, outcome.repeated, refusal, outcome.allocation, outcome.expired, outcome.command_id

    @staticmethod
    def answer(outcome: Outcome | PoolAlreadyOpen) -> Answer:
        """Say it in the model's words."""
        if isinstance(outcome, PoolAlreadyOpen):
            return Answer("already_open")
        code = outcome.refusal.code.value if outcome.refusal else None
        if outcome.repeated:
            return Answer("repeated", code)
        return Answer("refused" if code else "granted", code, tuple(sorted(outcome.expired)))


def judge(rows: list[StoredRow]) -> None:
    """Conservation, capacity, time and versions, from the stored text."""
    held: dict[str, dict[str, int]] = defaultdict(dict)
    times: dict[str, str] = {}
    versions: Counter[str] = Counter()
    capacity: dict[str, int] = {}
    tokens: dict[str, set[int]] = defaultdict(set)
    books: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        versions[row.stream_id] += 1
        assert row.version == versions[row.stream_id]
        if not row.stream_id.startswith("pool:"):
            continue
        event, pool = json.loads(row.data), row.stream_id
        assert row.occurred_at >= times.get(pool, ""), "a pool's time went back"
        times[pool] = row.occurred_at
        key, quantity = event.get("allocation_id"), event.get("quantity", 0)
        if row.type in {"PoolOpened", "LimitsChanged"}:
            capacity[pool] = Limits(**event["limits"]).capacity
        elif row.type in GRANTED:
            held[pool][key] = quantity
            books[pool]["granted"] += quantity
            assert sum(held[pool].values()) <= capacity[pool], "a limit was passed"
            tokens[key].add(row.position - event["pools"].index(event["pool"]))
            assert event["deadline"] is None or event["deadline"] > row.occurred_at
        elif row.type in ENDED:
            assert held[pool].pop(key) == quantity
            books[pool]["ended"] += quantity
            assert row.type != "Expired" or row.occurred_at == event["deadline"]
        elif row.type == "Resized":
            assert held[pool][key] == event["previous_quantity"]
            books[pool]["resized"] += quantity - held[pool][key]
            held[pool][key] = quantity
            assert quantity <= event["previous_quantity"] or sum(held[pool].values()) <= capacity[pool]
        if row.ends_command:
            for name, book in books.items():
                assert book["granted"] + book["resized"] - book["ended"] == sum(held[name].values())
    assert all(len(positions) == 1 for positions in tokens.values())


def fold_again(log: MemoryEventLog, rows: list[StoredRow]) -> None:
    """Nothing that was decided is anything that cannot be folded; no hold outlives its deadline by its pool's time."""
    pools: dict[str, Pool] = {}
    for row in rows:
        recorded = log.decode(row)
        if row.stream_id.startswith("pool:"):
            pools[row.stream_id] = evolve(pools.get(row.stream_id), recorded)
        if row.ends_command:
            assert all(pool.due(pool.time) == [] for pool in pools.values())


TestLedgerBesideModel = LedgerBesideModel.TestCase
TestLedgerBesideModel.settings = settings(max_examples=80, stateful_step_count=40)


def test_the_harness_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A canary: with one unit too many in every pool, the machine finds it."""
    right = Limits.capacity.fget  # type: ignore[attr-defined]  # a property's function
    monkeypatch.setattr(Limits, "capacity", property(lambda limits: right(limits) + 1))
    once = settings(max_examples=200, phases=[Phase.generate], database=None, derandomize=True)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(LedgerBesideModel, settings=once)
