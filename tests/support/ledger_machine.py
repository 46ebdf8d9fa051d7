"""Random commands, clocks, crashes and second writers on a real ledger, beside a model that shares no code with it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import text

from holdbook import CommandIdReused, Ledger, NotFound, PoolAlreadyOpen
from holdbook.domain.commands import command_from
from holdbook.domain.ports import EventLog, LogWriter
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.projections.views.catalogue import VIEWS
from holdbook.replay.simulation.what_if import what_if
from support.reference_model import Answer, Json, Model

START = datetime(2026, 1, 1, tzinfo=UTC)

POOLS = st.sampled_from(["a"] * 6 + ["b"] * 6 + ["c"] * 3 + ["nowhere"])
CHOICE = st.integers(0, 30)
"""Chooses among what is there at the time."""
OWNERS = st.sampled_from(["ann", "bob"])
SIZES = st.sampled_from([1, 1, 2, 2, 3, 4, 6])
TTLS = st.none() | st.integers(1, 20)
EXTRA_LIMITS = {
    "reserved": st.integers(1, 3),
    "overcommit": st.sampled_from(["0.5", "1.5", "2"]),
    "min_size": st.integers(1, 2),
    "max_size": st.integers(2, 6),
    "step": st.integers(1, 2),
    "max_allocations": st.integers(1, 3),
    "per_owner": st.integers(2, 8),
    "default_ttl": st.integers(1, 10),
    "max_ttl": st.integers(10, 15),
}
LIMITS = st.lists(st.sampled_from(sorted(EXTRA_LIMITS)), max_size=2, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({"total": st.integers(3, 12), **{name: EXTRA_LIMITS[name] for name in names}})
)
QUANTITIES = st.dictionaries(POOLS, SIZES, min_size=1, max_size=2)
TOKENS = st.sampled_from([None] * 8 + ["9:9"])
VIEW_NAMES = st.sampled_from([view.name for view in VIEWS])
COMMAND_IDS = st.sampled_from([None] * 12 + ["c1", "c2"])


class Crash(Exception):
    """The process dies here."""


@contextmanager
def dying(log: EventLog, when: str) -> Iterator[LogWriter]:
    """Write to the log as its process dies, before the commit or after it."""
    with log.writing() as writer:
        yield writer
        if when == "before":
            raise Crash
    raise Crash


class CrashingLog:
    """A log whose process dies at its next commit."""

    def __init__(self, log: EventLog, when: str) -> None:
        self.ledger_id, self.epoch = log.ledger_id, log.epoch
        self.reading, self.rows, self.find, self.decode = log.reading, log.rows, log.find, log.decode
        self.snapshot_if_due, self.close = log.snapshot_if_due, log.close
        self.chain, self.append_if = log.chain, lambda *_: False
        self.watching, self.leave_queue, self.stay_queued = log.watching, log.leave_queue, log.stay_queued
        self.writing = lambda _timeout=None, _since=None: dying(log, when)


class LedgerMachine(RuleBasedStateMachine):
    """Any ledger, any commands, at any time."""

    examples = 0
    """How many runs there were."""
    commands = 0
    """How many commands were sent in all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.now = 1000
        self.ledgers = [self.open(), self.open()]
        self.sent: list[Json] = []
        self.dead: list[Ledger] = []
        """Ledgers whose process died; their connections close at the end, as the system closes a process's."""

        LedgerMachine.examples += 1

    # What a backend gives

    def open(self) -> Ledger:
        """Open another ledger on the same database."""
        raise NotImplementedError  # every backend below does

    def clock(self) -> datetime:
        """The ledger's clock."""
        return START + timedelta(seconds=self.now)

    # Steps

    @initialize(limits=st.lists(LIMITS, min_size=2, max_size=2), grants=st.lists(QUANTITIES, min_size=2, max_size=5))
    def begin(self, limits: list[Json], grants: list[Json]) -> None:
        """Begin with two pools and something held, so that there is something to do."""
        for pool, given in zip("ab", limits, strict=True):
            self.send(0, {"command": "open_pool", "pool": pool, "resource_type": "r", "limits": given})
        for number, quantities in enumerate(grants):
            ttl = 4 * number or None
            verb = "reserve" if number % 3 == 2 else "allocate"
            self.send(1, {**hold(f"x{number}", quantities, "ann", ttl), "command": verb})

    @rule(forward=st.integers(-5, 15))
    def move_clock(self, forward: int) -> None:
        """The clock moves, back as well."""
        self.now += forward

    @rule(which=st.integers(0, 1), pool=st.sampled_from(["a", "b", "c"]), limits=LIMITS)
    def open_pool(self, which: int, pool: str, limits: Json) -> None:
        """Open a pool, maybe again."""
        self.send(which, {"command": "open_pool", "pool": pool, "resource_type": "r", "limits": limits})

    @rule(which=st.integers(0, 1), pool=POOLS, limits=LIMITS, expected=st.none() | LIMITS)
    def change_limits(self, which: int, pool: str, limits: Json, expected: Json | None) -> None:
        """Change limits, below what is held as well."""
        self.send(which, {"command": "change_limits", "pool": pool, "limits": limits, "expected": expected})

    @rule(which=st.integers(0, 1), pool=POOLS, sure=st.integers(0, 7))
    def close_pool(self, which: int, pool: str, sure: int) -> None:
        """Close a pool, seldom."""
        if sure == 0:
            self.send(which, {"command": "close_pool", "pool": pool})

    @rule(which=st.integers(0, 1), sure=st.integers(0, 40))
    def close_ledger(self, which: int, sure: int) -> None:
        """Close the ledger, very seldom."""
        if sure == 29:
            self.send(which, {"command": "close_ledger"})

    @rule(
        which=st.integers(0, 1),
        verb=st.sampled_from(["allocate", "allocate", "reserve"]),
        one=CHOICE,
        quantities=QUANTITIES,
        owner=OWNERS,
        ttl=TTLS,
        command_id=COMMAND_IDS,
    )
    def grant(self, *, which: int, verb: str, one: int, command_id: str | None, **what: Any) -> None:  # noqa: ANN401 - quantities, owner, ttl
        """Ask for something, under an id that may be taken."""
        self.send(which, {**hold(self.maybe_new(one), **what), "command": verb, "command_id": command_id})

    @rule(
        which=st.integers(0, 1),
        verb=st.sampled_from(["release", "release", "renew", "confirm", "void"]),
        one=CHOICE,
        ttl=TTLS,
        token=TOKENS,
    )
    def end_or_go_on(self, which: int, verb: str, one: int, ttl: int | None, token: str | None) -> None:
        """Go on with an allocation that may not be there."""
        ttl = ttl if verb in {"renew", "confirm"} else None
        self.send(which, {"command": verb, "allocation_id": self.some(one), "ttl": ttl, "token": token})

    @rule(which=st.integers(0, 1), one=CHOICE)
    def end_by_force(self, which: int, one: int) -> None:
        """Correct: end whatever is open, a reservation too."""
        command = {"command": "release", "allocation_id": self.some(one), "force": True, "reason": "gone"}
        self.send(which, command)

    @rule(which=st.integers(0, 1), one=CHOICE, quantities=QUANTITIES, token=TOKENS)
    def resize(self, which: int, one: int, quantities: Json, token: str | None) -> None:
        """Resize an allocation."""
        self.send(
            which, {"command": "resize", "allocation_id": self.some(one), "quantities": quantities, "token": token}
        )

    @rule(which=st.integers(0, 1), one=CHOICE, to=OWNERS)
    def transfer(self, which: int, one: int, to: str) -> None:
        """Give an allocation another owner."""
        self.send(which, {"command": "transfer", "allocation_id": self.some(one), "to": to})

    @rule(which=st.integers(0, 1), pool=st.none() | POOLS, limit=st.none() | st.integers(1, 3))
    def expire(self, which: int, pool: str | None, limit: int | None) -> None:
        """Record what is due, or the first of it."""
        self.send(which, {"command": "expire", "pool": pool, "limit": limit})

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 1), data=st.data())
    def repeat(self, which: int, data: st.DataObject) -> None:
        """Send an earlier command again, word for word."""
        self.send(which, data.draw(st.sampled_from(self.sent)))

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 1), data=st.data(), reason=st.sampled_from(["why", "wherefore"]))
    def alter(self, which: int, data: st.DataObject, reason: str) -> None:
        """Send an earlier command's id with another actor."""
        self.send(which, {**data.draw(st.sampled_from(self.sent)), "actor": reason})

    @rule(which=st.integers(0, 1), when=st.sampled_from(["before", "after"]), one=CHOICE, pool=st.sampled_from("ab"))
    def crash(self, which: int, when: str, one: int, pool: str) -> None:
        """The process dies around a commit; another one sends the same command again."""
        command = {**hold(self.maybe_new(one), {pool: 1}, "ann"), "command": "allocate"}
        ledger = self.ledgers[which]
        ledger._handler.log = CrashingLog(ledger.log, when)  # noqa: SLF001 - its process dies, not the log
        try:
            with suppress(Crash, CommandIdReused):
                ledger.submit(command_from(command)).result()
        finally:  # else what was found here is lost at the end, where a ledger that dies is asked again
            self.dead.append(ledger)
            self.ledgers[which] = self.open()
        if when == "after":
            self.model.apply(command, self.now)
        self.send(which, command)

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        """A process ends in order and another begins."""
        self.ledgers[which].close()
        self.ledgers[which] = self.open()

    def some(self, choice: int) -> str:
        """One of the allocations, the open ones more often; seldom one that was never granted."""
        known = [name for name, one in self.model.allocations.items() if one.is_open] * 3
        known += [*self.model.allocations, "nobody"]
        return known[choice % len(known)]

    def maybe_new(self, choice: int) -> str:
        """A new allocation id, seldom a known one."""
        return self.some(choice) if choice < 3 else f"x{len(self.sent)}"

    def send(self, which: int, fields: Json) -> None:
        """Send a command to a ledger and to the model; they agree on what becomes of it."""
        command = {name: value for name, value in fields.items() if value is not None}
        if "command_id" not in command and command["command"] not in NAMED_BY_CONTENT:
            command["command_id"] = f"k{len(self.sent)}"
        expected = self.model.apply(command, self.now)
        assert self.ask(self.ledgers[which], command) == expected, command
        self.sent.append(command)
        LedgerMachine.commands += 1

    def ask(self, ledger: Ledger, command: Json) -> Answer:
        """What the ledger makes of a command; a check before it says the same."""
        try:
            foretold = ledger.check(command_from(command))
            outcome = ledger.submit(command_from(command)).result()
        except CommandIdReused:
            return Answer("reused")
        except PoolAlreadyOpen:
            return Answer("already_open")
        code = outcome.refusal.code.value if outcome.refusal else None
        assert (foretold.repeated, foretold.refusal and foretold.refusal.code) == (
            outcome.repeated,
            outcome.refusal and outcome.refusal.code,
        )
        if outcome.repeated:
            return Answer("repeated", code)
        return Answer("refused" if outcome.refusal else "granted", code, tuple(sorted(outcome.expired)))

    # What always holds

    @invariant()
    def what_is_held_agrees(self) -> None:
        """The allocations that a ledger shows are those of the model, less what has lapsed."""
        held = {
            name: (one.owner, one.state, one.held, one.deadline)
            for name, one in self.model.allocations.items()
            if one.is_open and name not in self.model.due(self.now)
        }
        for ledger in self.ledgers:
            shown = {
                one.id: (one.owner, one.state.value, dict(one.quantities), one.deadline and seconds(one.deadline))
                for one in ledger.allocations()
            }
            assert shown == held

    @invariant()
    def pools_agree(self) -> None:
        """Every pool's use and capacity are the model's."""
        lapsed = set(self.model.due(self.now))
        for status in self.ledgers[0].pools():
            gone = sum(self.model.allocations[name].held.get(status.name, 0) for name in lapsed)
            pool = self.model.pools[status.name]
            used = self.model.used(status.name) - gone
            assert (status.used, status.capacity, status.closed) == (used, pool.capacity, pool.closed)

    def every_promise_holds(self) -> None:
        """Positions and versions are dense, the books balance, no limit is passed, every view equals its fold."""
        report = verify_ledger(self.ledgers[0])
        assert report.ok, report.findings

    @invariant()
    def tokens_grow(self) -> None:
        """Of two grants the later has the greater fencing token."""
        order = [self.model.allocations[one.id].order for one in self.ledgers[0].allocations()]
        assert order == sorted(order)

    def teardown(self) -> None:
        """At the end everything is released or expires, nothing is held, and the log verifies, also decided again."""
        try:
            self.end()
        finally:
            self.shut()

    def end(self) -> None:
        """Release what is held and look whether anything is left."""
        self.now = 10_000
        for name, one in list(self.model.allocations.items()):
            if one.is_open:
                self.send(0, {"command": "release" if one.state == "active" else "void", "allocation_id": name})
        self.send(0, {"command": "expire"})
        assert self.ledgers[0].allocations() == []
        assert all(status.used == 0 for status in self.ledgers[0].pools())
        self.every_promise_holds()
        again = what_if(self.ledgers[0].log, {})
        assert again.fault is None, "decided again, a command has another outcome"

    def shut(self) -> None:
        """Close every connection."""
        for ledger in [*self.ledgers, *self.dead]:
            ledger.close()


