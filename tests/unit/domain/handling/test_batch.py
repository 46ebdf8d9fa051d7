"""Commands decided one after another on one look at the log: idempotency, repeats, what each outcome tells."""

from datetime import timedelta
from typing import Any

import pytest

from holdbook import (
    Allocate,
    AllocationState,
    ChangeLimits,
    ClosePool,
    Command,
    CommandIdReused,
    Confirm,
    Expire,
    Limits,
    OpenPool,
    Outcome,
    PoolAlreadyOpen,
    RefusalCode,
    Release,
    Renew,
    Reserve,
    Resize,
    Token,
)
from holdbook.domain.errors import LogCorrupt
from holdbook.domain.events import Allocated, Released
from holdbook.domain.handling.interface import LedgerInterface
from holdbook.infrastructure.log.memory_log import MemoryReader
from support.deciding import Clock, after, allocated, events_of, given, ledger_on, opened, refusal

OPEN = OpenPool(pool="gpu", resource_type="accelerator", unit="device", limits=Limits(total=8))


def ask(**fields: Any) -> Allocate:  # noqa: ANN401 - fields by name
    """Ask for one device, under the command id `c` if nothing else is said."""
    return Allocate(**{"quantities": {"gpu": 1}, "owner": "ann", "command_id": "c", **fields})


def done(ledger: LedgerInterface, command: Command) -> Outcome:
    """Submit a command and give its outcome, a refusal too."""
    return ledger.submit(command).result()


def test_the_same_command_again_has_the_recorded_outcome() -> None:
    """Same id, same content: the same events and the same token, and nothing is appended."""
    ledger = given(opened()).ledger()
    first = done(ledger, ask())
    again = done(ledger, ask())
    assert (first.repeated, again.repeated) == (False, True)
    assert again.records == first.records
    assert again.allocation == first.allocation
    assert (again.position, again.pool) == (2, None)
    assert len(events_of(ledger)) == 2


@pytest.mark.parametrize(
    "changes",
    [{"correlation_id": "x"}, {"causation_id": "y"}, {"at": after(99)}, {"correlation_id": "x", "at": after(0)}],
)
def test_a_repeat_may_have_another_time_and_other_correlation(changes: dict[str, Any]) -> None:
    """A retry through another service is still a retry."""
    ledger = given(opened()).ledger()
    [first] = ledger.record([ask()])
    [again] = ledger.record([ask(**changes)])
    assert again.repeated
    assert again.records == first.records


def test_a_repeat_tells_the_allocation_s_present_state() -> None:
    """Not the state at the time of the grant: after a renewal the new deadline, after a release its end."""
    clock = Clock()
    ledger = ledger_on(given(opened()).log(), clock)
    held = done(ledger, ask(ttl=60)).allocation
    assert held is not None
    ledger.renew(held.id, ttl=timedelta(seconds=90))
    renewed = done(ledger, ask(ttl=60)).allocation
    assert renewed is not None
    assert renewed.deadline == after(90)
    clock.set(5)
    ledger.release(held.id, reason="done")
    ended = done(ledger, ask(ttl=60)).allocation
    assert ended is not None
    assert (ended.state, ended.ended_at, ended.reason) == (AllocationState.RELEASED, after(5), "done")
    assert ended.token == held.token


def test_a_repeat_works_after_a_crash_and_from_another_process() -> None:
    """The log decides, not what a process remembers."""
    log = given(opened()).log()
    first = done(ledger_on(log), ask())
    again = done(ledger_on(log), ask())
    assert again.repeated
    assert again.records == first.records


def test_a_repeat_tells_what_another_process_did_to_the_allocation() -> None:
    """The present state is the log's, not what this process remembers."""
    log = given(opened()).log()
    here, elsewhere = ledger_on(log), ledger_on(log)
    done(here, ask(allocation_id="a"))
    elsewhere.execute(Release(allocation_id="a", command_id="gone"))
    ended = done(here, ask(allocation_id="a")).allocation
    assert ended is not None
    assert ended.state is AllocationState.RELEASED


def test_a_repeated_refusal_stays_a_refusal() -> None:
    """A retry never turns a refusal into a grant, even if it would now fit; the answer says what to do."""
    ledger = given(opened(), allocated("full", gpu=8)).ledger()
    refused = refusal(ledger, ask())
    assert (refused.code, refused.repeated) == (RefusalCode.POOL_EXHAUSTED, False)
    ledger.release("full")
    again = refusal(ledger, ask())
    assert (again.code, again.data, again.repeated) == (refused.code, refused.data, True)
    assert "give a new command id" in str(again)
    assert len(events_of(ledger)) == 4
    assert done(ledger, ask(command_id="new")).allocation is not None


