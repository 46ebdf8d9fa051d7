"""Baseline: the stock application of the `eventsourcing` library, with its own modules for both databases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError, OperationalError
from sqlalchemy.engine import make_url
from uuid_utils import uuid7

from benchmarks.case import Case, NotAvailable, for_clients
from benchmarks.measure import Sample, Span, in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.places import Place
    from benchmarks.plan import Plan

SYSTEM: Final = "eventsourcing"
WORK: Final = "one hot pool"

_TOTAL: Final = 1_000_000
_LOCK_SECONDS: Final = 60
_FULL: Final = 2
"""SQLite's number for `PRAGMA synchronous = FULL`."""


class Pool(Aggregate):
    """A pool as one would write it with the library."""

    @event("Opened")
    def __init__(self, total: int) -> None:
        self.free = total
        self.holds: dict[str, tuple[str, int]] = {}

    def allocate(self, allocation_id: str, owner: str, quantity: int) -> None:
        """Hold a quantity."""
        if quantity > self.free:
            message = f"only {self.free} are free"
            raise ValueError(message)
        self._allocated(allocation_id, owner, quantity)

    @event("Allocated")
    def _allocated(self, allocation_id: str, owner: str, quantity: int) -> None:
        self.free -= quantity
        self.holds[allocation_id] = (owner, quantity)

    def release(self, allocation_id: str) -> None:
        """Give a hold back."""
        if allocation_id not in self.holds:
            message = f"nothing is held as {allocation_id}"
            raise ValueError(message)
        self._released(allocation_id)

    @event("Released")
    def _released(self, allocation_id: str) -> None:
        _, quantity = self.holds.pop(allocation_id)
        self.free += quantity


class Pools(Application[UUID]):
    """The stock application; what loses a race is tried again until it wins."""

    def open(self, total: int) -> UUID:
        """Open a pool."""
        pool = Pool(total=total)
        self.save(pool)
        return pool.id

    def change(self, pool_id: UUID, change: Callable[[Pool], None]) -> None:
        """Change a pool, again and again until nobody else was faster."""
        while True:
            try:
                pool: Pool = self.repository.get(pool_id)
                change(pool)
                self.save(pool)
            except (IntegrityError, OperationalError):
                continue
            return


class Client:
    """Allocates one unit, then releases it, and so on."""

    def __init__(self, pools: Pools, pool_id: UUID, owner: str) -> None:
        self._pools, self._pool_id, self._owner = pools, pool_id, owner
        self._held: str | None = None

    def step(self) -> None:
        """Run one command."""
        if self._held is None:
            held = str(uuid7())
            self._pools.change(self._pool_id, lambda pool: pool.allocate(held, self._owner, 1))
            self._held = held
        else:
            held = self._held
            self._pools.change(self._pool_id, lambda pool: pool.release(held))
            self._held = None


def environment(url: str, clients: int) -> dict[str, str]:
    """Configure the library at its best here: a cache that is brought up to date, a connection for each client."""
    address = make_url(url)
    cache = {"AGGREGATE_CACHE_MAXSIZE": "100", "AGGREGATE_CACHE_FASTFORWARD": "yes"}
    if address.get_backend_name() == "sqlite":
        return {
            **cache,
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(address.database),
            "SQLITE_LOCK_TIMEOUT": str(_LOCK_SECONDS),
        }
    return {
        **cache,
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(address.database),
        "POSTGRES_HOST": str(address.host),
        "POSTGRES_PORT": str(address.port),
        "POSTGRES_USER": str(address.username),
        "POSTGRES_PASSWORD": address.password or "none",
        "POSTGRES_POOL_SIZE": str(clients),
        "POSTGRES_MAX_OVERFLOW": "8",
        "POSTGRES_LOCK_TIMEOUT": str(_LOCK_SECONDS),
    }


def require_full_sync(url: str) -> None:
    """Stop unless SQLite's own default waits for the disk: the library cannot be told to."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        if connection.execute("PRAGMA synchronous").fetchone()[0] < _FULL:
            message = "the default of SQLite on this machine is not to wait for the disk"
            raise NotAvailable(message)


def run(place: Place, clients: int, span: Span) -> Sample:
    """Measure one round of so many clients, each in a thread of its own, of one application."""
    with place.fresh(with_ledger=False) as url, closing(Pools(env=environment(url, clients))) as pools:
        if place.name == "sqlite":
            require_full_sync(url)
        pool_id = pools.open(_TOTAL)
        callers = [Client(pools, pool_id, f"owner-{number}") for number in range(clients)]
        return Sample.of([in_threads([caller.step for caller in callers], span)])


def cases(place: Place, plan: Plan) -> Iterator[Case]:
    """List the cases on one database."""
    return for_clients(
        system=SYSTEM, database=place.name, work=WORK, clients=plan.baseline_clients, run=partial(run, place)
    )
