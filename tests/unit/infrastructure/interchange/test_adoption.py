"""Taking over what an old manager holds: opening entries at their own times, all of them or none."""

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from holdbook import Allocate, Ledger, Limits, OpenPool
from holdbook.infrastructure.interchange.adoption import Adopted, adopt
from holdbook.infrastructure.interchange.old_form import AdoptionStopped, OldState, read_old_form
from holdbook.replay.verification.verifier import verify
from support.cli import jsonl
from support.deciding import T0, Clock, after, kinds_of

LIMITS: dict[str, Any] = {"limits": {"total": 100, "max_size": 50}, "resource_type": "memory"}
NOW = after(3600)


def held(name: str = "a", began: float = 0, **fields: object) -> dict[str, Any]:
    """Write a line of an allocation that began so many seconds after the beginning."""
    began_at = after(began).isoformat()
    line = {"id": name, "resource_type": "memory", "size": 5, "allocation_time": began_at, "expiration_time": None}
    return {**line, **fields}


def state_of(*lines: dict[str, Any]) -> OldState:
    """Read lines as a file."""
    return read_old_form(io.BytesIO(jsonl(lines).encode()), "held.jsonl")


@pytest.fixture
def ledger() -> Ledger:
    """A ledger in memory, an hour after the beginning."""
    return Ledger.in_memory(actor="tests", clock=Clock(NOW))


def test_what_is_held_is_held_in_the_ledger(ledger: Ledger) -> None:
    """Since its own time, until its own time, by its own owner, with its tags; the books are right."""
    until = after(7200)
    lines = (LIMITS, held(), held("b", 7, owner="ann", expiration_time=until.isoformat(), tags={"k": "v"}))
    assert adopt(ledger, state_of(*lines), NOW) == Adopted(pools=1, adopted=2, repeated=0, last_position=3)
    a, b = ledger.allocations()
    assert (a.id, a.owner, dict(a.quantities), a.opened_at, a.deadline) == ("a", "memory", {"memory": 5}, T0, None)
    assert (b.id, b.owner, b.opened_at, b.deadline, dict(b.tags)) == ("b", "ann", after(7), until, {"k": "v"})
    assert ledger.pool("memory").limits == Limits(total=100, max_size=50)
    assert verify(ledger.log).findings == ()


def test_adopting_again_changes_nothing(ledger: Ledger) -> None:
    """Though some have expired and others were released since; a file that has grown adds what is new."""
    lines = [LIMITS, held(), held("b", expiration_time=after(3700).isoformat())]
    adopt(ledger, state_of(*lines), NOW)
    ledger.release("a")
    later = after(4000)
    assert adopt(ledger, state_of(*lines), later) == Adopted(pools=0, adopted=0, repeated=3, last_position=4)
    assert kinds_of(ledger) == ["PoolOpened", "Allocated", "Allocated", "Released"]
    grown = adopt(ledger, state_of(*lines, held("c", 3900)), later)
    assert (grown.adopted, grown.repeated) == (1, 3)


def test_nothing_is_adopted_from_nothing(ledger: Ledger) -> None:
    """An empty file is consistent."""
    for rehearse in (False, True):
        assert adopt(ledger, state_of(), NOW, rehearse=rehearse) == Adopted(0, 0, 0, 0)


def test_a_rehearsal_says_the_same_and_records_nothing(ledger: Ledger) -> None:
    """The ledger has decided everything, and goes on as if it had not."""
    state = state_of(LIMITS, held(), held("b"))
    told: list[tuple[int, int]] = []
    rehearsed = adopt(ledger, state, NOW, rehearse=True, progress=lambda *how_far: told.append(how_far))
    assert rehearsed == Adopted(pools=1, adopted=2, repeated=0, last_position=0)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert kinds_of(ledger) == []
    assert adopt(ledger, state, NOW).adopted == 2


def test_a_pool_that_is_there_and_agrees_is_used(ledger: Ledger) -> None:
    """Opened by its limits, or not named in the file at all."""
    adopt(ledger, state_of(LIMITS), after(0))
    clock_free = [held("b", 3600), held("c", 3600)]
    assert adopt(ledger, state_of(LIMITS, *clock_free), NOW).adopted == 2
    assert adopt(ledger, state_of(held("d", 3600)), NOW).adopted == 1


Prepare = Callable[[Ledger], object]


def nothing(_ledger: Ledger) -> None:
    """The ledger is empty."""


def opened(**limits: Any) -> Prepare:  # noqa: ANN401 - limits by name
    """The pool is there since the beginning."""
    opening = OpenPool(pool="memory", resource_type="memory", limits=Limits(**{"total": 100, **limits}), at=T0)
    return lambda ledger: ledger.record([opening])


