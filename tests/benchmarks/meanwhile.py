"""What a client waits while views are rebuilt, and while they are not. The rebuild runs in a process of its own."""

from __future__ import annotations

import multiprocessing
from array import array
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.case import Case
from benchmarks.holdbook_cases import SYSTEM, Holder, thread_step
from benchmarks.measure import PATIENCE_SECONDS, Sample, Span, Window, settle
from benchmarks.rebuild import rebuild
from holdbook import Ledger
from holdbook.projections.views.catalogue import VIEWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from benchmarks.places import Place
    from benchmarks.plan import Plan
    from benchmarks.rebuild import Histories

WITHOUT: Final = "one hot pool, no rebuild"
DURING: Final = "one hot pool, during a rebuild of all five views"

_REBUILD_SECONDS_MAX: Final = 1800.0

_LONGER: Final = 4
"""A window is so many times as long as others: of one client's operations, few are beyond the 99th percentile."""


@contextmanager
def _other_process(url: str) -> Iterator[Connection]:
    """Start a process that rebuilds all views when told, and answers when it is done."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(url, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(PATIENCE_SECONDS)
        process.kill()


def _serve(url: str, theirs: Connection) -> None:
    settle()
    try:
        theirs.send("ready")
        theirs.recv()
        theirs.send(rebuild(url, VIEWS))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:  # noqa: BLE001 - raised again by the process that asked
        theirs.send(RuntimeError(repr(error)))


def run_without(histories: Histories, place: Place, span: Span) -> Sample:
    """Measure one round of one client, while nothing else goes on."""
    with histories.copy(place) as url, Ledger.open(url) as ledger:
        step = _warm(ledger, span)
        end = perf_counter() + _LONGER * span.seconds
        return _sample(_repeat(step, lambda: perf_counter() >= end), rebuilding=0)


def run_during(histories: Histories, place: Place, span: Span) -> Sample:
    """Measure one round of one client, from the beginning of a rebuild to its end, as long as that takes."""
    with histories.copy(place) as url, _other_process(url) as other, Ledger.open(url) as ledger:
        step = _warm(ledger, span)
        _receive(other)
        end = perf_counter() + _REBUILD_SECONDS_MAX
        other.send("go")
        window = _repeat(step, lambda: other.poll() or perf_counter() >= end)
        _receive(other)
        return _sample(window, rebuilding=1)


def _receive(other: Connection) -> object:
    if not other.poll(PATIENCE_SECONDS):
        message = "the process that rebuilds gives no answer"
        raise RuntimeError(message)
    try:
        found: object = other.recv()
    except EOFError:
        message = "the process that rebuilds has ended"
        raise RuntimeError(message) from None
    if isinstance(found, Exception):
        raise found
    return found


def _warm(ledger: Ledger, span: Span) -> Callable[[], None]:
    """Make a client, and let it run until it is warm."""
    step = thread_step(ledger, Holder(("pool-0",), "writer"))
    end = perf_counter() + span.warm_up
    _repeat(step, lambda: perf_counter() >= end)
    return step


def _repeat(step: Callable[[], None], is_over: Callable[[], bool]) -> Window:
    """Run a client's operation until something is over, at least twice."""
    took = array("d")
    begun = perf_counter()
    while len(took) < 2 or not is_over():
        before = perf_counter()
        step()
        took.append(perf_counter() - before)
    return Window(perf_counter() - begun, took)


def _sample(window: Window, *, rebuilding: int) -> Sample:
    return Sample.of([window], rebuilding=rebuilding, longest_ms=max(window.latencies) * 1000)


def cases(place: Place, _: Plan, histories: Histories) -> Iterator[Case]:
    """List the cases on one database."""
    for work, run in ((WITHOUT, run_without), (DURING, run_during)):
        yield Case(
            system=SYSTEM,
            database=place.name,
            work=work,
            callers="threads",
            clients=1,
            run=partial(run, histories, place),
        )