@pytest.mark.parametrize(
    ("changes", "field", "recorded", "now"),
    [
        ({"quantities": {"gpu": 2}}, "quantities.gpu", 1, 2),
        ({"quantities": {"cpu": 1, "gpu": 1}}, "quantities.cpu", None, 1),
        ({"owner": "bob"}, "owner", "ann", "bob"),
        ({"ttl": 30}, "ttl", None, 30),
        ({"tags": {"k": "v"}}, "tags.k", None, "v"),
        ({"actor": "me"}, "actor", None, "me"),
        ({"allocation_id": "x"}, "allocation_id", None, "x"),
    ],
)
def test_the_same_id_with_other_content_is_an_error(
    changes: dict[str, Any], field: str, recorded: object, now: object
) -> None:
    """It names the field that differs, by its path, and is no event."""
    ledger = given(opened()).ledger()
    done(ledger, ask())
    with pytest.raises(CommandIdReused) as info:
        ledger.execute(ask(**changes))
    error = info.value
    assert (error.command_id, error.field, error.recorded, error.given) == ("c", field, recorded, now)
    assert len(events_of(ledger)) == 2


def test_the_same_id_for_another_kind_of_command_is_an_error() -> None:
    """The verb is content."""
    ledger = given(opened()).ledger()
    done(ledger, ask(allocation_id="a"))
    with pytest.raises(CommandIdReused, match="command was 'allocate', now 'release'"):
        ledger.execute(Release(allocation_id="a", command_id="c"))


def test_the_id_of_a_refused_command_is_used_too() -> None:
    """A refusal is an outcome."""
    ledger = given(opened(max_size=1)).ledger()
    refusal(ledger, ask(quantities={"gpu": 2}))
    with pytest.raises(CommandIdReused, match=r"quantities\.gpu was 2, now 1"):
        ledger.execute(ask())


@pytest.mark.parametrize("kind", [Allocate, Reserve])
def test_a_grant_that_names_its_allocation_is_repeated_without_a_command_id(kind: type[Allocate | Reserve]) -> None:
    """Its id is derived; other content under one allocation id is an error, not a second grant."""
    ledger = given(opened()).ledger()
    command = kind(allocation_id="a", quantities={"gpu": 1}, owner="ann", ttl=9)
    first, again = done(ledger, command), done(ledger, command)
    assert (first.command_id, again.repeated) == (command.id_from_content(), True)
    assert again.allocation == first.allocation
    with pytest.raises(CommandIdReused):
        ledger.execute(command.model_copy(update={"owner": "bob"}))


def test_an_allocation_id_that_was_refused_may_be_granted_to_a_new_command() -> None:
    """Only a grant uses an allocation id up."""
    ledger = given(opened(), allocated("full", gpu=8)).ledger()
    command = ask(allocation_id="a", command_id=None)
    refusal(ledger, command)
    ledger.release("full")
    assert refusal(ledger, command).repeated
    granted = done(ledger, command.model_copy(update={"command_id": "second try"})).allocation
    assert granted is not None
    assert granted.id == "a"


def test_opening_a_pool_is_repeated_by_its_name() -> None:
    """The id is derived from the name: the same content is a repeat with the recorded event."""
    ledger = given().ledger()
    first, again = done(ledger, OPEN), done(ledger, OPEN)
    assert (again.repeated, again.records) == (True, first.records)
    assert first.pool == again.pool
    assert len(events_of(ledger)) == 1


def test_opening_a_pool_with_other_content_is_for_the_decision_to_judge() -> None:
    """Its derived id does not make it a reused one: the present limits are a repeat, others point to change_limits."""
    ledger = given().ledger()
    ledger.execute(OPEN)
    ledger.change_limits("gpu", Limits(total=4))
    present = done(ledger, OPEN.model_copy(update={"limits": Limits(total=4)}))
    assert (present.repeated, present.records) == (True, ())
    assert present.pool is not None
    assert present.pool.capacity == 4
    assert done(ledger, OPEN).repeated
    with pytest.raises(PoolAlreadyOpen):
        ledger.execute(OPEN.model_copy(update={"limits": Limits(total=5)}))
    assert len(events_of(ledger)) == 2


