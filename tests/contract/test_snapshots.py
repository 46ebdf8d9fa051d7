"""Snapshots: a pool loaded from one and the events since is the pool folded from its first event."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from eventsourcing.persistence import AggregateRecorder, StoredEvent
from eventsourcing.popo import POPOAggregateRecorder

from holdbook import Ledger, Limits, LogCorrupt, MemoryEventLog, Refused
from holdbook.domain.commands import Allocate, Release
from holdbook.domain.pool import Pool, evolve
from holdbook.infrastructure.log.snapshots import (
    SNAPSHOT_EVENTS_MIN,
    SQLSnapshots,
    is_due,
    load_pool,
    save_pool,
)
from support.logs import load_pool_at_head, take_snapshot

if TYPE_CHECKING:
    from support.logs import Clock, Log

TTL = timedelta(minutes=10)


@pytest.fixture
def recorder(log: Log) -> AggregateRecorder:
    """A recorder of snapshots in the store of the log."""
    return POPOAggregateRecorder() if isinstance(log, MemoryEventLog) else SQLSnapshots(log.database.changing)


@pytest.fixture
def busy(ledger: Ledger, clock: Clock) -> Ledger:
    """A ledger whose pools have holds of every kind: reserved, renewed, resized, transferred, tagged, endless."""
    for pool in ("gpu", "cpu"):
        limits = Limits(total=100, per_owner=60, max_size=50, overcommit="1.5")
        ledger.open_pool(pool, resource_type="thing", unit="device", limits=limits)
    for number in range(7):
        ttl = TTL * (7 - number) if number % 2 else None
        owner, tags = f"owner-{number % 3}", {"job": f"é{number}"} if number % 3 else {}
        ledger.allocate({"gpu": number + 1, "cpu": 1}, owner=owner, ttl=ttl, tags=tags, allocation_id=f"a{number}")
        clock.advance(seconds=1)
    ledger.reserve({"gpu": 2}, owner="r", ttl=TTL, allocation_id="reserved")
    ledger.renew("a1", ttl=TTL * 20)
    ledger.resize("a2", {"gpu": 9})
    ledger.transfer("a3", to="owner-9")
    ledger.release("a4")
    ledger.change_limits("gpu", Limits(total=90, default_ttl=timedelta(hours=5)))
    return ledger


def folded(log: Log, name: str) -> Pool:
    """Fold a pool from its first event, without any snapshot."""
    pool = None
    with log.reading() as reader:
        for recorded in reader.stream(f"pool:{name}"):
            pool = evolve(pool, recorded)
    assert pool is not None
    return pool


def loaded(log: Log, name: str) -> Pool | None:
    """Load a pool as the ledger does: from its snapshot, if there is one, and the events since."""
    with log.reading() as reader:
        return load_pool_at_head(reader, name)


def described(pool: Pool | None) -> dict[str, Any]:
    """Describe all that a pool is; of its heap, what it is there for: what falls due, and when."""
    assert pool is not None
    whole = {name: getattr(pool, name) for name in Pool.__slots__ if name != "deadlines"}
    moments = sorted(hold.deadline for hold in pool.holds.values() if hold.deadline)
    return {**whole, "holds": list(pool.holds.items()), "due": [pool.due(moment) for moment in moments]}


class TestLoading:
    """What comes back."""

    def test_a_snapshot_is_the_pool(self, busy: Ledger, log: Log) -> None:
        """A pool loaded from a snapshot alone is the fold of its events: holds, order, sums, limits, deadlines."""
        take_snapshot(log, "gpu")
        with log.reading() as reader:
            snapshot = reader.snapshot("gpu")
            assert reader.snapshot("cpu") is None
        assert described(snapshot) == described(folded(log, "gpu"))
        assert snapshot is not None
        assert snapshot.used == busy.pool("gpu").used

    def test_a_snapshot_and_the_events_since(self, busy: Ledger, log: Log, clock: Clock) -> None:
        """A pool loaded from a snapshot and what came after it is the fold of all its events, deadlines too."""
        take_snapshot(log, "gpu")
        busy.allocate({"gpu": 3}, owner="late", allocation_id="late", ttl=TTL)
        busy.renew("a5", ttl=TTL * 3)
        busy.confirm("reserved", ttl=TTL)
        clock.advance(minutes=11)
        busy.expire()
        assert described(loaded(log, "gpu")) == described(folded(log, "gpu"))

    def test_a_later_snapshot_takes_the_place_of_an_earlier_one(self, busy: Ledger, log: Log) -> None:
        """The latest snapshot is the one that is loaded, and may itself be made from the one before."""
        take_snapshot(log, "gpu")
        busy.release("a0")
        take_snapshot(log, "gpu")
        take_snapshot(log, "gpu")  # of the same version: what is there already is kept
        with log.reading() as reader:
            snapshot = reader.snapshot("gpu")
            assert snapshot is not None
            assert snapshot.version == reader.version("pool:gpu")
        assert described(snapshot) == described(folded(log, "gpu"))

    def test_a_closed_pool_stays_closed(self, busy: Ledger, log: Log, clock: Clock) -> None:
        """A ledger that starts from snapshots decides as one that does not: a closed pool refuses, a hold ends."""
        busy.close_pool("cpu")
        for pool in ("gpu", "cpu"):
            take_snapshot(log, pool)
        fresh = Ledger(log, clock=clock)
        with pytest.raises(Refused, match="pool_closed"):
            fresh.allocate({"cpu": 1}, owner="x")
        assert fresh.release("a0").quantities == {"gpu": 1, "cpu": 1}
        assert fresh.pools() == Ledger(log, clock=clock).pools() == busy.pools()

    @pytest.mark.usefixtures("busy")
    def test_no_such_pool(self, log: Log) -> None:
        """There is no snapshot of a pool that was never opened, and asking for one makes none."""
        take_snapshot(log, "none")
        assert loaded(log, "none") is None


class TestChunks:
    """Snapshots in pieces."""

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 1000])
    @pytest.mark.usefixtures("busy")
    def test_any_size(self, log: Log, recorder: AggregateRecorder, size: int) -> None:
        """A pool comes back whole, whatever the number of holds in a chunk."""
        pool = folded(log, "gpu")
        save_pool(recorder, pool, holds_per_chunk=size)
        chunks = recorder.select_events(f"holds:{pool.version}:gpu")
        assert len(chunks) == -(-len(pool.holds) // size)
        assert described(load_pool(recorder, "gpu")) == described(pool)

    @pytest.mark.usefixtures("busy")
    def test_half_a_snapshot_is_not_seen(self, log: Log, recorder: AggregateRecorder) -> None:
        """Chunks without their header, as a crash leaves them, are not a snapshot; the next one uses them."""
        pool = folded(log, "gpu")
        other = POPOAggregateRecorder()
        save_pool(other, pool, holds_per_chunk=3)
        recorder.insert_events(other.select_events(f"holds:{pool.version}:gpu")[:2])
        assert load_pool(recorder, "gpu") is None
        save_pool(recorder, pool, holds_per_chunk=3)
        assert described(load_pool(recorder, "gpu")) == described(pool)

    @pytest.mark.usefixtures("busy")
    def test_a_header_without_its_chunks_is_an_error(self, log: Log, recorder: AggregateRecorder) -> None:
        """A snapshot that lost a chunk is not taken for the pool."""
        pool = folded(log, "gpu")
        other = POPOAggregateRecorder()
        save_pool(other, pool, holds_per_chunk=3)
        recorder.insert_events(other.select_events("pool:gpu"))
        with pytest.raises(LogCorrupt, match=f"pool 'gpu' at version {pool.version} lacks some of its holds"):
            load_pool(recorder, "gpu")

    @pytest.mark.usefixtures("busy")
    def test_a_snapshot_of_another_format_is_passed_over(self, log: Log, recorder: AggregateRecorder) -> None:
        """A snapshot in a format that is not known is not used: the pool is folded from its first event."""
        version = folded(log, "gpu").version
        recorder.insert_events([StoredEvent("pool:gpu", version, "PoolSnapshot9", b'{"holds":0}')])
        assert load_pool(recorder, "gpu") is None


class TestDue:
    """When a pool is worth a snapshot."""

    def test_after_so_many_events(self, busy: Ledger, log: Log, recorder: AggregateRecorder) -> None:
        """A pool is due when it has had that many events since its last snapshot, and not before."""
        with log.reading() as reader:
            events = reader.version("pool:gpu")
            assert is_due(recorder, reader, "gpu", events_min=events)
            assert not is_due(recorder, reader, "gpu", events_min=events + 1)
        save_pool(recorder, folded(log, "gpu"))
        for _ in range(7):
            busy.release(busy.allocate({"gpu": 1}, owner="x").id)
        with log.reading() as reader:
            assert is_due(recorder, reader, "gpu", events_min=14)
            assert not is_due(recorder, reader, "gpu", events_min=15)

    def test_after_as_many_events_as_it_has_holds(self, busy: Ledger, log: Log, recorder: AggregateRecorder) -> None:
        """A pool whose snapshot is large waits for as many events as the snapshot has holds."""
        pool = folded(log, "gpu")
        save_pool(recorder, pool)
        busy.reserve({"gpu": 1}, owner="x", ttl=TTL, allocation_id="more")
        for number in range(len(pool.holds) - 2):
            busy.renew("more", ttl=TTL * (number + 2))
        with log.reading() as reader:
            assert reader.version("pool:gpu") - pool.version == len(pool.holds) - 1
            assert not is_due(recorder, reader, "gpu", events_min=1)
        busy.renew("more", ttl=TTL)
        with log.reading() as reader:
            assert is_due(recorder, reader, "gpu", events_min=1)

    def test_the_ledger_makes_them_by_itself(self, ledger: Ledger, log: Log) -> None:
        """After thousands of events the ledger has saved the pool, off the commit path, and not before."""
        ledger.open_pool("gpu", resource_type="thing", limits=Limits(total=500))
        log.snapshot_if_due("gpu", lambda: folded(log, "gpu"))
        with log.reading() as reader:
            assert reader.snapshot("gpu") is None
        for start in range(0, SNAPSHOT_EVENTS_MIN // 2, 500):
            ids = [f"a{number}" for number in range(start, start + 500)]
            ledger.record([Allocate(quantities={"gpu": 1}, owner="x", allocation_id=one) for one in ids])
            ledger.record([Release(allocation_id=one) for one in ids])
        ledger.close()  # waits for what is being saved
        with log.reading() as reader:
            snapshot = reader.snapshot("gpu")
        assert described(snapshot) == described(folded(log, "gpu"))
