"""A connection that breaks in a COMMIT: the ledger finds out by itself what became of it, and each caller is told once.

Either the reply is lost, and everything is in the log; or the request is, and nothing is. The client cannot tell.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from holdbook import Allocate, ChangeLimits, Ledger, Limits, OpenPool, Refused, Release, Reserve, Resize
from support.faults import FaultProxy
from support.load import Load, check_acknowledged, check_clients, open_pools, retry
from support.logs import execute, raw_rows
from support.outcomes import answers, by_command, check_promises, check_same, check_told, submit_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook import Command
    from support.faults import Part

THREADS = 32

COMMANDS: dict[str, tuple[Command, int]] = {
    "grant": (Allocate(quantities={"gpu": 2}, owner="a"), 1),
    "grant of several pools": (Allocate(quantities={"cpu": 1, "gpu": 2}, owner="a", tags={"job": "1"}), 2),
    "grant with a command id": (Allocate(quantities={"gpu": 2}, owner="a", command_id="mine"), 1),
    "grant with an allocation id": (Allocate(quantities={"gpu": 2}, owner="a", allocation_id="mine"), 1),
    "reservation": (Reserve(quantities={"gpu": 2}, owner="a", ttl=timedelta(hours=1)), 1),
    "refusal": (Allocate(quantities={"gpu": 10}, owner="a"), 1),
    "refusal with a command id": (Allocate(quantities={"gpu": 10}, owner="a", command_id="mine"), 1),
    "refusal where there is no pool": (Allocate(quantities={"nothing": 1}, owner="a"), 1),
    "release": (Release(allocation_id="held"), 2),
    "resize": (Resize(allocation_id="held", quantities={"gpu": 4}), 1),
    "limits": (ChangeLimits(pool="gpu", limits=Limits(total=3)), 1),
    "new pool": (OpenPool(pool="new", resource_type="thing", limits=Limits(total=1)), 1),
}
"""Commands, and the number of events that each appends."""

LOSSES: list[Part] = ["reply", "request"]


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[FaultProxy]:
    """A proxy before the database."""
    with FaultProxy(postgres_url) as proxy:
        yield proxy


@pytest.fixture
def other(postgres_url: str) -> Iterator[Ledger]:
    """A ledger with two pools of ten, of which three are held, that knows nothing of the proxy."""
    with Ledger.open(postgres_url) as ledger:
        for pool in ("cpu", "gpu"):
            ledger.open_pool(pool, resource_type="thing", limits=Limits(total=10))
        ledger.allocate({"cpu": 3, "gpu": 3}, owner="a", allocation_id="held")
        yield ledger


@pytest.fixture
def ledger(other: Ledger, proxy: FaultProxy) -> Iterator[Ledger]:
    """A ledger on the same database, through the proxy."""
    assert other.pool("gpu").used == 3
    with Ledger.open(proxy.url) as ledger:
        yield ledger


@pytest.mark.parametrize("part", LOSSES)
@pytest.mark.parametrize("name", COMMANDS)
def test_each_command(ledger: Ledger, proxy: FaultProxy, postgres_url: str, name: str, part: Part) -> None:
    """Whatever is lost of its commit, a command is in the log once, and its caller is told what the log says."""
    command, events = COMMANDS[name]
    before = raw_rows(postgres_url)
    loss = proxy.lose(part)
    [outcome] = answers([ledger.submit(command)])
    assert loss.happened.is_set()
    assert (outcome.refusal is not None) is ("refusal" in name)
    assert not outcome.repeated
    assert len(outcome.records) == events
    after = raw_rows(postgres_url)
    assert after[: len(before)] == before
    assert [row[0] for row in after[len(before) :]] == [record.position for record in outcome.records]
    check_told(postgres_url, [outcome])
    check_same(ledger, command, outcome)
    assert raw_rows(postgres_url) == after
    check_promises(ledger)


@pytest.mark.parametrize("level", ["NOTICE", "WARNING"])
def test_what_the_server_remarks(other: Ledger, postgres_url: str, level: str) -> None:
    """A commit with a warning is looked up before it is believed; a notice is none. Its commands are decided once."""
    execute(
        postgres_url,
        f"CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE {level} 'so'; RETURN NULL; END $$",
        "CREATE TRIGGER remarks AFTER INSERT ON events EXECUTE FUNCTION say()",
    )
    outcomes = [other.execute(Allocate(quantities={"gpu": 1}, owner="a")) for _ in range(2)]
    assert not any(outcome.repeated for outcome in outcomes)
    check_told(postgres_url, outcomes)
    check_promises(other)


@pytest.mark.parametrize("part", LOSSES)
def test_execute(ledger: Ledger, proxy: FaultProxy, part: Part) -> None:
    """Who calls the methods by name notices nothing: a grant is returned, a refusal is raised."""
    loss = proxy.lose(part)
    assert ledger.allocate({"gpu": 2}, owner="a").quantities == {"gpu": 2}
    assert loss.happened.is_set()
    loss = proxy.lose(part)
    with pytest.raises(Refused, match="pool_exhausted") as raised:
        ledger.allocate({"gpu": 6}, owner="a")
    assert loss.happened.is_set()
    assert not raised.value.repeated
    assert ledger.pool("gpu").used == 5


@pytest.mark.parametrize("losses", [["reply"], ["request"], ["reply"] * 3, ["request"] * 3, ["request", "reply"] * 2])
def test_a_batch(ledger: Ledger, other: Ledger, proxy: FaultProxy, postgres_url: str, losses: list[Part]) -> None:
    """Of commands of many threads that were committed together, each has one outcome, though losses come in a row."""
    commands: list[Command] = [Allocate(quantities={"gpu": 1}, owner=f"thread-{n}") for n in range(THREADS)]
    with other.log.writing():  # nobody commits while the log's lock is held
        futures = submit_all(ledger, commands)
        asked = [proxy.lose(part) for part in losses]
    outcomes = answers(futures)
    assert asked[0].happened.is_set()
    assert [sum(o.refusal is None for o in outcomes), sum(o.refusal is not None for o in outcomes)] == [7, 25]
    assert len({outcome.command_id for outcome in outcomes}) == THREADS
    assert not any(outcome.repeated for outcome in outcomes)
    check_told(postgres_url, outcomes)
    assert len(by_command(postgres_url)) == 3 + THREADS
    for command, outcome in zip(commands, outcomes, strict=True):
        check_same(ledger, command, outcome)
    assert ledger.pool("gpu") == other.pool("gpu")
    check_promises(ledger)


@pytest.mark.parametrize("part", LOSSES)
def test_an_import(ledger: Ledger, proxy: FaultProxy, postgres_url: str, part: Part) -> None:
    """A batch that is recorded all or not at all is recorded once, whatever is lost of its commit."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    commands: list[Command] = [
        OpenPool(pool="old", resource_type="thing", limits=Limits(total=2), at=moment),
        *(
            Allocate(quantities={"old": 1}, owner="a", at=moment + timedelta(minutes=n), command_id=command_id)
            for n, command_id in enumerate(("given", None, None, "refused"))
        ),
    ]
    loss = proxy.lose(part)
    outcomes = ledger.record(commands)
    assert loss.happened.is_set()
    assert [outcome.refusal is None for outcome in outcomes] == [True, True, True, False, False]
    assert not any(outcome.repeated for outcome in outcomes)
    check_told(postgres_url, outcomes)
    assert len(raw_rows(postgres_url)) == 4 + len(commands)
    for command, outcome in zip(commands[:2], outcomes[:2], strict=True):
        [repeated] = ledger.record([command.model_copy(update={"command_id": outcome.command_id})])
        assert (repeated.repeated, repeated.records) == (True, outcome.records)
    check_promises(ledger)