def test_opening_a_pool_with_a_command_id_of_its_own_is_held_to_it() -> None:
    """Who gives an id is told when it was used for something else."""
    ledger = given().ledger()
    ledger.execute(OPEN.model_copy(update={"command_id": "c"}))
    with pytest.raises(CommandIdReused, match=r"limits\.total was 8, now 5"):
        ledger.execute(OPEN.model_copy(update={"command_id": "c", "limits": Limits(total=5)}))


def test_a_closed_pool_is_not_opened_again() -> None:
    """The same content without an id is the old opening repeated; anything else is a refusal with an id of its own."""
    ledger = given().ledger()
    ledger.execute(OPEN)
    ledger.close_pool("gpu")
    again = done(ledger, OPEN)
    assert again.repeated
    assert again.pool is not None
    assert again.pool.closed
    other = refusal(ledger, OPEN.model_copy(update={"limits": Limits(total=5)}))
    assert other.code == RefusalCode.POOL_CLOSED
    assert other.command_id != again.command_id, "the id derived from the name stands for the opening"
    assert refusal(ledger, OPEN.model_copy(update={"command_id": "c"})).code == RefusalCode.POOL_CLOSED


def test_repeats_are_found_within_one_batch() -> None:
    """Two callers that send one command at once get one outcome; other content is an error for its sender alone."""
    ledger = given(opened()).ledger()
    first, again, after_release = ledger.record(
        [ask(allocation_id="a"), ask(allocation_id="a"), Release(allocation_id="a")]
    )
    assert (first.repeated, again.repeated, after_release.repeated) == (False, True, False)
    assert again.records == first.records
    [ended] = ledger.record([ask(allocation_id="a")])
    assert ended.allocation is not None
    assert ended.allocation.state is AllocationState.RELEASED


def test_a_repeat_in_a_batch_sees_what_the_batch_did() -> None:
    """The present state includes what is not committed yet, of allocations old and new."""
    ledger = given(opened()).ledger()
    ledger.record([ask(allocation_id="old")])
    outcomes = ledger.record(
        [
            ask(allocation_id="new", command_id="n"),
            Resize(allocation_id="new", quantities={"gpu": 3}),
            Release(allocation_id="old"),
            ask(allocation_id="new", command_id="n"),
            ask(allocation_id="old"),
        ]
    )
    new, old = outcomes[3].allocation, outcomes[4].allocation
    assert new is not None
    assert old is not None
    assert (new.quantities, old.state) == ({"gpu": 3}, AllocationState.RELEASED)


def test_each_command_of_a_batch_sees_those_before_it() -> None:
    """A limit is met exactly within a batch."""
    ledger = given(opened(total=2)).ledger()
    outcomes = ledger.record([ask(command_id=f"c{number}") for number in range(4)])
    assert [outcome.refusal is None for outcome in outcomes] == [True, True, False, False]
    assert [type(event).__name__ for event in events_of(ledger)[-2:]] == ["ValidationFailed"] * 2


def test_an_allocation_that_ended_in_the_batch_has_ended() -> None:
    """How it ended is told to the next command."""
    ledger = given(opened()).ledger()
    outcomes = ledger.record(
        [
            ask(allocation_id="a"),
            Release(allocation_id="a"),
            Release(allocation_id="a"),
            ask(allocation_id="a", command_id="d"),
        ]
    )
    refusals = [outcome.refusal for outcome in outcomes]
    assert refusals[2] is not None
    assert refusals[3] is not None
    assert (refusals[2].code, refusals[2].data["state"]) == (RefusalCode.ALLOCATION_ENDED, "released")
    assert refusals[3].code == RefusalCode.ALLOCATION_ID_TAKEN


def test_releasing_what_is_released_is_a_refusal_that_auditors_see() -> None:
    """By a new command it is refused and recorded, by the same command it is a repeat."""
    ledger = given(opened(), allocated("a", gpu=1)).ledger()
    release = Release(allocation_id="a", command_id="r")
    done(ledger, release)
    assert done(ledger, release).repeated
    refused = refusal(ledger, Release(allocation_id="a"))
    assert (refused.code, refused.data["state"]) == (RefusalCode.ALLOCATION_ENDED, "released")
    assert [type(one.event).__name__ for one in ledger.history("a")] == ["Allocated", "Released", "ValidationFailed"]


