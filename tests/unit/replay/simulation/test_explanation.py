"""Explanations: what is in the way of a request, and until when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Allocate, Ledger, Limits, Malformed, Refused
from support.story import T0, Clock, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook import Explanation

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def clock() -> Clock:
    """A clock for the ledger."""
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Iterator[Ledger]:
    """A ledger with a full pool, and one that is full for some owners."""
    with Ledger.in_memory(clock=clock) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", unit="GPUs", limits=Limits(total=8))
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=100, per_owner=40, max_allocations=4))
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="for-good")
        ledger.allocate({"gpu": 3, "cpu": 10}, owner="ann", allocation_id="c", ttl=seconds(30), tags={"job": "7"})
        ledger.reserve({"gpu": 2}, owner="bob", allocation_id="a", ttl=seconds(10))
        ledger.allocate({"gpu": 2}, owner="cid", allocation_id="b", ttl=seconds(20))
        yield ledger


def outline(explanation: Explanation) -> list[tuple[Any, ...]]:
    """Describe each obstacle: its code, its pool, how long it lasts, and whose holds it is about."""
    return [
        (
            one.code.value,
            one.pool,
            None if one.until is None else (one.until - T0).total_seconds(),
            [holder.allocation_id for holder in one.holders],
        )
        for one in explanation.obstacles
    ]


def grants(ledger: Ledger, clock: Clock, quantities: dict[str, int], owner: str, moment: datetime) -> bool:
    """Ask for a request at a moment; gives whether it is granted."""
    clock.now = moment
    return ledger.check(Allocate(quantities=quantities, owner=owner)).refusal is None


def test_a_full_pool(ledger: Ledger, clock: Clock) -> None:
    """The holders are listed as they expire; the request is granted once enough have, and not a microsecond earlier."""
    clock.set(5)
    explanation = ledger.explain({"gpu": 4}, owner="dee")
    (obstacle,) = explanation.obstacles
    assert (explanation.granted, explanation.moment, explanation.position) == (False, T0 + seconds(5), 7)
    assert [tuple(one) for one in obstacle.holders] == [
        ("a", "bob", 2, T0 + seconds(10), True, {}),
        ("b", "cid", 2, T0 + seconds(20), False, {}),
        ("c", "ann", 3, T0 + seconds(30), False, {"job": "7"}),
        ("for-good", "ann", 1, None, False, {}),
    ]
    assert (obstacle.since, obstacle.until, obstacle.transient) == (T0 + seconds(5), T0 + seconds(20), True)
    assert (obstacle.data["free"], str(obstacle)) == (0, "pool 'gpu' has 0 of 8 GPUs free, 4 asked")
    assert explanation.granted_at == T0 + seconds(20)
    clock.now = explanation.granted_at - MICROSECOND
    with pytest.raises(Refused, match="pool_exhausted"):
        ledger.allocate({"gpu": 4}, owner="dee")
    clock.now = explanation.granted_at
    assert ledger.allocate({"gpu": 4}, owner="dee").quantities == {"gpu": 4}


def test_nothing_is_in_the_way(ledger: Ledger, clock: Clock) -> None:
    """A request that would be granted has no obstacle; a hold past its deadline is in nobody's way."""
    clock.set(10)
    explanation = ledger.explain({"gpu": 2}, owner="dee", ttl=seconds(1))
    assert (explanation.granted, explanation.obstacles) == (True, ())
    assert explanation.granted_at == explanation.moment == T0 + seconds(10)


def test_explaining_records_nothing(ledger: Ledger, clock: Clock) -> None:
    """Explaining records nothing and changes nothing that the ledger decides on."""
    rows, clock.now = ledger.log.rows(), T0 + seconds(25)
    before = ledger.pools()
    ledger.explain({"gpu": 7, "cpu": 1}, owner="dee")
    assert (ledger.log.rows(), ledger.pools()) == (rows, before)


def test_what_no_expiry_lifts(ledger: Ledger) -> None:
    """A hold without a deadline never expires, so no moment is given."""
    explanation = ledger.explain({"gpu": 8}, owner="dee")
    assert outline(explanation) == [("pool_exhausted", "gpu", None, ["a", "b", "c", "for-good"])]
    assert explanation.granted_at is None


@pytest.mark.parametrize(
    ("quantities", "ttl", "expected"),
    [
        ({"gpu": 9}, None, ("above_capacity", "gpu")),
        ({"gpu": 4, "none": 1}, None, ("pool_not_found", "none")),
        ({"gpu": 4, "cpu": 41}, None, ("above_per_owner", "cpu")),
        ({"gpu": 4, "brief": 1}, seconds(9), ("ttl_too_long", "brief")),
        ({"gpu": 4, "shut": 1}, None, ("pool_closed", "shut")),
    ],
)
def test_what_somebody_has_to_change(
    ledger: Ledger, quantities: dict[str, int], ttl: timedelta | None, expected: tuple[str, str]
) -> None:
    """A permanent refusal stays for ever, and has no holders."""
    ledger.open_pool("brief", resource_type="r", limits=Limits(total=9, max_ttl=seconds(8)))
    ledger.open_pool("shut", resource_type="r", limits=Limits(total=9))
    ledger.close_pool("shut")
    explanation = ledger.explain(quantities, owner="dee", ttl=ttl)
    assert outline(explanation) == [(*expected, None, [])]
    assert not explanation.obstacles[0].transient


