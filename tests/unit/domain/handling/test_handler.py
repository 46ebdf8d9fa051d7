"""The domain API over a log in memory."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from errno import ENOSPC
from typing import TYPE_CHECKING, cast

import pytest

from holdbook import (
    Allocate,
    AllocationState,
    Command,
    CommandIdReused,
    Expire,
    Limits,
    LogCorrupt,
    LogUnavailable,
    Malformed,
    OpenPool,
    PoolAlreadyOpen,
    RefusalCode,
    Refused,
    Release,
    Token,
)
from holdbook.domain.handling import pool_cache as cache
from holdbook.domain.handling.commit_attempt import CommitAttempt
from holdbook.domain.handling.outcome import Outcome, allocation_of, pool_of
from holdbook.domain.records import LogPosition, Recorded, StoredRow
from holdbook.infrastructure.log.memory_log import MemoryReader, MemoryWriter
from support.deciding import (
    SEVERAL,
    Clock,
    after,
    allocated,
    events_of,
    given,
    ledger_on,
    opened,
    refusal,
)
from support.logs import take_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable


MINUTE = timedelta(minutes=1)


def test_the_life_of_an_allocation_by_name() -> None:
    """Every command has its method, and each gives what it is about as it now is."""
    clock = Clock()
    ledger = ledger_on(given().log(), clock)
    pool = ledger.open_pool("gpu", resource_type="accelerator", unit="device", limits=Limits(total=8))
    assert (pool.free, pool.unit) == (8, "device")
    held = ledger.allocate({"gpu": 2}, owner="ann", ttl=MINUTE, tags={"job": "42"}, allocation_id="a")
    assert (held.id, held.state, held.quantities, held.tags) == ("a", AllocationState.ACTIVE, {"gpu": 2}, {"job": "42"})
    assert ledger.renew("a", ttl=2 * MINUTE, token=held.token).deadline == after(120)
    assert ledger.resize("a", {"gpu": 3}).quantities == {"gpu": 3}
    assert ledger.transfer("a", to="bob").owner == "bob"
    assert ledger.release("a", reason="done").state is AllocationState.RELEASED
    assert ledger.reserve({"gpu": 1}, owner="ann", ttl=MINUTE, allocation_id="b").state is AllocationState.RESERVED
    assert ledger.confirm("b", ttl=MINUTE).state is AllocationState.ACTIVE
    assert ledger.reserve({"gpu": 1}, owner="ann", ttl=MINUTE, allocation_id="c").deadline == after(60)
    assert ledger.void("c", reason="no").state is AllocationState.VOIDED
    ledger.reserve({"gpu": 1}, owner="ann", ttl=MINUTE, allocation_id="d")
    assert ledger.release("d", force=True, reason="stuck").state is AllocationState.RELEASED
    clock.set(60)
    assert (ledger.expire("gpu"), ledger.expire()) == (("b",), ())
    assert ledger.change_limits("gpu", Limits(total=4), expected=Limits(total=8)).capacity == 4
    assert ledger.close_pool("gpu", reason="sold").closed


def test_every_method_takes_an_envelope() -> None:
    """Ids, actor and correlation go with any command."""
    ledger = given(opened()).ledger()
    ledger.allocate({"gpu": 1}, owner="ann", allocation_id="a", command_id="c", actor="cron", correlation_id="x")
    row = ledger.log.rows()[-1]
    assert (row.command_id, row.actor, row.correlation_id) == ("c", "cron", "x")


def test_execute_raises_what_was_refused_and_submit_gives_it() -> None:
    """A refusal is recorded either way."""
    ledger = given(opened()).ledger()
    command = Allocate(quantities={"gpu": 9}, owner="ann", command_id="c")
    with pytest.raises(Refused) as info:
        ledger.execute(command)
    outcome = ledger.submit(command).result()
    assert outcome.refusal is not None
    assert (info.value.code, outcome.refusal.code) == (RefusalCode.ABOVE_CAPACITY, RefusalCode.ABOVE_CAPACITY)
    assert (info.value.repeated, outcome.refusal.repeated) == (False, True)
    assert len(events_of(ledger)) == 2


def test_a_live_command_brings_no_time_of_its_own() -> None:
    """Only imports do; the error names `at`, and nothing is recorded."""
    ledger = given(opened()).ledger()
    command = Allocate(quantities={"gpu": 1}, owner="ann", at=after(5))
    for way in (ledger.execute, ledger.submit):
        with pytest.raises(Malformed, match=r"^at: expected no time: a live command takes the ledger's clock; got"):
            way(command)
    assert len(events_of(ledger)) == 1
    assert ledger.record([command])[0].records[0].occurred_at == after(5)


@pytest.mark.parametrize("given_instead", ["allocate", None, {"command": "expire"}, Expire])
def test_what_is_no_command_is_an_error(given_instead: object) -> None:
    """The error says what is expected, and nothing is recorded."""
    ledger = given(opened()).ledger()
    wrong = cast("Command", given_instead)
    ways: tuple[Callable[[], object], ...] = (
        lambda: ledger.execute(wrong),
        lambda: ledger.submit(wrong),
        lambda: ledger.check(wrong),
        lambda: ledger.record([Expire(), wrong]),
    )
    for way in ways:
        with pytest.raises(Malformed, match=r"^command: expected one of Holdbook's command objects; got"):
            way()
    assert len(events_of(ledger)) == 1


def test_malformed_input_is_an_error_before_any_decision() -> None:
    """It is no refusal: no event is recorded."""
    ledger = given(opened()).ledger()
    attempts: tuple[Callable[[], object], ...] = (
        lambda: ledger.allocate({"gpu": 0}, owner="ann"),
        lambda: ledger.allocate({"gpu": True}, owner="ann"),
        lambda: ledger.allocate({"gpu": 1}, owner=""),
        lambda: ledger.allocate({"gpu": 1}, owner="ann", ttl=timedelta(0)),
        lambda: ledger.release("a\0"),
        lambda: ledger.release("a", force=True),
        lambda: ledger.open_pool("g=pu", resource_type="r", limits=Limits(total=1)),
        lambda: ledger.transfer("a", to=" "),
    )
    for attempt in attempts:
        with pytest.raises(Malformed):
            attempt()
    assert len(events_of(ledger)) == 1


def test_an_error_of_one_caller_is_his_alone() -> None:
    """In one transaction, another command is decided as if the bad one had not come."""
    ledger = given(opened()).ledger()
    ledger.allocate({"gpu": 1}, owner="ann", command_id="c")
    bad = Allocate(quantities={"gpu": 2}, owner="ann", command_id="c")
    good = Allocate(quantities={"gpu": 3}, owner="ann", command_id="d")
    refused, answered = ledger.together(bad, good)
    assert isinstance(refused, CommandIdReused)
    assert isinstance(answered, Outcome)
    assert answered.position == len(events_of(ledger))
    assert ledger.pool("gpu").used == 4


def test_a_record_is_all_or_nothing() -> None:
    """An error in the middle leaves nothing of the batch, and what comes later is unaffected."""
    ledger = given(opened()).ledger()
    ledger.allocate({"gpu": 1}, owner="ann", command_id="c")
    rows = ledger.log.rows()
    batch = [
        Allocate(quantities={"gpu": 2}, owner="ann", allocation_id="x", command_id="d"),
        Allocate(quantities={"gpu": 2}, owner="ann", command_id="c"),
        Allocate(quantities={"gpu": 2}, owner="ann", command_id="e"),
    ]
    with pytest.raises(CommandIdReused):
        ledger.record(batch)
    assert ledger.log.rows() == rows
    assert (ledger.pool("gpu").used, len(ledger.allocations())) == (1, 1)
    outcomes = ledger.record([batch[0], batch[2]])
    assert [outcome.repeated for outcome in outcomes] == [False, False]
    assert [row.position for row in ledger.log.rows()] == [1, 2, 3, 4]
    assert ledger.pool("gpu").used == 5


def test_a_record_with_a_pool_already_open_leaves_nothing() -> None:
    """The same holds for every error that is no refusal."""
    ledger = given(opened()).ledger()
    other = OpenPool(pool="gpu", resource_type="r", limits=Limits(total=1))
    with pytest.raises(PoolAlreadyOpen):
        ledger.record([OpenPool(pool="cpu", resource_type="r", limits=Limits(total=1)), other])
    assert [pool.name for pool in ledger.pools()] == ["gpu"]


def test_refusals_do_not_stop_a_record() -> None:
    """They are outcomes in their place."""
    ledger = given(opened()).ledger()
    outcomes = ledger.record([Allocate(quantities={"gpu": size}, owner="ann", at=after(size)) for size in (1, 9, 2)])
    assert [outcome.refusal is None for outcome in outcomes] == [True, False, True]
    assert ledger.record([]) == []


def test_corruption_stops_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the log holds cannot be right: no caller of the batch gets an answer."""
    ledger = given(opened()).ledger()
    monkeypatch.setattr(ledger.handler.cache, "look", _corrupt)
    future = ledger.submit(Expire())
    with pytest.raises(LogCorrupt, match="broken"):
        future.result()
    assert ledger.expire() == ()