def test_an_outcome_tells_the_allocation_after_the_command() -> None:
    """Each command about an allocation gives it as it now is."""
    ledger = given(opened()).ledger()
    outcomes = [
        done(ledger, Reserve(allocation_id="a", quantities={"gpu": 2}, owner="ann", ttl=60)),
        done(ledger, Confirm(allocation_id="a", ttl=90)),
        done(ledger, Renew(allocation_id="a", ttl=120)),
        done(ledger, Resize(allocation_id="a", quantities={"gpu": 3})),
        done(ledger, Release(allocation_id="a", reason="done")),
    ]
    seen = [outcome.allocation for outcome in outcomes if outcome.allocation]
    assert [one.state.value for one in seen] == ["reserved", "active", "active", "active", "released"]
    assert [one.deadline for one in seen] == [after(60), after(90), after(120), after(120), after(120)]
    assert [one.quantities["gpu"] for one in seen] == [2, 2, 2, 3, 3]
    assert {one.token for one in seen} == {Token(1, 2)}


def test_an_outcome_tells_what_the_command_expired() -> None:
    """Expiries that a command noticed belong to it: they carry its id, the command itself is on its own event."""
    clock = Clock()
    ledger = ledger_on(given(opened("cpu"), opened(), allocated("a", until=5, cpu=1, gpu=8)).log(), clock)
    clock.set(9)
    outcome = done(ledger, ask())
    assert outcome.expired == ("a",)
    assert [one.command_id for one in outcome.records] == ["c"] * 3
    assert [(one.ordinal, one.ordinals) for one in outcome.records] == [(0, 3), (1, 3), (2, 3)]
    assert [one.command for one in outcome.records] == [None, None, ask().canonical()]
    assert [one.occurred_at for one in outcome.records] == [after(5), after(5), after(9)]
    assert {one.recorded_at for one in outcome.records} == {after(9)}
    assert done(ledger, ask()).expired == ("a",)


def test_an_expiry_is_about_no_allocation_in_particular() -> None:
    """Expire tells what expired; with nothing due it has no position and no events, and is no repeat."""
    clock = Clock()
    ledger = ledger_on(given(opened(), allocated("a", until=5, gpu=1), allocated("b", until=6, gpu=1)).log(), clock)
    nothing = done(ledger, Expire(command_id="x"))
    assert (nothing.records, nothing.position, nothing.repeated, nothing.expired) == ((), None, False, ())
    clock.set(9)
    outcome = done(ledger, Expire(pool="gpu", command_id="x"))
    assert (outcome.expired, outcome.allocation, outcome.position) == (("a", "b"), None, 5)
    again = done(ledger, Expire(pool="gpu", command_id="x"))
    assert (again.repeated, again.expired, again.allocation) == (True, ("a", "b"), None)


def test_the_envelope_carries_who_and_why() -> None:
    """The command's actor, else the ledger's; correlation and causation as given; `at` stays in the command."""
    ledger = given(opened()).ledger()
    [named] = ledger.record([ask(actor="cron", correlation_id="x", causation_id="y", at=after(7))])
    [unnamed] = ledger.record([ask(command_id="d")])
    record = named.records[0]
    assert (record.actor, record.correlation_id, record.causation_id) == ("cron", "x", "y")
    assert (record.occurred_at, record.recorded_at) == (after(7), after(0))
    assert '"at":"2026-01-01T00:00:07.000000Z"' in (record.command or "")
    assert (unnamed.records[0].actor, unnamed.records[0].occurred_at) == ("tests", after(7))


def test_tokens_grow_with_every_grant() -> None:
    """Within a batch, between batches, after refusals, for grants over several pools."""
    ledger = given(opened(), opened("cpu")).ledger()
    asked = [
        ask(command_id=f"c{n}", quantities={"gpu": 1, "cpu": 1} if n % 2 else {"gpu": 9 if n == 4 else 1})
        for n in range(8)
    ]
    outcomes = ledger.record(asked[:4]) + ledger.record(asked[4:])
    tokens = [outcome.allocation.token for outcome in outcomes if outcome.allocation]
    assert tokens == sorted(set(tokens))
    assert len(tokens) == 7
    for outcome in outcomes:
        if outcome.allocation:
            first = next(one.position for one in outcome.records if isinstance(one.event, Allocated))
            assert outcome.allocation.token == Token(1, first)


def test_the_refusals_of_a_batch_are_numbered_in_their_stream() -> None:
    """Their versions follow one another like those of a pool."""
    ledger = given(opened()).ledger()
    ledger.record([ask(command_id=f"c{number}", quantities={"gpu": 9}) for number in range(3)])
    ledger.record([ask(command_id="more", quantities={"gpu": 9})])
    rows = [row for row in ledger.log.rows() if row.stream_id == "refusals:gpu"]
    assert [row.version for row in rows] == [1, 2, 3, 4]


