"""Every reader of the log shows what was reclaimed, and no pool or hold changes with it."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import AllocationState, EventFilter, Ledger, Limits, Reclaim
from holdbook.domain.events import Reclaimed
from holdbook.infrastructure.interchange.workload import read_lines, run_workload
from holdbook.replay.history.as_of import allocations_as_of, state_at
from holdbook.replay.reports.incident import Incident, Level
from holdbook.replay.reports.usage import Grouping, usage_report
from holdbook.replay.simulation.what_if import what_if
from holdbook.replay.verification.raw_log import RowsInMemory
from holdbook.replay.verification.verifier import verify
from support.story import T0, Clock, seconds
from support.tampering import rechained, rewritten

if TYPE_CHECKING:
    from collections.abc import Iterator

LAST = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in which things were reclaimed of rights that were released, had lapsed, and were never granted."""
    clock = Clock()
    with Ledger.in_memory(clock=clock, actor="worker-3") as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))  # position 1
        for allocation_id in ("gone", "open", "lapsing"):  # 2, 3, 4
            ttl = seconds(30) if allocation_id == "lapsing" else None
            ledger.allocate({"gpu": 2}, owner="ann", allocation_id=allocation_id, ttl=ttl)
        clock.set(10)
        ledger.release("gone")  # 5
        ledger.reclaim("gpu", "gone", reason="still there")  # 6
        ledger.reclaim("gpu", "never")  # 7
        clock.set(40)
        ledger.reclaim("gpu", "lapsing")  # 8 the expiry, 9
        yield ledger


def test_a_repeat_is_recorded_once(ledger: Ledger) -> None:
    """A command of the same id says where it was recorded, and that it was; it describes no allocation."""
    command = Reclaim(pool="gpu", allocation_id="gone", command_id="c")
    first, second = ledger.execute(command), ledger.execute(command)
    assert (first.repeated, second.repeated) == (False, True)
    assert first.position == second.position == 10
    assert first.allocation is second.allocation is None


def test_a_workload_with_reclaims(ledger: Ledger) -> None:
    """An import takes the verb; the same line, imported again, is a repeat, and a right that is open a refusal."""
    lines = (
        b'{"at":"2026-01-01T00:01:00Z","command":"reclaim","pool":"gpu","allocation_id":"gone"}\n'
        b'{"at":"2026-01-01T00:01:00Z","command":"reclaim","pool":"gpu","allocation_id":"open","reason":"dead"}\n'
    )
    first, again = (run_workload(ledger, read_lines(BytesIO(lines), "day"), "day") for _ in range(2))
    assert (first.events, first.refused, first.repeated) == (2, 1, 0)
    assert (again.events, again.repeated) == (0, 2)


def test_the_pool_is_as_it_was(ledger: Ledger) -> None:
    """Nothing more is held and nothing less; the pool's own stream and the holds have none of it."""
    assert (ledger.pool("gpu").used, ledger.pool("gpu").allocations) == (2, 1)
    with ledger.log.reading() as reader:
        assert [type(one.event).__name__ for one in reader.stream("reclaims:gpu", 0)] == ["Reclaimed"] * 3
        assert len(list(reader.stream("pool:gpu", 0))) == 6
    assert ledger.allocation("gone").state is AllocationState.RELEASED
    assert ledger.allocation("lapsing").state is AllocationState.EXPIRED


def test_as_of_and_usage(ledger: Ledger) -> None:
    """What was held as of a moment, and usage, are as if nobody had reclaimed anything."""
    assert {one.id for one in allocations_as_of(ledger.log, LAST)} == {"gone", "open", "lapsing"}
    assert state_at(ledger.log, LAST).pools["gpu"].used == 2
    [row] = usage_report(ledger.log, Grouping("owner"), end=T0 + seconds(40)).rows
    assert (row.unit_seconds, row.allocations, row.refused) == ("160", 3, 0)


