"""The command line: measure, print, and write what was asked for. Exit code 1 if a case failed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from benchmarks import page, plots, runner
from benchmarks.plan import QUICK, Plan
from benchmarks.report import Report, print_report

if TYPE_CHECKING:
    from collections.abc import Sequence


WIDTH: Final = 160
"""Columns of the tables where there is no terminal to ask."""


def parser() -> argparse.ArgumentParser:
    """Describe the options."""
    found = argparse.ArgumentParser(prog="benchmarks", description="Measure Holdbook beside what else one could use.")
    found.add_argument("--quick", action="store_true", help="a smoke run: every kind of case, figures to be ignored")
    found.add_argument("--seconds", type=float, help=f"length of a measurement ({Plan().seconds:g})")
    found.add_argument("--warm-up", type=float, help=f"seconds before it that do not count ({Plan().warm_up:g})")
    found.add_argument("--rounds", type=int, help=f"how often each case is measured ({Plan().rounds})")
    found.add_argument("--crowd", type=int, help=f"open allocations in the crowded pool ({Plan().crowd}); 0 for none")
    found.add_argument("--events", type=int, help=f"events of the log that views are rebuilt from ({Plan().events})")
    found.add_argument("--audited", type=int, help=f"events of the log that is verified ({Plan().audited})")
    found.add_argument("--only", metavar="PATTERN", help="only cases whose name holds this regular expression")
    found.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both", help="only this one")
    found.add_argument("--json", type=Path, metavar="FILE", help="write all that was found")
    found.add_argument("--update", type=Path, metavar="FILE", help="keep what --json wrote there of all other cases")
    found.add_argument("--plots", type=Path, metavar="FOLDER", help="draw throughput.svg and latency.svg there")
    found.add_argument("--docs", type=Path, metavar="PAGE", help="write the tables into this page, the plots beside it")
    found.add_argument("--report", type=Path, metavar="FILE", help="measure nothing: take what --json wrote")
    return found


def plan_of(options: argparse.Namespace) -> Plan:
    """Make the plan that the options come to; raises ValueError."""
    given = {
        name: value
        for name in ("seconds", "warm_up", "rounds", "crowd", "events", "audited", "only")
        if (value := getattr(options, name)) is not None
    }
    if options.database != "both":
        given["databases"] = (options.database,)
    return Plan(**{**(QUICK if options.quick else Plan()).model_dump(), **given})


def check_files(options: argparse.Namespace) -> None:
    """Raise ValueError now, not after a quarter of an hour, if something cannot be written."""
    if options.json and not options.json.parent.is_dir():
        message = f"--json: there is no folder {options.json.parent}"
        raise ValueError(message)
    if options.docs:
        page.parts(options.docs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit code."""
    options = parser().parse_args(arguments)
    try:
        check_files(options)
        plan = plan_of(options)
        before = Report.read(options.update) if options.update else None
    except (ValueError, OSError) as error:
        parser().error(str(error))
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    report = Report.read(options.report) if options.report else runner.run(plan, console)
    print_report(report, console)
    if before:
        report = before.updated(report)
    if options.json:
        options.json.write_text(f"{report.model_dump_json(indent=1)}\n", encoding="utf-8")
    if options.plots:
        plots.draw(report, options.plots)
    if options.docs:
        page.write(report, options.docs)
        plots.draw(report, options.docs.parent)
    return 1 if report.failed else 0
