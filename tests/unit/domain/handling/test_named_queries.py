"""The reading side of the domain API, over a log in memory."""

from datetime import timedelta
from typing import Any

import pytest

from holdbook import (
    Allocate,
    AllocationState,
    Ledger,
    Limits,
    Malformed,
    NotFound,
    PoolStatus,
    Release,
)
from support.deciding import (
    SEVERAL,
    Clock,
    events_of,
    ledger_on,
    refusal,
)


def test_pools_are_listed_by_name_as_of_now() -> None:
    """What is due no longer counts, noticed or not; closed pools are there too, with nothing free."""
    clock = Clock()
    ledger = ledger_on(SEVERAL.log(), clock)
    ledger.close_pool("ram")
    assert [(one.name, one.used, one.free, one.allocations) for one in ledger.pools()] == [
        ("cpu", 2, 6, 2),
        ("gpu", 3, 5, 2),
        ("ram", 0, 0, 0),
    ]
    clock.set(50)
    assert [(one.used, one.allocations) for one in ledger.pools()] == [(1, 1), (1, 1), (0, 0)]
    assert len(events_of(ledger)) == 8


def test_a_pool_is_found_by_name() -> None:
    """Its status tells all that people ask; an unknown name is an error."""
    ledger = SEVERAL.ledger()
    assert ledger.pool("gpu") == PoolStatus(
        name="gpu",
        resource_type="accelerator",
        unit="device",
        limits=Limits(total=8),
        capacity=8,
        used=3,
        free=5,
        allocations=2,
        closed=False,
    )
    with pytest.raises(NotFound, match="no pool 'gpux' in this ledger"):
        ledger.pool("gpux")


def test_free_is_not_below_0() -> None:
    """While more is held than the limits allow, nothing is free."""
    ledger = SEVERAL.ledger()
    ledger.change_limits("gpu", Limits(total=1))
    assert (ledger.pool("gpu").used, ledger.pool("gpu").free) == (3, 0)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["b", "a", "r"]),
        ({"owner": "ann"}, ["a", "r"]),
        ({"pool": "cpu"}, ["b", "r"]),
        ({"pool": "nix"}, []),
        ({"tags": {"job": "1"}}, ["b", "a"]),
        ({"tags": {"job": "1", "qos": "low"}}, ["b"]),
        ({"state": AllocationState.RESERVED}, ["r"]),
        ({"state": AllocationState.RELEASED}, []),
        ({"owner": "ann", "pool": "gpu"}, ["a"]),
    ],
)
def test_allocations_are_chosen_by_owner_pool_tags_and_state(wanted: dict[str, Any], found: list[str]) -> None:
    """Oldest grant first; all conditions hold together; an allocation over two pools is listed once."""
    assert [one.id for one in SEVERAL.ledger().allocations(**wanted)] == found


def test_allocations_are_those_open_now() -> None:
    """What has lapsed is left out, noticed or not."""
    assert [one.id for one in SEVERAL.ledger(at=50).allocations()] == ["a", "r"]


def test_an_allocation_is_found_by_id_open_or_ended() -> None:
    """With all its pools; one that never was, or was only refused, is an error."""
    ledger = SEVERAL.ledger()
    assert ledger.allocation("b").quantities == {"cpu": 1, "gpu": 2}
    ledger.release("b")
    assert ledger.allocation("b").state is AllocationState.RELEASED
    refusal(ledger, Allocate(allocation_id="never", quantities={"gpu": 99}, owner="ann"))
    for name in ("never", "no"):
        with pytest.raises(NotFound, match=f"no allocation '{name}' in this ledger"):
            ledger.allocation(name)


def test_a_hold_past_its_deadline_reads_as_expired() -> None:
    """Whoever asks again, or retries the grant, is not told that it still holds what has lapsed unnoticed."""
    clock = Clock()
    ledger = Ledger.in_memory(clock=clock)
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
    held = ledger.allocate({"gpu": 1}, owner="ann", allocation_id="a", ttl=timedelta(seconds=60))
    clock.now += timedelta(seconds=60)
    asked_again = ledger.allocate({"gpu": 1}, owner="ann", allocation_id="a", ttl=timedelta(seconds=60))
    for shown in (asked_again, ledger.allocation("a")):
        assert (shown.state, shown.ended_at) == (AllocationState.EXPIRED, held.deadline)


@pytest.mark.parametrize("name", ["", " a", "a\0", "\ud800", "x" * 256])
def test_reading_takes_names_only(name: str) -> None:
    """What cannot be a name is malformed, whoever asks."""
    ledger = SEVERAL.ledger()
    for read, parameter in (
        (ledger.pool, "pool"),
        (ledger.allocation, "allocation_id"),
        (ledger.history, "allocation_id"),
    ):
        with pytest.raises(Malformed, match=parameter):
            read(name)
    with pytest.raises(Malformed, match="actor"):
        Ledger.in_memory(actor=name)


def test_a_history_is_every_event_about_an_allocation() -> None:
    """Refusals too, in order; an id that nobody ever named is an error."""
    ledger = SEVERAL.ledger()
    refusal(ledger, Release(allocation_id="r"))
    ledger.void("r")
    assert [type(one.event).__name__ for one in ledger.history("r")] == ["Reserved", "ValidationFailed", "Voided"]
    with pytest.raises(NotFound, match="no allocation 'no'"):
        ledger.history("no")
