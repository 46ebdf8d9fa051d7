"""Several processes on one PostgreSQL: what each gets, and whether the limit is met exactly."""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final, Self

from benchmarks.case import Case
from benchmarks.holdbook_cases import SYSTEM, TOTAL, Holder, thread_step
from benchmarks.measure import PATIENCE_SECONDS, Sample, Span, Window, in_threads, settle
from holdbook import Ledger, Limits, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from multiprocessing.synchronize import Barrier

    from benchmarks.places import Place
    from benchmarks.plan import Plan

HOT: Final = "one hot pool, {} clients in each"
SEPARATE: Final = "a pool for each process, {} clients in each"
COUNT: Final = 4
CLIENTS: Final = 32

_RACE: Final = "race"


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Who works, and on what."""

    processes: int
    clients: int
    """In each process."""
    pools: int
    """One that is hot, or one for each process."""
    race: int
    """Units of the pool that all of them empty."""

    def pool_of(self, number: int) -> str:
        """Name the pool of a process."""
        return f"pool-{number % self.pools}"


@dataclass(frozen=True, slots=True)
class _Job:
    """What one process is told."""

    url: str
    pool: str
    clients: int
    span: Span
    together: bool
    """True if the other processes work at the same time."""


class Workers:
    """Processes that wait for jobs; started when the first job comes."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._barrier = self._context.Barrier(COUNT)
        self._started: list[tuple[BaseProcess, Connection]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for _process, ours in self._started:
            ours.close()
        for process, _ours in self._started:
            process.join(PATIENCE_SECONDS)

    def do(self, jobs: Sequence[_Job]) -> list[tuple[Window, int]]:
        """Let a process do each job, all at the same time."""
        if not self._started:
            self._start()
        if self._barrier.broken:
            self._barrier.reset()
        busy = self._started[: len(jobs)]
        for job, (_, ours) in zip(jobs, busy, strict=True):
            ours.send(job)
        answers = [_answer(ours, job.span) for job, (_, ours) in zip(jobs, busy, strict=True)]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [answer for answer in answers if not isinstance(answer, Exception)]

    def _start(self) -> None:
        for _ in range(COUNT):
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_serve, args=(self._barrier, theirs), daemon=True)
            process.start()
            theirs.close()
            self._started.append((process, ours))


def run(place: Place, workers: Workers, crew: Crew, span: Span) -> Sample:
    """Measure one round: a window of time, then a race for the last units of a pool."""
    together = crew.processes > 1
    with place.fresh() as url:
        with Ledger.open(url) as ledger:
            for number in range(crew.pools):
                ledger.open_pool(crew.pool_of(number), resource_type="gpu", limits=Limits(total=TOTAL))
            ledger.open_pool(_RACE, resource_type="gpu", limits=Limits(total=crew.race))
        numbers = range(crew.processes)
        answers = workers.do([_Job(url, crew.pool_of(number), crew.clients, span, together) for number in numbers])
        with Ledger.open(url) as ledger:
            used = ledger.pool(_RACE).used
    granted = sum(grants for _, grants in answers)
    if granted != crew.race or used != crew.race:
        message = f"the limit of {crew.race} was not met exactly: {granted} granted, {used} used"
        raise RuntimeError(message)
    windows = [window for window, _ in answers]
    rates = [len(window.latencies) / window.seconds for window in windows]
    return Sample.of(windows, limit=crew.race, granted=granted, slowest_to_fastest=min(rates) / max(rates))


def _answer(ours: Connection, span: Span) -> tuple[Window, int] | Exception:
    if not ours.poll(span.warm_up + span.seconds + 3 * PATIENCE_SECONDS):
        return RuntimeError("a process gives no answer")
    try:
        answer: tuple[Window, int] | Exception = ours.recv()
    except EOFError:
        return RuntimeError("a process has ended")
    return answer


def _serve(barrier: Barrier, theirs: Connection) -> None:
    """Be one of the processes: do a job after the other."""
    with suppress(EOFError):
        while True:
            job: _Job = theirs.recv()
            try:
                theirs.send(_work(job, barrier if job.together else None))
            except Exception as error:  # noqa: BLE001 - raised again by the process that asked
                barrier.abort()  # or the others would wait for this one
                theirs.send(RuntimeError(repr(error)))


def _work(job: _Job, barrier: Barrier | None) -> tuple[Window, int]:
    settle()
    with Ledger.open(job.url) as ledger:
        steps = [thread_step(ledger, Holder((job.pool,), f"owner-{number}")) for number in range(job.clients)]
        ledger.pool(job.pool)
        if barrier:
            barrier.wait(PATIENCE_SECONDS)
        window = in_threads(steps, job.span)
        if barrier:
            barrier.wait(PATIENCE_SECONDS)
        return window, _race(ledger, job.clients)


def _race(ledger: Ledger, clients: int) -> int:
    """Take units one by one, by all clients at once, until none is left; say how many were had."""
    granted = [0] * clients
    failures: list[Exception] = []
    guard = Lock()

    def client(number: int) -> None:
        try:
            while True:
                ledger.allocate({_RACE: 1}, owner=f"owner-{number}")
                granted[number] += 1
        except Refused:
            return
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
            with guard:
                failures.append(error)

    threads = [Thread(target=client, args=(number,), daemon=True) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    if failures:
        raise failures[0]
    return sum(granted)


def cases(place: Place, plan: Plan, workers: Workers) -> Iterator[Case]:
    """List the cases on one database: as many clients in all as one process has, and as many in each."""
    few = CLIENTS // COUNT
    wanted = [(HOT, 1, CLIENTS, 1), (HOT, COUNT, few, 1), (HOT, COUNT, CLIENTS, 1)]
    wanted += [(SEPARATE, COUNT, few, COUNT), (SEPARATE, COUNT, CLIENTS, COUNT)]
    for work, processes, clients, pools in wanted:
        crew = Crew(processes=processes, clients=clients, pools=pools, race=plan.race)
        yield Case(
            system=SYSTEM,
            database=place.name,
            work=work.format(clients),
            callers="processes",
            clients=processes,
            run=partial(run, place, workers, crew),
        )
