"""What Holdbook is to reach, each as a ratio to a baseline that was measured in the same run, or to a figure given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict

from benchmarks import (
    auditing,
    bare,
    bulk,
    crowded,
    holdbook_cases,
    managing,
    processes,
    projecting,
    rebuild,
    row_locked,
    uma,
)
from benchmarks.case import key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Measure = Literal["per_second", "p50_ms", "p99_ms", "mean_ms"]
CROWD: Final = "<crowd>"
"""Stands in a target's words for the number of allocations, which is an option."""

BASELINE_CLIENTS: Final = (1, 8, 32)
"""The numbers of clients among which the baseline's best is looked for."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One figure to reach."""

    what: str
    against: str
    goal: float
    at_least: bool
    """False where the goal is the most that it may be."""
    measure: Measure
    reached: str
    """Key of Holdbook's case."""
    baselines: tuple[str, ...]
    """Keys of the cases to compare with; the best of them counts."""
    figure: float | None = None
    """What to compare with where that was given, and is not measured; in the measure's unit."""


class Row(BaseModel):
    """A target and what was reached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    against: str
    goal: float
    at_least: bool
    measure: Measure
    reached_case: str
    baseline_case: str | None
    """The baseline that counts; None if none was measured, or if it is a figure that was given."""
    reached: float | None
    """Holdbook's median, in the measure's unit; None if it was not measured."""
    baseline: float | None
    ratio: float | None
    met: bool | None
    """None if one of the two was not measured."""


def _commands(callers: str) -> Iterator[Target]:
    hot, locked = holdbook_cases.ONE, row_locked.SYSTEM
    for clients, against, goal in ((32, (32,), 15.0), (256, BASELINE_CLIENTS, 40.0)):
        which = "32 clients" if clients == 32 else "its best number of clients"
        yield Target(
            what=f"allocate and release, one hot pool, {clients} clients ({callers}), PostgreSQL",
            against=f"{locked}, {which}",
            goal=goal,
            at_least=True,
            measure="per_second",
            reached=key("Holdbook", "postgresql", hot, callers, clients),
            baselines=tuple(key(locked, "postgresql", row_locked.WORK, "threads", number) for number in against),
        )


def _singles(database: str) -> Target:
    return Target(
        what=f"single commands of 32 asyncio callers, one hot pool, {database}",
        against=f"{uma.SYSTEM}, conditional append, 32 clients, {uma.OWN}",
        goal=1.5,
        at_least=True,
        measure="per_second",
        reached=key("Holdbook", database, holdbook_cases.ONE, "asyncio", 32),
        baselines=(key(uma.SYSTEM, uma.DATABASE, uma.OWN, "threads", 32),),
    )


def _latency(database: str) -> Target:
    return Target(
        what=f"one client, median time of an allocate, {database}",
        against="one bare durable insert",
        goal=1.5,
        at_least=False,
        measure="p50_ms",
        reached=key("Holdbook", database, holdbook_cases.ALLOCATES, "threads", 1),
        baselines=(key(bare.SYSTEM, database, bare.WORK, "threads", 1),),
    )


def _bulk(database: str) -> Target:
    return Target(
        what=f"append of batches of 500, {database}",
        against=f"{bulk.SYSTEMS[database]} of the same rows into the same table",
        goal=0.4,
        at_least=True,
        measure="per_second",
        reached=key("Holdbook", database, bulk.WORK, "threads", 1),
        baselines=(key(bulk.SYSTEMS[database], database, bulk.WORK, "threads", 1),),
    )


def _processes(clients: int) -> Target:
    of_each = "the same 32 clients in all" if clients < processes.CLIENTS else "32 clients in each"
    return Target(
        what=f"4 processes, one hot pool, {of_each}, PostgreSQL; the limit met exactly",
        against="1 process, 32 clients",
        goal=1.0,
        at_least=True,
        measure="per_second",
        reached=key("Holdbook", "postgresql", processes.HOT.format(clients), "processes", processes.COUNT),
        baselines=(key("Holdbook", "postgresql", processes.HOT.format(processes.CLIENTS), "processes", 1),),
    )


def _crowd(database: str) -> Target:
    return Target(
        what=f"mean time of an allocate in a pool with {CROWD} open allocations, {database}",
        against=f"with {crowded.FEW_COUNT:,}",
        goal=1.2,
        at_least=False,
        measure="mean_ms",
        reached=key("Holdbook", database, crowded.MANY, "threads", 1),
        baselines=(key("Holdbook", database, crowded.FEW, "threads", 1),),
    )


def _rebuild(work: str) -> Target:
    is_one = work.startswith(rebuild.ONE)
    return Target(
        what=f"{work if work.endswith(rebuild.BUILDING) else f'{work}, compared and switched'}, PostgreSQL",
        against=f"{projecting.SYSTEM} of eventsourcing, building one comparable view",
        goal=100.0 if is_one else 40.0,
        at_least=True,
        measure="per_second",
        reached=key("Holdbook", "postgresql", work, "threads", 1),
        baselines=(key(projecting.SYSTEM, "postgresql", projecting.WORK, "threads", 1),),
    )


def _verify(database: str) -> Target:
    return Target(
        what=f"verify, {database}",
        against="a bare SELECT of the same rows",
        goal=0.3,
        at_least=True,
        measure="per_second",
        reached=key("Holdbook", database, auditing.VERIFY, "threads", 1),
        baselines=(key(rebuild.SELECT, database, auditing.ROWS, "threads", 1),),
    )


def _seed(database: str, work: str) -> Target:
    given = managing.SEED_MS[work]
    return Target(
        what=f"{work}, 32 tasks, 99th percentile, {database}",
        against=f"the {given:g} ms of the original requirement",
        goal=1.0,
        at_least=False,
        measure="p99_ms",
        reached=key(managing.SYSTEM, database, work, "asyncio", 32),
        baselines=(),
        figure=given,
    )


TARGETS: Final = (
    *_commands("threads"),
    *_commands("asyncio"),
    *map(_singles, ("postgresql", "sqlite")),
    *map(_latency, ("postgresql", "sqlite")),
    *map(_bulk, ("postgresql", "sqlite")),
    *map(_processes, (processes.CLIENTS // processes.COUNT, processes.CLIENTS)),
    *map(_crowd, (crowded.MEMORY, "sqlite")),
    *(_rebuild(work + part) for work in (rebuild.ONE, rebuild.ALL) for part in (rebuild.BUILDING, "")),
    *map(_verify, ("postgresql", "sqlite")),
    *(_seed(database, work) for database in ("postgresql", "sqlite", managing.MEMORY) for work in managing.SEED_MS),
)


def evaluate(medians: Mapping[str, Mapping[str, float]], crowd: int) -> list[Row]:
    """Compare what was measured, by case and measure, with every target."""
    return [_row(target, medians, crowd) for target in TARGETS]


def _row(target: Target, medians: Mapping[str, Mapping[str, float]], crowd: int) -> Row:
    found = {name: medians[name][target.measure] for name in target.baselines if name in medians}
    best = max if target.measure == "per_second" else min
    baseline_case = best(found, key=found.__getitem__) if found else None
    baseline = found[baseline_case] if baseline_case else target.figure
    reached = medians[target.reached][target.measure] if target.reached in medians else None
    ratio = reached / baseline if reached is not None and baseline else None
    met = None if ratio is None else (ratio >= target.goal if target.at_least else ratio <= target.goal)
    return Row(
        what=target.what.replace(CROWD, f"{crowd:,}"),
        against=target.against,
        goal=target.goal,
        at_least=target.at_least,
        measure=target.measure,
        reached_case=target.reached,
        baseline_case=baseline_case,
        reached=reached,
        baseline=baseline,
        ratio=ratio,
        met=met,
    )