def _corrupt(_reader: object) -> None:
    message = "broken"
    raise LogCorrupt(message)


def test_a_database_that_goes_away_is_everybody_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not one command's error: nothing of the batch is recorded, and each caller learns the id to ask with."""
    history = given(opened(), allocated("a", gpu=1))
    log = history.given(*history.when(Release(allocation_id="a")).events).log()
    ledger, rows, histories = ledger_on(log), log.rows(), MemoryReader.histories

    def break_off(self: MemoryReader, ids: Collection[str]) -> dict[str, list[Recorded]]:
        if ids:
            raise LogUnavailable("the connection broke")
        return histories(self, ids)

    with monkeypatch.context() as broken:
        broken.setattr(MemoryReader, "histories", break_off)
        answers = ledger.together(Allocate(quantities={"gpu": 1}, owner="ann"), Release(allocation_id="a"))
    assert all(isinstance(one, LogUnavailable) and one.command_id for one in answers)
    assert log.rows() == rows


def test_corruption_met_by_one_command_leaves_the_others_alone() -> None:
    """Who asks about what the log says wrongly is told so; the rest of the batch is decided and recorded."""
    history = given(opened(), allocated("a", gpu=1))
    log = history.given(*history.when(Release(allocation_id="a")).events).log()
    log._subjects["a"] = log._subjects["a"][:1]  # noqa: SLF001 - the index loses the ending, as no log does
    ledger = ledger_on(log)
    corrupt, other = ledger.together(Release(allocation_id="a"), Allocate(quantities={"gpu": 1}, owner="ann"))
    assert isinstance(corrupt, LogCorrupt)
    assert isinstance(other, Outcome)
    assert other.position == log.max_notification_id()