@pytest.mark.parametrize("part", LOSSES)
def test_others_write_meanwhile(
    ledger: Ledger, other: Ledger, proxy: FaultProxy, postgres_url: str, part: Part
) -> None:
    """While one process does not know what became of its commit, others write behind it; it is not led astray."""
    commands: list[Command] = [Allocate(quantities={"gpu": 1}, owner="a") for _ in range(3)]

    def write() -> None:
        other.release("held")
        for number in range(5):
            other.allocate({"cpu": 1, "gpu": 1}, owner="b", allocation_id=f"b{number}")

    loss = proxy.lose(part, meanwhile=write)
    outcomes = answers(ledger.submit(command) for command in commands)
    assert loss.happened.is_set()
    check_told(postgres_url, outcomes)
    assert (ledger.pool("gpu").used, ledger.pool("cpu").used) == (8, 5)
    for command, outcome in zip(commands, outcomes, strict=True):
        check_same(ledger, command, outcome)
    check_promises(ledger)


def test_the_last_units_go_to_another(ledger: Ledger, other: Ledger, proxy: FaultProxy, postgres_url: str) -> None:
    """A grant whose request was lost is decided anew: refused, if somebody else had the last units meanwhile."""
    command = Allocate(quantities={"gpu": 7}, owner="a", allocation_id="late")
    loss = proxy.lose("request", meanwhile=lambda: other.allocate({"gpu": 7}, owner="b", allocation_id="first"))
    [outcome] = answers([ledger.submit(command)])
    assert loss.happened.is_set()
    assert outcome.refusal is not None
    assert (outcome.refusal.code.value, outcome.refusal.data["free"]) == ("pool_exhausted", 0)
    check_told(postgres_url, [outcome])
    check_same(ledger, command, outcome)
    assert {one.id for one in other.allocations()} == {"held", "first"}


