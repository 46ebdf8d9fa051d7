"""Incidents: a window of time played back step by step."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger, Limits, Refused
from holdbook.domain.commands import Allocate, OpenPool
from holdbook.domain.errors import Malformed, NotFound
from holdbook.domain.refusals import RefusalCode
from holdbook.replay.reports.incident import LAPSED, REFUSED, Incident, IncidentStep, Level
from support.incidents import replayed
from support.story import T0, Clock, seconds, tell

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


@pytest.fixture
def clock() -> Clock:
    """A clock for the ledger."""
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Iterator[Ledger]:
    """An empty ledger."""
    with Ledger.in_memory(clock=clock, actor="ops") as ledger:
        yield ledger


def window(
    ledger: Ledger, begin: float, end: float, pools: Collection[str] | None = None
) -> tuple[Incident, list[IncidentStep]]:
    """Replay a window, in seconds after the story's beginning."""
    return replayed(ledger.log, T0 + seconds(begin), T0 + seconds(end), pools)


def told(steps: list[IncidentStep]) -> list[tuple[object, ...]]:
    """Describe each step: what it was, and the use of its pool before and after it."""
    return [(one.kind, one.pool, one.before and one.before.used, one.after and one.after.used) for one in steps]


def test_story(ledger: Ledger, clock: Clock) -> None:
    """Every event of the window is a step, with its pool before and after it; earlier events are not."""
    tell(ledger, clock)
    incident, steps = window(ledger, 20, 30)
    assert told(steps) == [
        ("Confirmed", "cpu", 25, 25),
        ("Confirmed", "seats", 1, 1),
        ("Voided", "gpu", 5, 4),
        ("Renewed", "cpu", 25, 25),
        ("Renewed", "gpu", 4, 4),
        ("Resized", "cpu", 25, 45),
        ("Resized", "gpu", 4, 3),
        ("Transferred", "cpu", 45, 45),
        ("Transferred", "gpu", 3, 3),
        ("LimitsChanged", "gpu", 3, 3),
        (REFUSED, "gpu", 3, 3),
        (REFUSED, None, None, None),
        ("Resized", "cpu", 45, 35),
        ("Released", "gpu", 3, 1),
    ]
    gpu = incident.pools["gpu"]
    assert (gpu.before, gpu.after) == (Level(5, 8, 3), Level(1, 2, 1))
    assert (gpu.unit, gpu.granted, gpu.ended, gpu.refusals.codes) == ("unit", 0, 3, {RefusalCode.POOL_EXHAUSTED: 1})
    assert incident.unknown == {RefusalCode.ALLOCATION_NOT_FOUND: 1}
    assert (incident.count, incident.position, incident.ledger_id) == (
        14,
        ledger.log.rows()[-1].position,
        ledger.log.ledger_id,
    )


def test_what_steps_say(ledger: Ledger, clock: Clock) -> None:
    """A step has owner, quantity, deadline and other words; a refusal has what was asked."""
    tell(ledger, clock)
    _, steps = window(ledger, 20, 30)
    by_kind = {(one.kind, one.pool): one for one in steps}
    resized, changed = by_kind["Resized", "gpu"], by_kind["LimitsChanged", "gpu"]
    assert (resized.allocation_id, resized.owner, resized.quantity, resized.words) == ("a1", "ann", 1, "was 2")
    assert by_kind["Renewed", "gpu"].deadline == T0 + seconds(220)
    assert by_kind["Transferred", "gpu"].words == "from ann"
    assert (by_kind["Voided", "gpu"].words, by_kind["Released", "gpu"].words) == ("no need", "done")
    assert changed.words == "total 8 to 2, per_owner 6 to None"
    refused = by_kind[REFUSED, "gpu"]
    assert (refused.allocation_id, refused.owner, refused.quantity, refused.code) == (
        "a3",
        "eve",
        1,
        RefusalCode.POOL_EXHAUSTED,
    )
    assert refused.words == "pool 'gpu' has 0 of 2 unit free, 1 asked"
    assert (resized.code, by_kind[REFUSED, None].quantity) == (None, None)


def test_a_release_by_force(ledger: Ledger) -> None:
    """A forced release says that it was forced, and why."""
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
    ledger.allocate({"gpu": 4}, owner="ann", allocation_id="a")
    ledger.release("a", force=True, reason="its host is gone")
    incident, steps = window(ledger, 0, 1)
    assert (steps[-1].kind, steps[-1].words) == ("Released", "by force, its host is gone")
    assert incident.pools["gpu"].ended == 4


def test_a_refusal_before_its_pool(ledger: Ledger) -> None:
    """A refusal because a pool did not exist stays so, even if a pool of that name is opened with an earlier time."""
    ledger.record(
        [
            Allocate(quantities={"a": 1}, owner="ann", at=T0 + seconds(100)),
            OpenPool(pool="a", resource_type="a", limits=Limits(total=1), at=T0 + seconds(10)),
        ]
    )
    incident, steps = window(ledger, 50, 150)
    assert [(one.kind, one.pool, one.before) for one in steps] == [(REFUSED, "a", None)]
    assert incident.unknown == {RefusalCode.POOL_NOT_FOUND: 1}
    assert not incident.pools["a"].is_eventful


