"""Reading the log again, each time in a process of its own, so that its memory can be told; beside a SELECT.

Each is measured on a log and on one that is ten times smaller, so that one sees what grows with the log.
"""

from __future__ import annotations

import resource
import sys
from array import array
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks import rebuild
from benchmarks.case import Case
from benchmarks.measure import Sample, Span, Window
from holdbook import Ledger
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.seals.prover import Prover
from holdbook.infrastructure.seals.sealer import Sealer
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.replay.evidence.notes import Kind, SignerKey
from holdbook.replay.history.as_of import state_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.places import Place
    from benchmarks.plan import Plan

    Latencies = list[float]
    Do = Callable[[str], tuple[Latencies, int]]
    """Works on a log; the seconds that each operation took, and how many events there were."""

SYSTEM: Final = "Holdbook"
ROWS: Final = "rows of the audited log"
VERIFY: Final = "verify"
AS_OF: Final = "as of a position"
SEAL: Final = "seal the whole log"
PROVE: Final = "prove one event"
SMALLER: Final = ", a tenth of the log"
"""Follows the work where it is done on the smaller log."""

QUESTIONS: Final = 50
"""How many positions are asked about."""


def verify(url: str) -> tuple[Latencies, int]:
    """Check every promise on the whole log, its views and its snapshots."""
    with Ledger.open(url, create=False) as ledger:
        begun = perf_counter()
        report = verify_ledger(ledger)
        seconds = perf_counter() - begun
    if not report.ok:
        raise RuntimeError(report.findings[0].message)
    return [seconds], report.events


def ask(url: str) -> tuple[Latencies, int]:
    """Ask for the ledger as of positions chosen at random."""
    random = Random(1)  # noqa: S311 - a benchmark's choice
    took = []
    with Ledger.open(url, create=False) as ledger:
        with ledger.log.reading() as reader:
            head = reader.head
        for _ in range(QUESTIONS):
            position = random.randint(0, head)
            begun = perf_counter()
            state_at(ledger.log, position)
            took.append(perf_counter() - begun)
    return took, head


def seal(url: str) -> tuple[Latencies, int]:
    """Read every row, check the chain, hash, write the tiles, and sign."""
    with Ledger.open(url, create=False) as ledger:
        begun = perf_counter()
        signed = Sealer(ledger).seal(SignerKey.generate("benchmark", Kind.NOTE), system_clock())
        seconds = perf_counter() - begun
    if signed is None:
        raise RuntimeError("nothing was sealed")
    return [seconds], signed.checkpoint.size


def prove(url: str) -> tuple[Latencies, int]:
    """Prove events chosen at random, in a log that was sealed, and verify each proof."""
    _, events = seal(url)
    random = Random(2)  # noqa: S311 - a benchmark's choice
    took = []
    with Ledger.open(url, create=False) as ledger:
        prover = Prover(ledger)
        for _ in range(QUESTIONS):
            position = random.randint(1, events)
            begun = perf_counter()
            prover.inclusion(position)
            took.append(perf_counter() - begun)
    return took, events


def read(url: str) -> tuple[Latencies, int]:
    """Read every row of the log, all columns, by the driver's own cursor."""
    seconds, events = rebuild.select(url)
    return [seconds], events


def with_memory(do: Do, url: str) -> tuple[Latencies, int, float]:
    """Work, and tell the most memory that the process and its children took, in MiB."""
    took, events = do(url)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return took, events, (own_peak() + children) / unit


def own_peak() -> int:
    """Tell the most memory that this process has had, as the system counts it; on Linux since its program began."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says includes the process that this one was forked from
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run(logs: rebuild.Histories, place: Place, do: Do, span: Span) -> Sample:  # noqa: ARG001 - it takes as long as it takes
    """Measure one round in a process of its own; an operation is an event read, or a question answered."""
    with ExitStack() as stack:
        url = stack.enter_context(logs.copy(place)) if do in {seal, prove} else logs.url(place)
        child = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
        took, events, peak_mib = child.submit(with_memory, do, url).result()
    window = Window(sum(took), array("d", took))
    if do in {ask, prove}:
        return Sample.of([window], log_events=events, peak_mib=peak_mib)
    return Sample.of([window], events, log_events=events, peak_mib=peak_mib, reads_all=True)


def cases(place: Place, logs: rebuild.Histories, suffix: str) -> Iterator[Case]:
    """List the cases on one database, for one log."""
    wanted: tuple[tuple[str, str, Do], ...] = (
        (rebuild.SELECT, ROWS, read),
        (SYSTEM, VERIFY, verify),
        (SYSTEM, AS_OF, ask),
        (SYSTEM, SEAL, seal),
        (SYSTEM, PROVE, prove),
    )
    for system, work, do in wanted:
        yield Case(
            system=system,
            database=place.name,
            work=work + suffix,
            callers="threads",
            clients=1,
            run=partial(run, logs, place, do),
        )


def sizes(plan: Plan) -> dict[str, int]:
    """Tell how many events the two logs have."""
    return {"": plan.audited, SMALLER: max(plan.audited // 10, 1)}
