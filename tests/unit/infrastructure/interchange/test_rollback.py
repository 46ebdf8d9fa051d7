"""Going back: what is written, in which order, and what stops it before the ledger is closed."""

import io
import json
from typing import Any

import pytest

from holdbook import Ledger, Limits, OpenPool, Reserve
from holdbook.infrastructure.interchange.adoption import adopt
from holdbook.infrastructure.interchange.old_form import read_old_form
from holdbook.infrastructure.interchange.rollback import NotRolledBack, RolledBack, roll_back
from support.deciding import Clock, after, events_of, kinds_of


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until it is set."""
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    """A ledger in memory with two pools, one more that is closed, and four allocations, one of which has lapsed."""
    ledger = Ledger.in_memory(actor="tests", clock=clock)
    for pool, limits in {"memory": {"total": 100, "max_size": 50}, "gpu": {"total": 4, "per_owner": 3}}.items():
        ledger.open_pool(pool, resource_type="thing", unit="B" if pool == "memory" else "unit", limits=Limits(**limits))
    ledger.open_pool("shut", resource_type="thing", limits=Limits(total=1))
    ledger.close_pool("shut")
    ledger.allocate({"memory": 7}, owner="ann", allocation_id="z", tags={"k": "v"})
    ledger.allocate({"gpu": 1}, owner="gpu", ttl=60, allocation_id="y")  # type: ignore[arg-type]  # seconds will do
    ledger.allocate({"memory": 1}, owner="ann", ttl=11, allocation_id="x")  # type: ignore[arg-type]  # as above
    clock.set(10)
    ledger.allocate({"memory": 2}, owner="bob", allocation_id="a")
    clock.set(12)
    return ledger


def rolled_back(ledger: Ledger, clock: Clock, **options: Any) -> tuple[list[dict[str, Any]], RolledBack]:  # noqa: ANN401 - as `roll_back` takes them
    """Roll back; the lines that were written, and what is said of them."""
    file = io.StringIO()
    done = roll_back(ledger, file, clock, **options)
    return [json.loads(line) for line in file.getvalue().splitlines()], done


def test_what_is_held_is_written_and_the_ledger_is_closed(ledger: Ledger, clock: Clock) -> None:
    """Limits by name, but for what was closed before; then what is held, oldest grant first, less what has lapsed."""
    told: list[tuple[int, int]] = []
    lines, done = rolled_back(ledger, clock, reason="back", progress=lambda *how_far: told.append(how_far))
    began, later = "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:10.000000Z"
    assert lines == [
        {"limits": {"total": 4, "per_owner": 3}, "resource_type": "gpu"},
        {"limits": {"total": 100, "max_size": 50}, "resource_type": "memory", "unit": "B"},
        {
            "id": "z", "resource_type": "memory", "size": 7, "owner": "ann", "allocation_time": began,
            "expiration_time": None, "tags": {"k": "v"},
        },
        {
            "id": "y", "resource_type": "gpu", "size": 1, "allocation_time": began,
            "expiration_time": "2026-01-01T00:01:00.000000Z", "tags": {},
        },
        {
            "id": "a", "resource_type": "memory", "size": 2, "owner": "bob", "allocation_time": later,
            "expiration_time": None, "tags": {},
        },
    ]  # fmt: skip
    assert told == [(5, 5)]
    assert done == RolledBack(2, 3, ["gpu.per_owner"], len(events_of(ledger)))
    assert kinds_of(ledger)[-4:] == ["Expired", "LedgerClosed", "PoolClosed", "PoolClosed"]
    assert all(pool.closed for pool in ledger.pools())


def test_again_it_writes_what_is_held_by_then(ledger: Ledger, clock: Clock) -> None:
    """Pools keep their lines though nothing of them is held; nothing is recorded anew."""
    rolled_back(ledger, clock)
    ledger.release("a")
    clock.set(60)
    rows = ledger.log.rows()
    lines, done = rolled_back(ledger, clock, reason="another")
    assert [line.get("id") for line in lines] == [None, None, "z"]
    assert (done.resource_types, done.allocations) == (2, 1)
    assert ledger.log.rows() == rows


def test_a_pool_that_was_closed_before_is_written_while_something_of_it_is_held(ledger: Ledger, clock: Clock) -> None:
    """Who goes back has to know what there was of it."""
    ledger.close_pool("memory")
    lines, _ = rolled_back(ledger, clock)
    assert [line["resource_type"] for line in lines[:2]] == ["gpu", "memory"]


def test_an_empty_ledger_is_rolled_back_to_nothing(clock: Clock) -> None:
    """It is closed all the same."""
    ledger = Ledger.in_memory(clock=clock)
    assert rolled_back(ledger, clock) == ([], RolledBack(0, 0, [], 1))
    assert kinds_of(ledger) == ["LedgerClosed"]


def test_what_the_old_form_cannot_say_stops_it(ledger: Ledger, clock: Clock) -> None:
    """All of it is listed, oldest first; nothing is written and the ledger stays open. Once it is ended, it goes."""
    for name in ("r2", "r1"):
        ledger.reserve({"gpu": 1}, owner="ann", ttl=30, allocation_id=name)  # type: ignore[arg-type]  # seconds will do
    ledger.reserve({"gpu": 1, "memory": 1}, owner="ann", ttl=30, allocation_id="both")  # type: ignore[arg-type]  # as above
    file = io.StringIO()
    with pytest.raises(NotRolledBack) as info:
        roll_back(ledger, file, clock)
    assert (info.value.reserved, info.value.several, info.value.closed) == (["r2", "r1"], ["both"], False)
    assert str(info.value) == (
        "the old form has no words for what these hold; confirm, release or void them, and try again. "
        "reservations: r2, r1; allocations over several pools: both. Nothing was written; the ledger is still open"
    )
    assert file.getvalue() == ""
    ledger.execute(OpenPool(pool="new", resource_type="r", limits=Limits(total=1)))
    ledger.confirm("r1")
    clock.set(45)
    lines, _ = rolled_back(ledger, clock)
    assert [line["id"] for line in lines if "id" in line] == ["z", "y", "a", "r1"]


class Meanwhile(Ledger):
    """A ledger in which somebody reserves something just before it is closed."""

    def close_ledger(self, **fields: Any) -> Any:  # noqa: ANN401 - as the ledger's own
        """Reserve, then close."""
        self.execute(Reserve(allocation_id="late", quantities={"memory": 1}, owner="ann", ttl=30))
        return super().close_ledger(**fields)


def test_a_reservation_that_came_in_between_is_told(ledger: Ledger, clock: Clock) -> None:
    """The ledger is closed by then, and says so; once the reservation is over, what is held is written."""
    racing = Meanwhile(ledger.log, clock=clock)
    with pytest.raises(NotRolledBack, match=r"Nothing was written; the ledger is closed$") as info:
        rolled_back(racing, clock)
    assert (info.value.reserved, info.value.closed) == (["late"], True)
    with pytest.raises(NotRolledBack) as info:
        rolled_back(ledger, clock)
    assert info.value.closed
    clock.set(45)
    assert rolled_back(ledger, clock)[1].allocations == 3


def test_what_was_written_is_taken_over_by_another_ledger(ledger: Ledger, clock: Clock) -> None:
    """With the same holds, and back to the same bytes."""
    first, second = io.StringIO(), io.StringIO()
    roll_back(ledger, first, clock)
    other = Ledger.in_memory(clock=clock)
    adopt(other, read_old_form(io.BytesIO(first.getvalue().encode()), "held"), after(12))
    assert [one.id for one in other.allocations()] == [one.id for one in ledger.allocations()]
    roll_back(other, second, clock)
    assert second.getvalue() == first.getvalue()
