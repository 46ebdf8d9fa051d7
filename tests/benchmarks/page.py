"""Writes what a run found into a page of the documentation, between two marks; the words around them stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks import auditing, managing, projecting, rebuild
from benchmarks.case import key
from benchmarks.report import CASE_HEADS, TARGET_HEADS, case_rows, number, target_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.report import Facts, Found, Report

BEGIN: Final = "<!-- figures: begin; `make bench` writes what follows -->"
END: Final = "<!-- figures: end -->"

NONE: Final = "–"  # noqa: RUF001 - the dash of the pages


def parts(path: Path) -> tuple[str, str]:
    """Split a page at its marks, what is between them left out; raises ValueError if they are not there."""
    head, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        message = f"expected the lines {BEGIN!r} and {END!r} in {path}"
        raise ValueError(message)
    return head, tail


def write(report: Report, path: Path) -> None:
    """Put the report between the marks of a page."""
    head, tail = parts(path)
    path.write_text(f"{head}{BEGIN}\n\n{body(report)}\n{END}{tail}", encoding="utf-8")


def body(report: Report) -> str:
    """Write the report as Markdown."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield from ("## Targets", "")
    yield from table(TARGET_HEADS, target_rows(report.targets))
    yield from ("", "## Everything measured", "")
    yield from table(CASE_HEADS, case_rows(report.cases))
    shared = [found for found in report.cases if found.special("slowest_to_fastest") is not None]
    if shared:
        yield from ("", "## Several processes", "")
        yield from table(("work", "processes", "limit", "granted in the race", "slowest to fastest"), _shares(shared))
    crowds = [found for found in report.cases if found.special("bytes_per_allocation") is not None]
    if crowds:
        yield from ("", "## Memory", "")
        yield from table(("database", "open allocations", "bytes each", "mean ms", "p99 ms"), _memory(crowds))
    yield from _rebuilding(report)
    yield from _auditing(report)
    yield from _managing(report)
    yield from ("", "## The machine and the run", "")
    yield from table(("what", "which"), _facts(report))
    for update in report.updates:
        yield from ("", f"### Measured later: {len(update.keys)} cases", "")
        if update.plan.only:
            yield from (f"Those whose name holds `{update.plan.only}`.", "")
        yield from table(("what", "which"), _facts(update))
    yield ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write a table."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---' for _ in heads)}|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


def _shares(cases: Iterable[Found]) -> Iterator[list[str]]:
    for found in cases:
        values = (found.special("limit"), found.special("granted"))
        share = found.special("slowest_to_fastest") or 0.0
        yield [found.work, str(found.clients), *(f"{value or 0:,.0f}" for value in values), f"{share:.2f}"]


def _memory(cases: Iterable[Found]) -> Iterator[list[str]]:
    for found in cases:
        values = (found.special("open_allocations"), found.special("bytes_per_allocation"))
        times = [number(found.median(measure)) for measure in ("mean_ms", "p99_ms")]
        yield [found.database, *(f"{value or 0:,.0f}" for value in values), *times]


def _rebuilding(report: Report) -> Iterator[str]:
    builds = [row for _, cases in report.runs() for row in _builds(cases)]
    if builds:
        yield from ("", "## Rebuilds of views", "")
        shares = (f"of a {rebuild.SELECT}", f"of {projecting.SYSTEM}")
        yield from table(("system", "database", "work", "events", "seconds", "events/s", *shares), builds)
    clients = [found for found in report.cases if found.special("rebuilding") is not None]
    if clients:
        yield from ("", "## One client while views are rebuilt", "")
        yield from table(("database", "work", "operations/s", "p50 ms", "p99 ms", "longest ms"), _clients(clients))


