"""Verifying a whole ledger, beside a bare SELECT of the same rows; in a process of its own, for what memory it takes.

Run as a program with a URL, it verifies that ledger, and prints what that took.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from array import array
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.case import Case
from benchmarks.measure import Sample, Span, Window
from benchmarks.rebuild import SELECT, SYSTEM, Histories, select
from bursar import Ledger
from bursar.infrastructure.verification import verify_ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.places import Place
    from benchmarks.plan import Plan

WORK: Final = "verification of the log and its views"
ROWS: Final = "rows of a verification"

_KIB_PER_MIB: Final = 1024


def verify(url: str) -> dict[str, float]:
    """Verify a ledger in a process of its own: seconds, events, and the most memory that it and its helper had."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.verifying", url], env=environment, stdout=subprocess.PIPE, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def read(url: str) -> dict[str, float]:
    """Read every row of the log, all columns, by the driver's own cursor."""
    seconds, events = select(url)
    return {"seconds": seconds, "events": events}


def run(histories: Histories, place: Place, do: Callable[[str], dict[str, float]], span: Span) -> Sample:  # noqa: ARG001 - it takes as long as it takes
    """Measure one round, on the log itself, which nobody changes; an operation is an event."""
    found = do(histories.original(place))
    events, seconds = int(found["events"]), found["seconds"]
    extra = {"peak_mib": found["peak_mib"]} if "peak_mib" in found else {}
    return Sample.of([Window(seconds, array("d", [seconds]))], events, verified=events, **extra)


def cases(place: Place, plan: Plan, histories: Histories) -> Iterator[Case]:  # noqa: ARG001 - as other modules take it
    """List the cases on one database."""
    for system, work, do in ((SELECT, ROWS, read), (SYSTEM, WORK, verify)):
        yield Case(
            system=system,
            database=place.name,
            work=work,
            callers="threads",
            clients=1,
            run=partial(run, histories, place, do),
        )


def main(url: str) -> None:
    """Verify a ledger, and print what that took as JSON."""
    with Ledger.open(url, create=False) as ledger:
        begun = perf_counter()
        report = verify_ledger(ledger)
        seconds = perf_counter() - begun
    if not report.ok:
        raise RuntimeError(report.findings[0])
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    json.dump({"seconds": seconds, "events": report.events, "peak_mib": peak / _KIB_PER_MIB}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