def holding(**fields: Any) -> Prepare:  # noqa: ANN401 - fields by name
    """The pool is there, with an allocation under the id of the file's."""
    content = {"allocation_id": "a", "quantities": {"memory": 5}, "owner": "memory", "at": T0, **fields}
    return lambda ledger: (
        opened()(ledger),
        ledger.open_pool("other", resource_type="r", limits=Limits(total=9)),
        ledger.record([Allocate(**content)]),
    )


REFUSED: dict[str, tuple[Prepare, list[dict[str, Any]], str, object, str]] = {
    "a size over max_size": (nothing, [LIMITS, held(size=51)], "size", 51, "above_max_size"),
    "a sum over total": (
        nothing, [LIMITS, *(held(str(number), size=40) for number in range(3))], "size", 40,
        "pool_exhausted: pool 'memory' has 20 of 100 unit free, 40 asked",
    ),
    "a type without limits and without pool": (
        nothing, [LIMITS, held(resource_type="port")], "resource_type", "port", "there is no pool 'port'",
    ),
    "what expired already": (
        nothing, [LIMITS, held(expiration_time=NOW.isoformat())], "expiration_time", NOW.isoformat(),
        "expected a time after now",
    ),
    "what begins in the future": (
        nothing, [LIMITS, held(began=3601)], "allocation_time", after(3601).isoformat(), "expected a time up to now",
    ),
    "what begins before the pool's last event": (
        lambda ledger: ledger.open_pool("memory", resource_type="memory", limits=Limits(total=100)),
        [held()], "allocation_time", T0.isoformat(),
        "expected a time from 2026-01-01T01:00:00.000000Z on, which is how far pool 'memory' has come",
    ),
    "limits that a pool has not": (opened(), [LIMITS, held()], "limits.max_size", 50, "use change_limits"),
    "a pool that is closed": (
        lambda ledger: (opened()(ledger), ledger.close_pool("memory")), [held(began=3600)], "resource_type", "memory",
        "pool_closed",
    ),
    "a pool in a ledger that is closed": (
        lambda ledger: ledger.close_ledger(), [LIMITS, held()], "resource_type", "memory", "ledger_closed",
    ),
    "an end for ever where nothing lasts": (
        opened(default_ttl=86400), [held()], "expiration_time", None, "lets nothing be held for ever",
    ),
    "an end too late": (
        opened(max_ttl=86400), [held(expiration_time=after(86401).isoformat())], "expiration_time",
        after(86401).isoformat(), "ttl_too_long",
    ),
    "an owner with too much": (opened(per_owner=4), [held()], "size", 5, "above_per_owner"),
    "an id of another owner": (holding(owner="ann"), [held()], "owner", None, "owner is 'ann'"),
    "an id of another size": (holding(quantities={"memory": 6}), [held()], "size", 5, "quantities.memory is 6"),
    "an id of another type": (
        holding(quantities={"other": 5}), [held()], "resource_type", "memory", "quantities.memory is None",
    ),
    "an id of several types": (
        holding(quantities={"memory": 5, "other": 1}), [held()], "resource_type", "memory", "quantities.other is 1",
    ),
    "an id of another end": (
        holding(), [held(expiration_time=after(7200).isoformat())], "expiration_time", after(7200).isoformat(),
        "ttl is None",
    ),
    "an id of another beginning": (
        holding(), [held(began=3000)], "allocation_time", after(3000).isoformat(),
        "expected 2026-01-01T00:00:00.000000Z, when the ledger has it that 'a' began",
    ),
    "an id of another command": (holding(command_id="mine"), [held(began=3600)], "id", "a", "allocation_id_taken"),
}  # fmt: skip
"""What is there, what is adopted, and what is said of the last line, or of the first if that is one of limits."""


@pytest.mark.parametrize(("prepare", "lines", "field", "value", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_ledger_cannot_take_over_stops_all_of_it(  # noqa: PLR0913, PLR0917 - one case
    ledger: Ledger, prepare: Prepare, lines: list[dict[str, Any]], field: str, value: object, said: str
) -> None:
    """Nothing is recorded; the error names file, line, field and value; the ledger goes on."""
    prepare(ledger)
    rows = ledger.log.rows()
    of_limits = field.startswith("limits") or "ledger_closed" in said
    with pytest.raises(AdoptionStopped) as info:
        adopt(ledger, state_of(*lines), NOW)
    stopped = info.value
    assert (stopped.file, stopped.field, stopped.value) == ("held.jsonl", field, value)
    assert stopped.line == (1 if of_limits else len(lines))
    assert said in str(stopped)
    assert ledger.log.rows() == rows
    assert ledger.check(OpenPool(pool="new", resource_type="r", limits=Limits(total=1))) is not None


def test_an_adoption_is_by_whoever_does_it(ledger: Ledger) -> None:
    """The log says who took it over, and when; it says when it began too."""
    adopt(ledger, state_of(LIMITS, held()), NOW)
    (recorded,) = ledger.history("a")
    assert (recorded.actor, recorded.recorded_at - recorded.occurred_at) == ("tests", timedelta(hours=1))
