"""Several processes on one PostgreSQL: what each gets, and whether the limit is met exactly."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from functools import partial
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final

from benchmarks.bursar_cases import SYSTEM, TOTAL, Holder, thread_step
from benchmarks.case import Case
from benchmarks.measure import PATIENCE_SECONDS, Sample, Span, Window, in_threads
from bursar import Ledger, Limits, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
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


def run(place: Place, crew: Crew, span: Span) -> Sample:
    """Measure one round: a window of time, then a race for the last units of a pool."""
    with place.fresh() as url:
        with Ledger.open(url) as ledger:
            for number in range(crew.pools):
                ledger.open_pool(crew.pool_of(number), resource_type="gpu", limits=Limits(total=TOTAL))
            ledger.open_pool(_RACE, resource_type="gpu", limits=Limits(total=crew.race))
        answers = _answers([_Job(url, crew.pool_of(number), crew.clients, span) for number in range(crew.processes)])
        with Ledger.open(url) as ledger:
            used = ledger.pool(_RACE).used
    granted = sum(grants for _, grants in answers)
    if granted != crew.race or used != crew.race:
        message = f"the limit of {crew.race} was not met exactly: {granted} granted, {used} used"
        raise RuntimeError(message)
    windows = [window for window, _ in answers]
    rates = [len(window.latencies) / window.seconds for window in windows]
    return Sample.of(windows, limit=crew.race, granted=granted, slowest_to_fastest=min(rates) / max(rates))


def _answers(jobs: Sequence[_Job]) -> list[tuple[Window, int]]:
    """Let a process do each job, all at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(jobs))
    started = []
    for job in jobs:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(job, barrier, sender), daemon=True)
        process.start()
        sender.close()
        started.append((process, receiver))
    try:
        return [_answer(receiver, job.span) for job, (_, receiver) in zip(jobs, started, strict=True)]
    finally:
        for process, receiver in started:
            receiver.close()
            process.join(PATIENCE_SECONDS)


def _answer(receiver: Connection, span: Span) -> tuple[Window, int]:
    if not receiver.poll(span.warm_up + span.seconds + 2 * PATIENCE_SECONDS):
        message = "a process gives no answer"
        raise RuntimeError(message)
    answer: tuple[Window, int] | Exception = receiver.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _work(job: _Job, barrier: Barrier, sender: Connection) -> None:
    """Be one of the processes."""
    try:
        with Ledger.open(job.url) as ledger:
            steps = [thread_step(ledger, Holder((job.pool,), f"owner-{number}")) for number in range(job.clients)]
            ledger.pool(job.pool)
            barrier.wait(PATIENCE_SECONDS)
            window = in_threads(steps, job.span)
            barrier.wait(PATIENCE_SECONDS)
            sender.send((window, _race(ledger, job.clients)))
    except Exception as error:  # noqa: BLE001 - raised again by the process that asked
        sender.send(RuntimeError(repr(error)))


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


def cases(place: Place, plan: Plan) -> Iterator[Case]:
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
            run=partial(run, place, crew),
        )
