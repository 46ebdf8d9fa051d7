"""The manager at work: real memory allocated and released in tasks of asyncio, beside a bare semaphore."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from benchmarks.case import Case
from benchmarks.measure import Sample, Span, in_tasks
from holdbook import Ledger, MemoryResourceProvider, UnifiedResourceManager

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from benchmarks.places import Place
    from benchmarks.plan import Plan

    Step = Callable[[], Awaitable[float]]
    """One client's pair of operations; tells how long, in seconds, the one that is measured took."""

SYSTEM: Final = "Holdbook"
MEMORY: Final = "memory"
SEMAPHORE: Final = "asyncio.Semaphore"
NOWHERE: Final = "none"
ALLOCATE: Final = "manager: allocate"
RELEASE: Final = "manager: release"
BASELINES: Final = {ALLOCATE: "manager's baseline: acquire", RELEASE: "manager's baseline: release"}
"""What the semaphore does for each work of the manager."""

CLIENTS: Final = (1, 32)
SIZE: Final = 4096
TOTAL: Final = 2**30

SEED_MS: Final = {ALLOCATE: 50.0, RELEASE: 20.0}
"""What the original requirement allows, in milliseconds."""


def managed(manager: UnifiedResourceManager, work: str) -> Step:
    """Make a client of a manager."""

    async def step() -> float:
        begun = perf_counter()
        resource = await manager.allocate("memory", size=SIZE)
        had = perf_counter()
        await manager.release(resource.id)
        return had - begun if work == ALLOCATE else perf_counter() - had

    return step


def bare(semaphore: asyncio.Semaphore, work: str) -> Step:
    """Make a client of a semaphore at which nobody has to wait."""

    async def step() -> float:
        begun = perf_counter()
        await semaphore.acquire()
        had = perf_counter()
        semaphore.release()
        released = perf_counter()
        await asyncio.sleep(0)  # nothing of this lets the others run
        return had - begun if work == ALLOCATE else released - had

    return step


def measure(ledger: Ledger, work: str, clients: int, span: Span) -> Sample:
    """Measure the clients of one manager; whatever is held at the end is a failure."""
    manager = UnifiedResourceManager(ledger)
    manager.register_provider("memory", MemoryResourceProvider({"total": TOTAL}))
    sample = Sample.of([in_tasks([managed(manager, work)] * clients, span)], managed=1.0)
    if left := ledger.pool("memory").used:
        message = f"{left} bytes are held at the end"
        raise RuntimeError(message)
    return sample


def run(place: Place, work: str, clients: int, span: Span) -> Sample:
    """Measure one round in a fresh database."""
    with place.fresh() as url, Ledger.open(url) as ledger:
        return measure(ledger, work, clients, span)


def run_in_memory(work: str, clients: int, span: Span) -> Sample:
    """Measure one round with a ledger in memory."""
    with Ledger.in_memory() as ledger:
        return measure(ledger, work, clients, span)


def run_semaphore(work: str, clients: int, span: Span) -> Sample:
    """Measure one round of the baseline."""
    semaphore = asyncio.Semaphore(max(CLIENTS))
    return Sample.of([in_tasks([bare(semaphore, work)] * clients, span)], managed=1.0)


def cases(place: Place, _: Plan) -> Iterator[Case]:
    """List the cases on one database."""
    for work in SEED_MS:
        for clients in CLIENTS:
            yield _case(SYSTEM, place.name, work, clients, partial(run, place, work, clients))


def cases_in_memory() -> Iterator[Case]:
    """List the cases without a database, and the baseline."""
    for work in SEED_MS:
        for clients in CLIENTS:
            yield _case(SYSTEM, MEMORY, work, clients, partial(run_in_memory, work, clients))
            yield _case(SEMAPHORE, NOWHERE, BASELINES[work], clients, partial(run_semaphore, work, clients))


def _case(system: str, database: str, work: str, clients: int, run_: Any) -> Case:  # noqa: ANN401 - a partial
    return Case(system=system, database=database, work=work, callers="asyncio", clients=clients, run=run_)
