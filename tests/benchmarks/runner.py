"""Runs the cases, round by round, so that whatever else the machine does hits all of them."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import (
    auditing,
    bare,
    bulk,
    crowded,
    holdbook_cases,
    library,
    managing,
    meanwhile,
    processes,
    rebuild,
    row_locked,
    uma,
)
from benchmarks.case import NotAvailable
from benchmarks.measure import Span, settle
from benchmarks.places import places
from benchmarks.report import Found, Report, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from benchmarks.case import Case
    from benchmarks.places import Place
    from benchmarks.plan import Plan


def all_cases(
    found: Mapping[str, Place],
    plan: Plan,
    workers: processes.Workers,
    histories: rebuild.Histories,
    audited: Mapping[str, rebuild.Histories],
) -> Iterator[Case]:
    """List every case but those of the crowded pool, which take long to prepare."""
    for place in found.values():
        for module in (row_locked, library, bare, bulk, holdbook_cases, managing):
            yield from module.cases(place, plan)
        if place.name == "postgresql":
            yield from processes.cases(place, plan, workers)
        for module in (rebuild, meanwhile):
            yield from module.cases(place, plan, histories)
        for suffix, logs in audited.items():
            yield from auditing.cases(place, logs, suffix)
    yield from managing.cases_in_memory()
    yield from uma.cases(plan)


def progress(console: Console) -> Progress:
    """Make the bars that say how far it is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def run(plan: Plan, console: Console) -> Report:
    """Measure what the plan says; a case that fails is reported, and the rest go on."""
    before = load()
    with (
        places(plan.databases) as found,
        ExitStack() as stack,
        processes.Workers() as workers,
        rebuild.Histories(plan.events) as histories,
        progress(console) as shown,
    ):
        audited = {
            suffix: stack.enter_context(rebuild.Histories(events)) for suffix, events in auditing.sizes(plan).items()
        }
        every = all_cases(found, plan, workers, histories, audited)
        cases = [case for case in every if re.search(plan.only, case.key, re.IGNORECASE)]
        results = measure(cases, plan, shown)
        task = shown.add_task("filling the crowded pools", total=plan.crowd)

        def fill(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        with crowded.prepared(found, plan, fill) as crowds:
            shown.remove_task(task)
            results += measure(crowds, plan, shown)
        return Report.of(plan, {name: place.settings() for name, place in found.items()}, results, before)


def measure(cases: Sequence[Case], plan: Plan, shown: Progress) -> list[Found]:
    """Measure every case in turn, as often as there are rounds."""
    span = Span(warm_up=plan.warm_up, seconds=plan.seconds)
    results = [Found.nothing_yet(case) for case in cases]
    task = shown.add_task("", total=len(cases) * plan.rounds)
    for _ in range(plan.rounds):
        for case, result in zip(cases, results, strict=True):
            shown.update(task, description=case.key)
            if result.status == "measured":
                _measure(case, span, result)
            shown.advance(task)
    shown.remove_task(task)
    return results


def _measure(case: Case, span: Span, result: Found) -> None:
    settle()
    try:
        result.rounds.append(case.run(span))
    except NotAvailable as error:
        result.status, result.error = "not available here", str(error)
    except Exception as error:  # noqa: BLE001 - reported, and the other cases go on
        result.status, result.error = "failed", f"{type(error).__name__}: {error}"