def _builds(cases: Iterable[Found]) -> Iterator[list[str]]:
    """Write the rebuilds of one run, with their shares of what it read and projected on the same database."""
    builds = [found for found in cases if found.status == "measured" and found.special("events") is not None]
    rates = {found.key: found.median("per_second") for found in builds}
    projected = rates.get(key(projecting.SYSTEM, projecting.DATABASE, projecting.WORK, "threads", 1))
    for found in builds:
        rate = rates[found.key]
        selected = rates.get(key(rebuild.SELECT, found.database, rebuild.ROWS, "threads", 1))
        times = projected if found.database == projecting.DATABASE else None
        yield [
            *(found.system, found.database, found.work),
            f"{found.special('events') or 0:,.0f}",
            *map(number, (found.median("seconds"), rate)),
            f"{rate / selected:.3f}" if selected else NONE,
            f"{number(rate / times)}x" if times else NONE,
        ]


def _clients(cases: Iterable[Found]) -> Iterator[list[str]]:
    for found in cases:
        figures = [found.median(measure) for measure in ("per_second", "p50_ms", "p99_ms")]
        yield [found.database, found.work, *map(number, (*figures, found.special("longest_ms") or 0.0))]


def _auditing(report: Report) -> Iterator[str]:
    audits = [row for _, cases in report.runs() for row in _audits(cases)]
    if audits:
        yield from ("", "## Reading the log again", "")
        share = f"of a {rebuild.SELECT}"
        heads = ("system", "database", "work", "events", "p50 ms", "longest ms", "events/s", share, "peak MiB")
        yield from table(heads, audits)


def _audits(cases: Iterable[Found]) -> Iterator[list[str]]:
    """Write what was measured on audited logs in one run, with its share of what can be read of the same log."""
    audits = [found for found in cases if found.status == "measured" and found.special("peak_mib") is not None]
    rates = {found.key: found.median("per_second") for found in audits}
    for found in audits:
        suffix = auditing.SMALLER if found.work.endswith(auditing.SMALLER) else ""
        selected = rates.get(key(rebuild.SELECT, found.database, auditing.ROWS + suffix, "threads", 1))
        reads_all = found.special("reads_all") is not None
        rate = rates[found.key]
        yield [
            *(found.system, found.database, found.work),
            f"{found.special('log_events') or 0:,.0f}",
            *(number(found.median(measure)) for measure in ("p50_ms", "p99_ms")),
            number(rate) if reads_all else NONE,
            f"{rate / selected:.3f}" if reads_all and selected else NONE,
            f"{found.special('peak_mib') or 0:,.0f}",
        ]


def _managing(report: Report) -> Iterator[str]:
    managed = [row for _, cases in report.runs() for row in _managed(cases)]
    if managed:
        yield from ("", "## The manager", "")
        heads = (
            "system",
            "database",
            "operation",
            "tasks",
            "p50 ms",
            "p99 ms",
            f"p50 less that of {managing.SEMAPHORE}",
        )
        yield from table(heads, managed)


def _managed(cases: Iterable[Found]) -> Iterator[list[str]]:
    """Write what one run measured of managers and semaphores, each beside the semaphore of as many tasks."""
    found = [one for one in cases if one.status == "measured" and one.special("managed") is not None]
    bare = {(one.work, one.clients): one.median("p50_ms") for one in found if one.system == managing.SEMAPHORE}
    for one in found:
        p50, p99 = one.median("p50_ms"), one.median("p99_ms")
        less = bare.get((managing.BASELINES.get(one.work, ""), one.clients))
        operation = one.work.rpartition(": ")[2]
        rest = NONE if less is None else number(p50 - less)
        yield [one.system, one.database, operation, str(one.clients), number(p50), number(p99), rest]


def _facts(facts: Facts) -> Iterator[list[str]]:
    yield ["made", facts.made_at]
    yield ["revision", f"`{facts.revision}`"]
    for name, value in facts.machine.items():
        yield [name.replace("_", " "), f"{value:,}" if isinstance(value, int) else value]
    yield ["load in the minute before", f"{facts.load_before:g}"]
    yield ["versions", ", ".join(f"{name} {value}" for name, value in facts.versions.items())]
    for database, settings in facts.databases.items():
        yield [database, ", ".join(f"{name} = {value}" for name, value in settings.items())]
    plan = facts.plan
    yield ["rounds", f"{plan.rounds} of {plan.seconds:g} s each, after {plan.warm_up:g} s of warm-up"]
