"""Closed-loop clients: each waits for its answer before it asks again. What they did in a window of time is a sample.

An operation is one command: an allocate or a release. Its latency is what its client waited, the making of the command
included.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from array import array
from dataclasses import dataclass, field
from itertools import chain
from math import ceil
from time import perf_counter
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

PATIENCE_SECONDS: Final = 60.0
"""How long to wait for a first operation, or for the last client to come back, before the case has failed."""

_POLL_SECONDS: Final = 0.01


class Stuck(RuntimeError):
    """The clients did not come to an end: one of them waits for an answer that does not come."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def settle() -> None:
    """Take what is there already out of the sight of Python's collector, as a service does after its start.

    Else each full collection walks through all that was imported, some 300,000 objects, in the midst of a measurement.
    """
    gc.collect()
    gc.freeze()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How long to measure."""

    warm_up: float
    """Seconds that the clients run before anything counts."""
    seconds: float
    """Seconds that count; longer if there were too few operations."""
    operations_min: int = 1
    """How many operations there must be in a window."""


@dataclass(frozen=True, slots=True)
class Window:
    """What one process's clients did from one moment to another."""

    seconds: float
    latencies: array[float]
    """In seconds, of each operation that ended in the window."""


class Sample(BaseModel):
    """One round of one case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operations: int
    seconds: float
    per_second: float
    p50_ms: float
    p99_ms: float
    mean_ms: float
    extra: dict[str, float] = {}
    """What only this kind of case has: a process's share, bytes, grants."""

    @classmethod
    def of(cls, windows: Sequence[Window], operations_each: int = 1, /, **extra: float) -> Sample:
        """Sum up what several processes did at the same time; each answer may be to a batch of operations."""
        latencies = sorted(chain.from_iterable(window.latencies for window in windows))
        rates = [len(window.latencies) * operations_each / window.seconds for window in windows]
        return cls(
            operations=len(latencies) * operations_each,
            seconds=max(window.seconds for window in windows),
            per_second=sum(rates),
            p50_ms=percentile(latencies, 0.50) * 1000,
            p99_ms=percentile(latencies, 0.99) * 1000,
            mean_ms=sum(latencies) / len(latencies) * 1000,
            extra=extra,
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Give the smallest value that this share of the values does not pass."""
    return ordered[max(ceil(share * len(ordered)) - 1, 0)]


@dataclass(slots=True)
class _Log:
    """What one client did: when each operation ended, and how long it took."""

    ended: array[float] = field(default_factory=lambda: array("d"))
    took: array[float] = field(default_factory=lambda: array("d"))

    def add(self, begun: float, took: float | None = None) -> None:
        now = perf_counter()
        self.took.append(
            now - begun if took is None else took
        )  # first, so that the clock that counts operations never runs ahead
        self.ended.append(now)


def _count(logs: Iterable[_Log]) -> int:
    return sum(len(log.ended) for log in logs)


def _window(logs: Iterable[_Log], begun: float, ended: float) -> Window:
    inside = (
        took
        for log in logs
        for end, took in zip(log.ended, log.took, strict=False)  # a client may be writing just now
        if begun < end <= ended
    )
    return Window(ended - begun, array("d", inside))


def in_threads(steps: Sequence[Callable[[], object]], span: Span) -> Window:
    """Let each step be one client's operation, repeated in a thread of its own."""
    logs = [_Log() for _ in steps]
    stop = threading.Event()
    failures: list[BaseException] = []

    def client(step: Callable[[], object], log: _Log) -> None:
        try:
            while not stop.is_set():
                begun = perf_counter()
                step()
                log.add(begun)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that measures
            failures.append(error)
            stop.set()

    threads = [threading.Thread(target=client, args=pair, daemon=True) for pair in zip(steps, logs, strict=True)]
    for thread in threads:
        thread.start()
    stop.wait(span.warm_up)
    begun, before = perf_counter(), _count(logs)
    while not stop.wait(max(begun + span.seconds - perf_counter(), _POLL_SECONDS)):
        over = perf_counter() - begun
        if over > span.seconds + PATIENCE_SECONDS or (
            over >= span.seconds and _count(logs) >= before + span.operations_min
        ):
            break
    ended = perf_counter()
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    if failures:
        raise failures[0]
    if _count(logs) < before + span.operations_min or any(thread.is_alive() for thread in threads):
        raise Stuck
    return _window(logs, begun, ended)


def in_tasks(steps: Sequence[Callable[[], Awaitable[float | None]]], span: Span) -> Window:
    """Let each step be one client's operation, repeated in an asyncio task of its own, all in one event loop.

    A step that measures only a part of what it does gives the seconds that took.
    """
    return asyncio.run(_in_tasks(steps, span))


async def _in_tasks(steps: Sequence[Callable[[], Awaitable[float | None]]], span: Span) -> Window:
    logs = [_Log() for _ in steps]
    running = True

    async def client(step: Callable[[], Awaitable[float | None]], log: _Log) -> None:
        while running:
            begun = perf_counter()
            log.add(begun, await step())

    tasks = [asyncio.create_task(client(*pair)) for pair in zip(steps, logs, strict=True)]

    async def passed(seconds: float) -> None:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    await passed(span.warm_up)
    begun, before = perf_counter(), _count(logs)
    await passed(span.seconds)
    while _count(logs) < before + span.operations_min:
        if perf_counter() - begun > span.seconds + PATIENCE_SECONDS:
            raise Stuck
        await passed(_POLL_SECONDS)
    ended = perf_counter()
    running = False
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_SECONDS)
    return _window(logs, begun, ended)