def test_the_story_of_what_was_reclaimed(ledger: Ledger) -> None:
    """It is found by its right and by its pool, with the reason; the right is as it was before."""
    [never] = ledger.find(EventFilter(allocation="never"))
    assert (never.command, never.before, never.after, never.changes) == ("reclaim", None, None, {})
    gone = ledger.find(EventFilter(allocation="gone"))[-1]
    assert (gone.reason, gone.changes) == ("still there", {})
    assert gone.before == gone.after == ledger.allocation("gone")
    found = ledger.find(EventFilter(pools=frozenset({"gpu"})))
    assert sum(isinstance(one.recorded.event, Reclaimed) for one in found) == 3


def test_an_incident_with_reclaims(ledger: Ledger) -> None:
    """It is a step like any other, with the pool as it stands; the plots have nothing of it."""
    incident = Incident(ledger.log, T0, T0 + seconds(60))
    steps = [one for one in incident.steps() if one.kind == "Reclaimed"]
    assert [(one.allocation_id, one.quantity, one.words) for one in steps] == [
        ("gone", None, "still there"),
        ("never", None, ""),
        ("lapsing", None, ""),
    ]
    assert [(one.before, one.after) for one in steps] == [
        (Level(4, 8, 2), Level(4, 8, 2)),
        (Level(4, 8, 2), Level(4, 8, 2)),
        (Level(2, 8, 1), Level(2, 8, 1)),
    ]
    assert "Reclaimed" not in incident.pools["gpu"].events


def test_other_limits(ledger: Ledger) -> None:
    """A what-if decides a reclaim as it was, also under limits by which its allocation is never granted."""
    assert what_if(ledger.log, {}).ok
    found = what_if(ledger.log, {"gpu": {"total": 0}})
    assert found.ok
    assert {flip.command.verb for flip in found.flips} == {"allocate", "release"}


# Verification


def forged(ledger: Ledger, position: int, *, stream_id: str | None = None, **fields: Any) -> list[str]:  # noqa: ANN401 - fields by name
    """Verify a log in which a reclaim was forged, in its event and its command; say what was found there."""
    rows = ledger.log.rows()
    command = {name: value for name, value in fields.items() if name != "state"}
    row = rewritten(rows[position - 1], fields, command)
    row = row._replace(allocation_id=fields.get("allocation_id", row.allocation_id))
    rows[position - 1] = row._replace(stream_id=stream_id or row.stream_id)
    log = ledger.log
    report = verify(log, stored=RowsInMemory(rechained(rows, log.ledger_id), log.ledger_id, 1))
    return [f"{finding.position} {finding.check}: {finding.message}" for finding in report.findings]


def test_a_log_with_reclaims_is_sound(ledger: Ledger) -> None:
    """Nothing is found in a log as it was written."""
    assert verify(ledger.log).findings == ()


def test_a_reclaim_of_what_is_open(ledger: Ledger) -> None:
    """Verification finds a reclaim for an allocation that is open."""
    found = forged(ledger, 6, allocation_id="open")
    assert found == ["6 allocations: what allocation 'open' holds is reclaimed, and it is open"]


@pytest.mark.parametrize(
    ("position", "state", "said"),
    [
        (6, None, "state is None; allocation 'gone' was granted before"),
        (7, "expired", "state is 'expired'; allocation 'never' was never granted before"),
    ],
)
def test_a_reclaim_of_another_past(ledger: Ledger, position: int, state: str | None, said: str) -> None:
    """Verification finds a reclaim whose state contradicts whether the allocation was ever granted."""
    assert forged(ledger, position, state=state) == [f"{position} allocations: {said}"]


def test_a_reclaim_in_a_pool_that_was_never_opened(ledger: Ledger) -> None:
    """Verification finds a reclaim in a pool that was never opened."""
    found = forged(ledger, 7, pool="cpu", stream_id="reclaims:cpu")
    assert "7 pools: Reclaimed in pool 'cpu', which was never opened" in found


def test_a_reclaim_that_its_command_does_not_lead_to(ledger: Ledger) -> None:
    """Verification finds a reclaim whose reason is not that of its command."""
    rows = ledger.log.rows()
    rows[5] = rewritten(rows[5], {"reason": "no"}, {})
    log = ledger.log
    report = verify(log, stored=RowsInMemory(rechained(rows, log.ledger_id), log.ledger_id, 1))
    [finding] = report.findings
    assert finding.message == "reason is 'no'; by its command it is 'still there'"