def test_deadlines_that_nobody_noticed(ledger: Ledger, clock: Clock) -> None:
    """A hold past its deadline without a recorded expiry is a step of its own, and lowers the line."""
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
    ledger.allocate({"gpu": 4}, owner="ann", allocation_id="late", ttl=seconds(50))
    ledger.allocate({"gpu": 2}, owner="bob", allocation_id="soon", ttl=seconds(20))
    ledger.allocate({"gpu": 1}, owner="cid", allocation_id="gone", ttl=seconds(5))
    incident, steps = window(ledger, 10, 60)
    assert [(one.kind, one.at - T0, one.allocation_id, one.owner, one.quantity) for one in steps] == [
        (LAPSED, seconds(20), "soon", "bob", 2),
        (LAPSED, seconds(50), "late", "ann", 4),
    ]
    assert told(steps) == [(LAPSED, "gpu", 6, 4), (LAPSED, "gpu", 4, 0)]
    assert (steps[0].recorded, steps[0].deadline, steps[0].words) == (None, T0 + seconds(20), "not noticed yet")
    gpu = incident.pools["gpu"]
    assert (gpu.before, gpu.after, gpu.events) == (Level(6, 9, 2), Level(0, 9, 0), {LAPSED: 2})
    assert [(point.at - T0, point.value) for point in gpu.used.points] == [
        (seconds(10), 6),
        (seconds(20), 4),
        (seconds(50), 0),
    ]
    assert told(window(ledger, 20, 50)[1]) == [(LAPSED, "gpu", 6, 4)]
    clock.set(100)
    ledger.expire()
    assert told(window(ledger, 10, 60)[1]) == [("Expired", "gpu", 6, 4), ("Expired", "gpu", 4, 0)]


def test_a_pool_opened_meanwhile(ledger: Ledger, clock: Clock) -> None:
    """A pool that is opened in the window has no level before."""
    clock.set(5)
    ledger.open_pool("gpu", resource_type="gpu", unit="device", limits=Limits(total=9))
    incident, steps = window(ledger, 0, 10)
    assert (steps[0].before, steps[0].after) == (Level(0, 0, 0), Level(0, 9, 0))
    assert (incident.pools["gpu"].unit, incident.pools["gpu"].before.capacity) == ("device", 0)
    ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=9))
    assert list(window(ledger, 0, 10)[0].pools) == ["cpu", "gpu"]
    early, nothing = window(ledger, 0, 5, ["gpu"])
    assert (nothing, early.count, early.pools["gpu"].is_eventful) == ([], 0, False)
    assert window(ledger, 0, 5)[0].pools == {}


def test_only_some_pools(ledger: Ledger, clock: Clock) -> None:
    """If pools are chosen, only their steps and refusals are given, and no refusals without a pool."""
    tell(ledger, clock)
    incident, steps = window(ledger, 0, 400, ["gpu"])
    assert {one.pool for one in steps} == {"gpu"}
    assert set(incident.pools) == {"gpu"}
    assert incident.unknown == {}
    assert incident.pools["gpu"].refusals.codes == {RefusalCode.POOL_EXHAUSTED: 1}


def test_the_log_may_be_out_of_order(ledger: Ledger) -> None:
    """Imported commands may be out of order: what occurred in the window counts, wherever it is in the log."""
    ledger.record(
        [
            OpenPool(pool="a", resource_type="a", limits=Limits(total=1), at=T0),
            OpenPool(pool="b", resource_type="b", limits=Limits(total=1), at=T0),
            Allocate(allocation_id="late", quantities={"a": 1}, owner="ann", at=T0 + seconds(100)),
            Allocate(allocation_id="early", quantities={"b": 1}, owner="ann", at=T0 + seconds(10)),
        ]
    )
    assert told(window(ledger, 1, 50)[1]) == [("Allocated", "b", 0, 1)]
    assert told(window(ledger, 50, 101)[1]) == [("Allocated", "a", 0, 1)]


def test_what_comes_meanwhile_is_left_out(ledger: Ledger) -> None:
    """Everything is true at one position: events recorded while the steps are read are left out."""
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
    incident = Incident(ledger.log, T0, T0 + seconds(10))
    ledger.allocate({"gpu": 1}, owner="ann")
    assert [step.kind for step in incident.steps()] == ["PoolOpened"]
    assert incident.position == 1


def test_progress_is_told(ledger: Ledger, clock: Clock) -> None:
    """Progress is reported while the log is read; only so many steps are kept as asked for."""
    tell(ledger, clock)
    said: list[tuple[int, int]] = []
    incident = Incident(ledger.log, T0, T0 + seconds(25))
    kept = incident.read(2, lambda done, total: said.append((done, total)))
    assert len(kept) == 2 < incident.count
    assert said[-1][1] == incident.position
    assert 0 < said[-1][0] <= incident.position


def test_an_empty_log(ledger: Ledger) -> None:
    """An empty ledger has no steps, even from the first moment of the calendar on."""
    incident, steps = replayed(ledger.log, datetime.min.replace(tzinfo=UTC), T0)
    assert (steps, incident.pools, incident.position) == ([], {}, 0)


def test_wrong_windows(ledger: Ledger) -> None:
    """A window that does not end after it begins is malformed; a pool that never existed is not found."""
    for end in (T0, T0 - seconds(1)):
        with pytest.raises(Malformed, match="to: expected a time after the window's beginning"):
            Incident(ledger.log, T0, end)
    with pytest.raises(NotFound, match="no pool 'gpu'"):
        Incident(ledger.log, T0, T0 + seconds(1), ["gpu"])


def test_refusals_of_a_pool_are_marked(ledger: Ledger, clock: Clock) -> None:
    """A pool with refusals only is eventful; its marks tell when they were, and where in the log."""
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
    clock.set(10)
    with pytest.raises(Refused):
        ledger.allocate({"gpu": 2}, owner="ann")
    incident, steps = window(ledger, 10, 20)
    (mark,) = incident.pools["gpu"].refusals
    assert (mark.first, mark.position, mark.count) == (T0 + seconds(10), 2, 1)
    assert incident.pools["gpu"].is_eventful
    assert told(steps) == [(REFUSED, "gpu", 0, 0)]