NAMED_BY_CONTENT = frozenset({"open_pool", "allocate", "reserve", "close_ledger"})
"""Commands that need no id."""


def hold(name: str, quantities: Json, owner: str, ttl: int | None = None) -> Json:
    """The fields of a grant."""
    wanted = {"allocation_id": name, "quantities": quantities, "owner": owner, "ttl": ttl}
    return {field: value for field, value in wanted.items() if value is not None}


def seconds(moment: datetime) -> int:
    """The model's time of a moment."""
    return round((moment - START).total_seconds())


class Viewed(LedgerMachine):
    """A ledger in a database, whose views are built and rebuilt in between."""

    @rule(name=VIEW_NAMES)
    def rebuild(self, name: str) -> None:
        """Build a view from nothing: it equals the live one and the log, and is published."""
        (built,) = self.ledgers[0].projector().rebuild(name)
        assert (built.published, built.differences, built.faults) == (True, (), ())

    @rule(which=st.integers(0, 1), name=VIEW_NAMES)
    def roll_back(self, which: int, name: str) -> None:
        """Put back the generation before, wherever it stands, if it is still there."""
        with suppress(NotFound):
            self.ledgers[which].projector().roll_back(name)

    @rule(which=st.integers(0, 1))
    def prune(self, which: int) -> None:
        """Remove what is not live."""
        self.ledgers[which].projector().prune()

    @rule()
    def verify(self) -> None:
        """Check every promise, at some steps: after each one it would take most of the time."""
        self.every_promise_holds()

    @rule()
    def views_agree(self) -> None:
        """What SQL readers see is what the model holds, lapsed holds included until they are noticed."""
        projector = self.ledgers[1].projector()
        projector.catch_up()
        log = self.ledgers[1].log
        assert isinstance(log, SQLEventLog)
        with log.database.reading() as connection:
            query = text("SELECT allocation_id, pool, owner, quantity, state FROM current_allocations")
            found = connection.execute(query).all()
        held = [
            (name, pool, one.owner, quantity, one.state)
            for name, one in self.model.allocations.items()
            if one.is_open
            for pool, quantity in one.held.items()
        ]
        assert sorted(tuple(row) for row in found) == sorted(held)
