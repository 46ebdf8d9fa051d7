"""Sealing a whole log, and proving single events of it, in a process of its own, whose memory is told.

To seal is to read every row, check the chain, hash, write the tiles, and sign. To prove is to read the checkpoint, the
event and a few tiles, and to verify the proof.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
from array import array
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.case import Case
from benchmarks.measure import PATIENCE_SECONDS, Sample, Window, settle
from benchmarks.rebuild import SYSTEM
from bursar import Ledger
from bursar.infrastructure.clock import system_clock
from bursar.infrastructure.proofs import Prover
from bursar.infrastructure.sealing import Sealer
from bursar.replay.notes import Kind, SignerKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from benchmarks.measure import Span
    from benchmarks.places import Place
    from benchmarks.plan import Plan
    from benchmarks.rebuild import Histories

SEALING: Final = "sealing the whole log"
PROVING: Final = "proof of one event"

_SECONDS_MAX: Final = 1800.0


def _peak() -> int:
    """Tell the most memory that this process has had, in bytes; on Linux since its program was started."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _serve(url: str, work: str, seconds: float, theirs: Connection) -> None:
    """Do it, and answer how long it took, how long each proof took, how many events there are, and the memory."""
    settle()
    try:
        with Ledger.open(url, create=False) as ledger:
            before, begun = _peak(), perf_counter()
            signed = Sealer(ledger).seal(SignerKey.generate("benchmark", Kind.NOTE), system_clock())
            took = perf_counter() - begun
            events = signed.checkpoint.size if signed else 0
            latencies = [took] if work == SEALING else _prove(ledger, events, seconds)
            theirs.send((sum(latencies), latencies, events, _peak() - before, _peak()))
    except Exception as error:  # noqa: BLE001 - raised again by the process that asked
        theirs.send(RuntimeError(repr(error)))


def _prove(ledger: Ledger, events: int, seconds: float) -> list[float]:
    prover, chosen, latencies = Prover(ledger), random.Random(6), list[float]()  # noqa: S311 - which events is no secret
    end = perf_counter() + seconds
    while not latencies or perf_counter() < end:
        position, begun = chosen.randint(1, events), perf_counter()
        prover.inclusion(position)
        latencies.append(perf_counter() - begun)
    return latencies


def run(histories: Histories, place: Place, work: str, span: Span) -> Sample:
    """Measure one round, on a copy of the log."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with histories.copy(place) as url:
        process = context.Process(target=_serve, args=(url, work, span.seconds, theirs), daemon=True)
        process.start()
        theirs.close()
        try:
            found = ours.recv() if ours.poll(_SECONDS_MAX) else RuntimeError("the process that seals gives no answer")
        finally:
            process.join(PATIENCE_SECONDS)
            process.kill()
    if isinstance(found, Exception):
        raise found
    seconds, latencies, events, grown, peak = found
    extra = {"sealed_events": events, "grown_bytes": grown, "peak_bytes": peak}
    each = events if work == SEALING else 1
    return Sample.of([Window(seconds, array("d", latencies))], each, **extra)


def cases(place: Place, _: Plan, histories: Histories) -> Iterator[Case]:
    """List the cases on one database."""
    for work in (SEALING, PROVING):
        yield Case(
            system=SYSTEM,
            database=place.name,
            work=work,
            callers="threads",
            clients=1,
            run=partial(run, histories, place, work),
        )