def test_a_log_that_went_back_is_corruption() -> None:
    """A ledger that has seen more than there is says so, rather than decide on it."""
    log = given(opened(), allocated("a", gpu=1)).log()
    ledger = ledger_on(log)
    assert ledger.pool("gpu").used == 1
    log._rows.pop()  # noqa: SLF001 - as after a restore from backup
    with pytest.raises(LogCorrupt, match="ends at position 1 and ended at 2 before"):
        ledger.pool("gpu")


def test_check_says_what_would_happen_and_records_nothing() -> None:
    """Grants with their token, refusals with their data, repeats, errors: all as execute would."""
    ledger = given(opened()).ledger()
    command = Allocate(quantities={"gpu": 2}, owner="ann", allocation_id="a")
    foretold = ledger.check(command)
    assert foretold.allocation is not None
    assert (foretold.allocation.token, foretold.position) == (Token(1, 2), 2)
    refused = ledger.check(Allocate(quantities={"gpu": 9}, owner="ann")).refusal
    assert refused is not None
    assert refused.code == RefusalCode.ABOVE_CAPACITY
    assert len(events_of(ledger)) == 1
    assert ledger.execute(command).allocation == foretold.allocation
    assert ledger.check(command).repeated
    with pytest.raises(CommandIdReused):
        ledger.check(command.model_copy(update={"owner": "bob"}))
    with pytest.raises(PoolAlreadyOpen):
        ledger.check(OpenPool(pool="gpu", resource_type="r", limits=Limits(total=1)))


def test_a_ledger_is_closed_by_its_block() -> None:
    """Leaving the block closes the log, whatever happened in it."""
    closed = []
    log = given().log()
    log.close = lambda: closed.append(True)  # type: ignore[method-assign]
    with pytest.raises(KeyError), ledger_on(log):
        raise KeyError
    assert closed == [True]


def test_a_second_process_sees_what_the_first_did() -> None:
    """What is remembered is brought up to date before it is used."""
    log = given(opened(), opened("cpu")).log()
    one, two = ledger_on(log), ledger_on(log)
    one.allocate({"gpu": 5}, owner="ann", allocation_id="a", command_id="1")
    assert two.pool("gpu").used == 5
    two.allocate({"gpu": 3}, owner="ann", allocation_id="b", command_id="2")
    assert refusal(one, Allocate(quantities={"gpu": 1}, owner="ann", command_id="3")).data["free"] == 0
    assert refusal(two, Allocate(quantities={"gpu": 1}, owner="ann", command_id="4")).data["free"] == 0
    assert [row.version for row in log.rows() if row.stream_id == "refusals:gpu"] == [1, 2]
    one.open_pool("new", resource_type="r", limits=Limits(total=1))
    assert [pool.name for pool in two.pools()] == ["cpu", "gpu", "new"]