def test_an_allocation_that_another_process_ended_is_not_forgotten() -> None:
    """A batch whose first command reads of the end still knows the id in the second."""
    log = given(opened(), allocated("a", gpu=1)).log()
    here, elsewhere = ledger_on(log), ledger_on(log)
    done(here, ask(command_id="look"))
    elsewhere.execute(Release(allocation_id="a", command_id="gone"))
    outcomes = here.record(
        [
            ask(command_id="first"),
            ask(command_id="second", allocation_id="a"),
            Release(allocation_id="a", command_id="third"),
        ]
    )
    codes = [outcome.refusal.code if outcome.refusal else None for outcome in outcomes]
    assert codes == [None, RefusalCode.ALLOCATION_ID_TAKEN, RefusalCode.ALLOCATION_ENDED]


def test_a_hold_that_vanished_without_an_ending_is_corruption() -> None:
    """An allocation that its pool does not hold and that nothing ended is not answered about."""
    history = given(opened(), opened("cpu"), allocated("a", cpu=1, gpu=1))
    half = history.given(
        Released(pool="gpu", allocation_id="a", owner="ann", quantity=1, reserved=False, reason=None, forced=False)
    )
    ended = half.given(
        Released(pool="cpu", allocation_id="a", owner="ann", quantity=1, reserved=False, reason=None, forced=False)
    )
    assert refusal(ended.ledger(), Release(allocation_id="a")).code == RefusalCode.ALLOCATION_ENDED
    log = ended.log()
    log._subjects["a"] = log._subjects["a"][:2]  # noqa: SLF001 - the index loses the endings, as no log does
    with pytest.raises(LogCorrupt, match="allocation 'a' is held by none of its pools, and no event ended it"):
        ledger_on(log).execute(Release(allocation_id="a"))


def test_a_pool_s_status_comes_with_commands_about_it() -> None:
    """Opening, changing and closing tell how the pool now stands."""
    ledger = given().ledger()
    statuses = [
        done(ledger, command).pool
        for command in (OPEN, ChangeLimits(pool="gpu", limits=Limits(total=4)), ClosePool(pool="gpu"))
    ]
    assert [(one.capacity, one.free, one.closed) for one in statuses if one] == [
        (8, 8, False),
        (4, 4, False),
        (4, 0, True),
    ]


def test_what_comes_of_another_opening_has_a_fresh_id() -> None:
    """Not the id derived from the name, and not none: its events and its outcome carry the same one."""
    ledger = given().ledger()
    ledger.execute(OPEN)
    ledger.close_pool("gpu")
    outcome = done(ledger, OPEN.model_copy(update={"limits": Limits(total=5)}))
    assert outcome.command_id.startswith("id-")
    assert [one.command_id for one in outcome.records] == [outcome.command_id]


def test_an_allocation_without_any_history_is_corruption_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be told is said to be missing, in the ledger's own error."""
    released = Released(
        pool="gpu", allocation_id="a", owner="ann", quantity=1, reserved=False, reason=None, forced=False
    )
    ledger = given(opened(), allocated("a", gpu=1), released).ledger()
    monkeypatch.setattr(MemoryReader, "histories", lambda _self, _ids: {})
    with pytest.raises(LogCorrupt, match="no event ended it"):
        ledger.execute(Release(allocation_id="a"))


def test_a_repeat_names_the_command_that_it_repeats() -> None:
    """The answer to a retry is known by its id, as the first one was; a refusal's and an expiry's too."""
    ledger = given(opened(), allocated("x", until=5, gpu=1)).ledger(at=9)
    for command in (Expire(command_id="e"), ask(), ask(command_id="no", quantities={"gpu": 9})):
        first, again = done(ledger, command), done(ledger, command)
        assert (again.repeated, again.command_id) == (True, command.command_id)
        assert first.command_id == command.command_id


def test_a_repeat_of_what_began_and_ended_in_the_batch_tells_its_end() -> None:
    """The log knows nothing of it yet."""
    command = ask(allocation_id="a")
    outcomes = given(opened()).ledger().record([command, Release(allocation_id="a"), command])
    assert outcomes[2].repeated
    assert outcomes[2].allocation is not None
    assert outcomes[2].allocation.state is AllocationState.RELEASED
