"""The cost of an allocate in a pool with very many open allocations, and the memory that each of them takes.

Each pool lives in a process of its own, so that its memory can be told, and the collector of garbage that walks over a
million holds slows nobody else.
"""

from __future__ import annotations

import multiprocessing
import re
from array import array
from contextlib import ExitStack, closing, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Final

import psutil

from benchmarks.case import Case, key
from benchmarks.measure import PATIENCE_SECONDS, Sample, Span, Window
from holdbook import Allocate, Ledger, Limits, Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.connection import Connection

    from benchmarks.places import Place
    from benchmarks.plan import Plan

SYSTEM: Final = "Holdbook"
FEW: Final = "an allocate beside few"
MANY: Final = "an allocate beside very many"
FEW_COUNT: Final = 1_000
MEMORY: Final = "memory"

BATCH: Final = 500
_POOL: Final = "gpu"
_PREPARE_SECONDS_MAX: Final = 1800.0


class Crowd:
    """A process with a ledger whose pool has open allocations."""

    def __init__(self, url: str | None, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.count = count
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(url, count, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._bytes = 0.0
        self._failure: RuntimeError | None = None

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Wait until it is prepared, telling how many allocations there are so far; a failure is raised later."""
        try:
            while isinstance(found := self._receive(_PREPARE_SECONDS_MAX), int):
                progress(found, self.count)
            self._bytes = float(str(found))
        except RuntimeError as error:
            self._failure = error

    def measure(self, span: Span) -> Sample:
        """Measure one round of one client."""
        if self._failure:
            raise self._failure
        self._ours.send(span)
        window = self._receive(span.seconds + PATIENCE_SECONDS)
        if not isinstance(window, Window):
            message = f"expected a window, not {window!r}"
            raise TypeError(message)
        each = self._bytes / self.count
        return Sample.of([window], open_allocations=self.count, bytes_per_allocation=each)

    def close(self) -> None:
        """End the process."""
        self._ours.close()
        self._process.join(PATIENCE_SECONDS)

    def _receive(self, seconds: float) -> object:
        if not self._ours.poll(seconds):
            message = "the process with the crowded pool gives no answer"
            raise RuntimeError(message)
        try:
            found: object = self._ours.recv()
        except EOFError:
            message = "the process with the crowded pool has ended"
            raise RuntimeError(message) from None
        if isinstance(found, Exception):
            raise found
        return found


def _serve(url: str | None, count: int, theirs: Connection) -> None:
    """Be the process: prepare, then answer each span with a window."""
    try:
        with Ledger.open(url) if url else Ledger.in_memory() as ledger:
            ledger.open_pool(_POOL, resource_type="gpu", limits=Limits(total=10 * count))
            before = psutil.Process().memory_info().rss
            for done in range(0, count, BATCH):
                size = min(BATCH, count - done)
                ledger.record([Allocate(quantities={_POOL: 1}, owner=f"owner-{done}") for _ in range(size)])
                theirs.send(done + size)
            theirs.send(float(psutil.Process().memory_info().rss - before))
            while True:
                theirs.send(_measure(ledger, theirs.recv()))
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - raised again by the process that asked
        theirs.send(RuntimeError(repr(error)))


def _measure(ledger: Ledger, span: Span) -> Window:
    """Allocate and release for a while; only the allocates count."""
    took = array("d")
    start = perf_counter() + span.warm_up
    while (begun := perf_counter()) < start + span.seconds or not took:
        outcome = ledger.execute(Allocate(quantities={_POOL: 1}, owner="one-more"))
        ended = perf_counter()
        if begun >= start:
            took.append(ended - begun)
        if outcome.allocation:
            ledger.execute(Release(allocation_id=outcome.allocation.id))
    return Window(sum(took), took)


@contextmanager
def prepared(places: Mapping[str, Place], plan: Plan, progress: Callable[[int, int], None]) -> Iterator[list[Case]]:
    """Fill the pools, all at once, telling how far that is; then give the cases. In memory, and on SQLite."""
    counts = {FEW: FEW_COUNT, MANY: plan.crowd}
    with ExitStack() as stack:
        crowds: dict[tuple[str, str], Crowd] = {}
        for work, count in counts.items():
            urls: dict[str, str | None] = {MEMORY: None}
            if place := places.get("sqlite"):
                urls[place.name] = stack.enter_context(place.fresh())
            for database, url in urls.items():
                if plan.crowd and re.search(plan.only, _key(database, work), re.IGNORECASE):
                    crowds[database, work] = stack.enter_context(closing(Crowd(url, count)))
        for crowd in crowds.values():
            crowd.prepare(progress)
        yield [
            Case(system=SYSTEM, database=database, work=work, callers="threads", clients=1, run=crowd.measure)
            for (database, work), crowd in crowds.items()
        ]


def _key(database: str, work: str) -> str:
    return key(SYSTEM, database, work, "threads", 1)