def test_pools_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten is read again, allocations over remembered and forgotten pools included."""
    monkeypatch.setattr(cache, "POOLS_CACHED_MAX", 1)
    ledger = SEVERAL.ledger()
    ledger.expire()
    for round_ in range(3):
        ledger.resize("b", {"cpu": 2 + round_, "gpu": 3})
        ledger.allocate({"ram": 1}, owner="ann", allocation_id=f"x{round_}")
        ledger.release(f"x{round_}")
        again = Allocate(allocation_id="b", quantities={"ram": 1}, owner="ann")
        assert refusal(ledger, again).code == RefusalCode.ALLOCATION_ID_TAKEN
        assert [pool.used for pool in ledger.pools()] == [3 + round_, 4, 0]
    assert len(ledger.handler.cache._pools) <= 3  # noqa: SLF001 - what it remembers


def test_a_pool_is_loaded_from_its_snapshot_and_the_events_since() -> None:
    """The same decisions are made as from its first event."""
    log = SEVERAL.log()
    take_snapshot(log, "gpu")
    before = ledger_on(log)
    before.resize("b", {"gpu": 4})
    after_restart = ledger_on(log)
    assert after_restart.pool("gpu") == before.pool("gpu")
    assert refusal(after_restart, Allocate(allocation_id="a", quantities={"gpu": 1}, owner="x")).code == (
        RefusalCode.ALLOCATION_ID_TAKEN
    )
    assert after_restart.release("b").quantities == {"cpu": 1, "gpu": 4}


def test_a_grant_without_an_allocation_is_corruption() -> None:
    """The API never gives nothing where it promises something."""
    nothing = Outcome(command_id="c", records=())
    with pytest.raises(LogCorrupt, match="command 'c' was granted, and no allocation was"):
        allocation_of(nothing)
    with pytest.raises(LogCorrupt, match="command 'c' was granted, and its pool is not there"):
        pool_of(nothing)


def test_every_caller_is_told_when_the_log_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure to append reaches the caller, and the ledger goes on from the log."""
    log = given(opened()).log()
    ledger = ledger_on(log)
    with monkeypatch.context() as broken:
        broken.setattr(log, "_extend", _fail)
        with pytest.raises(OSError, match="disk full"):
            ledger.allocate({"gpu": 1}, owner="ann", allocation_id="a")
    assert ledger.pool("gpu").used == 0
    assert ledger.allocate({"gpu": 1}, owner="ann", allocation_id="a").token == Token(1, 2)


def test_a_lost_answer_is_found_again_by_the_id_that_the_error_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that gave no id learns which one to send again, and is not granted twice."""
    log = given(opened()).log()
    ledger, writing = ledger_on(log), log.writing

    @contextmanager
    def lose_the_answer(timeout: float | None, since: int | None) -> Iterator[MemoryWriter]:
        with writing(timeout, since) as writer:
            yield writer
        raise LogUnavailable("the connection broke")

    with monkeypatch.context() as broken:
        broken.setattr(log, "writing", lose_the_answer)
        with pytest.raises(LogUnavailable, match=r"the connection broke; .* send it again") as lost:
            ledger.allocate({"gpu": 1}, owner="ann")
    outcome = ledger.execute(Allocate(quantities={"gpu": 1}, owner="ann", command_id=lost.value.command_id))
    assert outcome.repeated
    assert ledger.pool("gpu").used == 1


def test_what_was_sent_may_land_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command whose first sending arrives after its second was lost too is in the log once, and answered as it is."""
    log = given(opened()).log()
    ledger, writing = ledger_on(log), log.writing
    for _ in range(2):
        ledger.allocate({"gpu": 1}, owner="ann")
    attempt = CommitAttempt([ledger.handler.settle(Allocate(quantities={"gpu": 1}, owner="ann"))])
    sent: list[tuple[LogPosition, Sequence[StoredRow]]] = []

    def send(end: LogPosition, rows: Sequence[StoredRow], _timeout: float | None) -> bool:
        sent.append((end, rows))
        raise LogUnavailable("the connection broke")

    @contextmanager
    def lose_the_commit(timeout: float | None, since: int | None) -> Iterator[MemoryWriter]:
        with writing(timeout, since) as writer:
            yield writer
            raise LogUnavailable("the connection broke")

    with monkeypatch.context() as broken:
        broken.setattr(log, "append_if", send)
        broken.setattr(log, "writing", lose_the_commit)
        for _ in range(2):
            with pytest.raises(LogUnavailable):
                ledger.handler.try_commit(attempt)
    assert log.append_if(*sent[0])
    ledger.handler.try_commit(attempt)
    [outcome] = attempt.answers
    assert isinstance(outcome, Outcome)
    assert [row.hash for row in log.rows()[3:]] == [row.hash for row in sent[0][1]]
    assert [(one.position, one.command_id) for one in outcome.records] == [(4, sent[0][1][0].command_id)]
    assert outcome.allocation is not None
    assert ledger.pool("gpu").used == 3