def test_what_was_granted_stays_granted(ledger: Ledger, other: Ledger, proxy: FaultProxy, postgres_url: str) -> None:
    """A grant whose reply was lost is answered as it was decided, though it has ended before the caller hears of it."""
    loss = proxy.lose("reply", meanwhile=lambda: other.release("brief"))
    [outcome] = answers([ledger.submit(Allocate(quantities={"gpu": 7}, owner="a", allocation_id="brief"))])
    assert loss.happened.is_set()
    assert (outcome.refusal, outcome.repeated) == (None, False)
    check_told(postgres_url, [outcome])
    assert ledger.pool("gpu").used == other.pool("gpu").used == 3


@pytest.mark.parametrize("part", LOSSES)
def test_another_sends_the_same_id(
    ledger: Ledger, other: Ledger, proxy: FaultProxy, postgres_url: str, part: Part
) -> None:
    """A command that another process sends too while its outcome is unknown here still has one outcome."""
    command = Allocate(quantities={"gpu": 7}, owner="a", command_id="shared")
    there: list[int | None] = []
    loss = proxy.lose(part, meanwhile=lambda: there.append(other.execute(command).position))
    [outcome] = answers([ledger.submit(command)])
    assert loss.happened.is_set()
    assert [outcome.position] == there
    assert outcome.refusal is None
    check_told(postgres_url, [outcome])
    check_promises(ledger)


@pytest.mark.slow
def test_losses_under_load(proxy: FaultProxy, postgres_url: str) -> None:
    """Losses among many clients, while another process writes too, cost nobody an error, and nothing comes twice."""
    open_pools(postgres_url)
    with Ledger.open(postgres_url) as other, Ledger.open(proxy.url) as ledger:
        with Load(other, 2, "other") as beside, Load(ledger, 16) as load:
            for part in LOSSES * 5:
                load.wait_for(20)
                loss = proxy.lose(part)
                load.wait_until(loss.happened.is_set)
            load.wait_for(20)
        told = load.told | beside.told
        assert load.failures + beside.failures + load.transient + beside.transient == []
        log = by_command(postgres_url)
        check_acknowledged(told, log)
        ends = check_clients([*load.clients, *beside.clients], log)
        assert sum(ends.values()) == len(told)
        retry(ledger, ends, log, told)
        check_promises(ledger)