def test_an_owner_s_limit(ledger: Ledger, clock: Clock) -> None:
    """For the limit of an owner, only the owner's holds are in the way; after that, the pool may be full."""
    ledger.allocate({"cpu": 30}, owner="ann", allocation_id="d", ttl=seconds(40))
    ledger.allocate({"cpu": 40}, owner="bob", allocation_id="e", ttl=seconds(50))
    clock.set(1)
    assert outline(ledger.explain({"cpu": 20}, owner="bob")) == [("owner_exhausted", "cpu", 50, ["e"])]
    ledger.allocate({"cpu": 20}, owner="cid", allocation_id="f", ttl=seconds(69))
    assert outline(ledger.explain({"cpu": 40}, owner="bob")) == [
        ("too_many_allocations", "cpu", 30, ["c", "d", "e", "f"]),
        ("owner_exhausted", "cpu", 50, ["e"]),
    ]
    assert outline(ledger.explain({"cpu": 40}, owner="ann")) == [
        ("too_many_allocations", "cpu", 30, ["c", "d", "e", "f"]),
        ("owner_exhausted", "cpu", 40, ["d"]),
    ]


def test_several_pools(ledger: Ledger, clock: Clock) -> None:
    """Each pool that refuses is an obstacle in its turn, until all of them would grant."""
    ledger.allocate({"cpu": 40}, owner="bob", allocation_id="d", ttl=seconds(15))
    ledger.allocate({"cpu": 40}, owner="cid", allocation_id="e", ttl=seconds(25))
    clock.set(1)
    explanation = ledger.explain({"cpu": 40, "gpu": 3}, owner="dee")
    assert outline(explanation) == [
        ("pool_exhausted", "cpu", 15, ["d", "e", "c"]),
        ("pool_exhausted", "gpu", 20, ["b", "c", "for-good"]),
    ]
    assert explanation.obstacles[1].since == T0 + seconds(15)
    assert not grants(ledger, clock, {"cpu": 40, "gpu": 3}, "dee", T0 + seconds(20) - MICROSECOND)
    assert grants(ledger, clock, {"cpu": 40, "gpu": 3}, "dee", T0 + seconds(20))


def test_the_past_and_the_future(ledger: Ledger, clock: Clock) -> None:
    """A moment in the past is judged by what had happened by then, one in the future by what will have expired."""
    clock.set(6)
    ledger.release("c")
    ledger.change_limits("gpu", Limits(total=2))
    explanation = ledger.explain({"gpu": 3}, owner="dee", at=T0 + seconds(5))
    assert outline(explanation) == [("pool_exhausted", "gpu", 20, ["a", "b", "c", "for-good"])]
    assert (explanation.moment, explanation.position) == (T0 + seconds(5), len(ledger.log.rows()))
    assert outline(ledger.explain({"gpu": 3}, owner="dee")) == [("above_capacity", "gpu", None, [])]
    assert ledger.explain({"gpu": 1}, owner="dee", at=T0 + seconds(20)).granted
    assert outline(ledger.explain({"gpu": 1}, owner="dee", at=T0 + seconds(20) - MICROSECOND)) == [
        ("pool_exhausted", "gpu", 20, ["b", "for-good"])
    ]
    assert outline(ledger.explain({"gpu": 1}, owner="dee", at=T0 - seconds(1))) == [
        ("pool_not_found", "gpu", None, []),
    ]


def test_a_clock_that_is_behind_the_log(ledger: Ledger, clock: Clock) -> None:
    """Like a command, the request is decided at the time of its pools if the clock is behind that."""
    clock.set(10)
    ledger.release("c")
    clock.set(3)
    explanation = ledger.explain({"gpu": 5}, owner="dee")
    assert explanation.granted == (ledger.check(Allocate(quantities={"gpu": 5}, owner="dee")).refusal is None)
    assert (explanation.granted, explanation.moment) == (True, T0 + seconds(10))


def test_an_empty_ledger() -> None:
    """In an empty ledger, the pool that is asked for does not exist."""
    with Ledger.in_memory() as ledger:
        explanation = ledger.explain({"gpu": 1}, owner="ann")
    assert (outline(explanation), explanation.position) == ([("pool_not_found", "gpu", None, [])], 0)


def test_the_end_of_the_calendar(clock: Clock) -> None:
    """A deadline after the last moment at which a command can come is never the moment of a grant."""
    clock.now = datetime.fromisoformat("9790-01-01T00:00:00Z")
    with Ledger.in_memory(clock=clock) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
        ledger.allocate({"gpu": 1}, owner="ann", ttl=timedelta(days=36500))
        explanation = ledger.explain({"gpu": 1}, owner="bob", ttl=timedelta(days=36500))
    assert explanation.granted_at is None


@pytest.mark.parametrize(
    ("request_", "parameter"),
    [
        ({"quantities": {}, "owner": "ann"}, "quantities"),
        ({"quantities": {"gpu": 0}, "owner": "ann"}, "quantities.gpu"),
        ({"quantities": {"gpu": 1}, "owner": ""}, "owner"),
        ({"quantities": {"gpu": 1}, "owner": "ann", "ttl": seconds(0)}, "ttl"),
        ({"quantities": {"gpu": 1}, "owner": "ann", "at": datetime(2026, 1, 1)}, "at"),  # noqa: DTZ001 - the fault
    ],
)
def test_requests_that_are_none(ledger: Ledger, request_: dict[str, Any], parameter: str) -> None:
    """A request that would be malformed as a command is malformed here, too."""
    with pytest.raises(Malformed) as caught:
        ledger.explain(**request_)
    assert caught.value.parameter == parameter