def _fail(_rows: object) -> None:
    raise OSError(ENOSPC, "disk full")


def test_a_ledger_does_not_read_back_what_it_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its own commits a pool is current, repeats and refusals included; only what others wrote is read."""
    log = given(opened()).log()
    ledger, other = ledger_on(log), ledger_on(log)
    read: list[int] = []
    decode = log.decode

    def count(row: StoredRow) -> Recorded:
        read.append(row.position)
        return decode(row)

    ledger.expire("gpu")
    monkeypatch.setattr(log, "decode", count)
    for number in range(5):
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id=f"a{number}")
        refusal(ledger, Allocate(quantities={"gpu": 9}, owner="ann"))
    ledger.record([Release(allocation_id="a0"), Release(allocation_id="a1")])
    assert read == []
    other.allocate({"gpu": 1}, owner="bob", command_id="other")
    read.clear()
    assert ledger.pool("gpu").used == 4
    assert read == [14]


def test_what_a_forgotten_pool_held_is_forgotten_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an allocation is held takes no memory without its pool, and is found in the log again."""
    monkeypatch.setattr(cache, "POOLS_CACHED_MAX", 1)
    ledger = SEVERAL.ledger()
    ledger.resize("b", {"cpu": 2, "gpu": 3})
    ledger.allocate({"ram": 1}, owner="ann", allocation_id="x")
    ledger.release("x")
    assert ledger.handler.cache.where("b") is None
    assert ledger.release("b").quantities == {"cpu": 2, "gpu": 3}


def test_a_pool_s_name_may_hold_colons() -> None:
    """Neither its holds nor its refusals are mistaken for another pool's."""
    name = "rack:1:gpu"
    log = given(opened(name), opened("gpu")).log()
    ledger = ledger_on(log)
    for number in range(2):
        ledger.allocate({name: 3}, owner="ann", allocation_id=f"a{number}")
        too_much = Allocate(command_id=f"c{number}", quantities={name: 9}, owner="ann")
        assert refusal(ledger, too_much).data["free"] == 5 - 3 * number
    ledger.release("a0")
    for one in (ledger, ledger_on(log)):
        assert [(pool.name, pool.used) for pool in one.pools()] == [("gpu", 0), (name, 3)]
    rows = [(row.stream_id, row.version) for row in log.rows() if row.stream_id.startswith("refusals:")]
    assert rows == [(f"refusals:{name}", 1), (f"refusals:{name}", 2)]


def test_what_a_snapshot_holds_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a pool costs the events since its snapshot."""
    log = SEVERAL.log()
    take_snapshot(log, "gpu")
    stream, asked = MemoryReader.stream, []

    def noted(self: MemoryReader, stream_id: str, after_version: int) -> Iterator[Recorded]:
        asked.append((stream_id, after_version))
        return stream(self, stream_id, after_version)

    monkeypatch.setattr(MemoryReader, "stream", noted)
    assert ledger_on(log).release("a").quantities == {"gpu": 1}
    assert asked == [("pool:gpu", 3)]


def test_a_pool_is_not_asked_about_while_the_log_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known as of the log's end needs no look at its stream."""
    ledger = SEVERAL.ledger()
    ledger.resize("a", {"gpu": 2})
    asked: list[str] = []

    def noted(_self: MemoryReader, stream_id: str, _after: int) -> Iterator[Recorded]:
        asked.append(stream_id)
        return iter(())

    monkeypatch.setattr(MemoryReader, "stream", noted)
    assert ledger.resize("a", {"gpu": 3}).quantities == {"gpu": 3}
    assert asked == []
