"""A program that holds real things is killed: after a restart nothing is held that has no holder, and history tells."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from holdbook import Ledger, Reconciliation
from holdbook.replay.verification.verifier import verify
from support.holding import LEASE, OPTIONS, Place, Service, hold_everything
from support.machine import bound, free_ports
from support.processes import running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.crash

MADE = len(OPTIONS) + 1
"""How many things each service has or is making."""


def backends(database: str) -> int:
    """Count the connections that services have, as the server sees them."""
    question = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'held by %'"
    with create_engine(database, poolclass=NullPool).connect() as connection:
        return int(connection.execute(text(question)).scalar_one())


def story(ledger: Ledger, right: str) -> list[str]:
    """Say what happened to a right: the events, and the reason of the last one if it has one."""
    events = [recorded.event for recorded in ledger.history(right)]
    reason = getattr(events[-1], "reason", None)
    return [*(type(event).__name__ for event in events), *([] if reason is None else [reason])]


def reconciled(ledger: Ledger, name: str, place: Place) -> Reconciliation:
    """Start a service again, and have it reconcile."""
    service = Service(ledger, name, place)
    found = asyncio.run(service.manager.reconcile())
    service.engine.dispose()
    return found


def test_kill_9(database_url: str, postgres_url: str, tmp_path: Path) -> None:
    """One service starts again at once, one after the deadlines: each time, all that nobody can use any more goes."""
    root, ports = tmp_path / "scratch", free_ports(4)
    place = Place(postgres_url, str(root), ports)
    with running(hold_everything, [(database_url, ("worker-3", "worker-5"), place)]) as [peer]:
        rights = peer.receive()
        assert (backends(postgres_url), bound(ports), len(list(root.glob("right-*")))) == (2, 2, 4)
        peer.kill()
    while backends(postgres_url):  # the server notices that its client is gone
        pass
    assert (bound(ports), len(list(root.glob("right-*")))) == (0, 4)
    with Ledger.open(database_url) as ledger:
        assert len(ledger.allocations()) == 2 * MADE
        found = reconciled(ledger, "worker-3", place)
        ended = [rights["worker-3"][kind] for kind in ("memory", "port", "db")]
        assert found == Reconciliation(reclaimed=(), ended=tuple(ended), failed=())
        kinds = {"memory": "MemoryResourceProvider", "port": "PortResourceProvider", "db": "ConnectionResourceProvider"}
        for kind, provider in kinds.items():
            reason = f"reconciled: {provider} does not have it"
            assert story(ledger, rights["worker-3"][kind]) == ["Reserved", "Confirmed", "Released", reason]
        assert {one.tags["manager"] for one in ledger.allocations(pool="port")} == {"worker-5"}
        assert len(list(root.glob("right-*"))) == 4  # their time is not over: a directory can outlive its process
    with Ledger.open(database_url, clock=lambda: datetime.now(UTC) + LEASE + timedelta(minutes=1)) as ledger:
        found = reconciled(ledger, "worker-5", place)
        directories = {service[kind] for service in rights.values() for kind in ("scratch", "being made")}
        assert found == Reconciliation(reclaimed=tuple(sorted(directories)), ended=(), failed=())
        assert ledger.allocations() == []
        assert [pool.used for pool in ledger.pools()] == [0] * len(OPTIONS)
        reclaimed = ["Expired", "Reclaimed", "reconciled: Directories still had it"]
        assert story(ledger, rights["worker-5"]["scratch"]) == ["Reserved", "Confirmed", *reclaimed]
        assert story(ledger, rights["worker-5"]["being made"]) == ["Reserved", *reclaimed]
        assert ledger.allocation(rights["worker-5"]["memory"]).state == "expired"
        assert verify(ledger.log).ok
    assert (backends(postgres_url), bound(ports), list(root.glob("right-*"))) == (0, 0, [])
