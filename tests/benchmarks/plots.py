"""Throughput and latency against the number of clients, and the rates of rebuilds, as SVG files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks import holdbook_cases, row_locked, uma

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.report import Found, Report

LINES: Final = {"throughput.svg": ("per_second", "operations a second"), "latency.svg": ("p99_ms", "p99, milliseconds")}
"""Each file with the measure that it shows, and the name of its axis."""

REBUILDS: Final = "rebuilds.svg"
FILES: Final = (*LINES, REBUILDS)

_WORKS: Final = {holdbook_cases.ONE, row_locked.WORK, uma.OWN, uma.SHARED}
_MARKS: Final = "osD^vP"
_TITLES: Final = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
_SETTINGS: Final = {
    "svg.hashsalt": "holdbook",  # so that the same figures give the same file
    "svg.fonttype": "none",  # letters stay letters
    "font.family": "sans-serif",
}


def draw(report: Report, folder: Path) -> None:
    """Draw every plot into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    databases = report.plan.databases
    with mpl.rc_context(_SETTINGS):  # type: ignore[arg-type]  # the stubs know each key as a literal
        for name, (measure, label) in LINES.items():
            figure = Figure(figsize=(11, 5), layout="constrained")
            every = figure.subplots(1, len(databases), squeeze=False, sharey=True)[0]
            for axes, database in zip(every, databases, strict=True):
                _panel(axes, report, database, measure)
            every[0].set_ylabel(label)
            figure.legend(*every[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
            _save(figure, folder / name)
        figure = Figure(figsize=(11, 5), layout="constrained")
        every = figure.subplots(1, len(databases), squeeze=False, sharex=True)[0]
        for axes, database in zip(every, databases, strict=True):
            _bars(axes, report, database)
        _save(figure, folder / REBUILDS)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _bars(axes: Axes, report: Report, database: str) -> None:
    """Draw the rates of rebuilds, and of what they are compared with, the first at the top."""
    shown = [
        found
        for found in report.cases
        if found.database == database and found.status == "measured" and found.special("events") is not None
    ]
    axes.set_title(f"rebuilds, {_TITLES[database]}")
    axes.set_xlabel("events a second")
    axes.set_xscale("log")
    axes.grid(visible=True, axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    names = [f"{found.system}:\n{found.work}" for found in shown]
    bars = axes.barh(names, [found.median("per_second") for found in shown])
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set_xlim(100, 10 * max((found.median("per_second") for found in shown), default=100))
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:,g}")


def _panel(axes: Axes, report: Report, database: str, measure: str) -> None:
    axes.set_title(f"one hot pool, {_TITLES[database]}")
    axes.set_xlabel("clients")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(visible=True, alpha=0.3)
    for mark, (label, line) in zip(_MARKS, _lines(report, database), strict=False):
        values = [found.median(measure) for found in line]
        axes.plot([found.clients for found in line], values, marker=mark, label=label)
    ticks = sorted({*report.plan.clients, *report.plan.baseline_clients})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:,g}")


def _lines(report: Report, database: str) -> Iterator[tuple[str, list[Found]]]:
    """Group the cases to show: one line a system and kind of callers."""
    lines: dict[str, list[Found]] = {}
    for found in report.cases:
        here = found.database in {database, uma.DATABASE} and found.work in _WORKS
        if here and found.status == "measured":
            label = f"{found.system}, {found.callers}" if found.system == "Holdbook" else found.system
            if found.system == uma.SYSTEM:
                label = f"{found.system}, {found.work}"
            lines.setdefault(label, []).append(found)
    for label in sorted(lines):
        yield label, sorted(lines[label], key=lambda found: found.clients)
