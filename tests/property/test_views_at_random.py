"""For every log, however it is cut into batches, the views hold what a plain fold of its stored text gives."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdbook import HoldbookError, Ledger
from holdbook.domain.commands import command_from
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.verification.fold_check import FoldCheck
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.infrastructure.views.store import SQLStore
from holdbook.infrastructure.views.view_events import SQLViewEvents
from holdbook.projections.projector import Projector
from support.deciding import Clock
from support.logs import query
from support.strategies import POOLS, commands, small_limits
from support.viewing import PlainFold

if TYPE_CHECKING:
    from pathlib import Path

    from holdbook.domain.records import StoredRow

pytestmark = pytest.mark.untraced

pauses = st.sampled_from([-3000, 0, 0.0004, 0.9996, 7, 900, 4000, 90_000, 700_000])
steps = st.lists(st.tuples(commands, pauses), min_size=5, max_size=40)

sizes = st.tuples(st.integers(1, 5), st.integers(1, 30))


def rows(url: str, view: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """Read a view by its published name."""
    return query(url, f"SELECT {columns} FROM {view}")  # noqa: S608 - names of our own


def check(url: str, log: list[StoredRow]) -> None:
    """Compare the published views with the plain fold."""
    wanted = PlainFold(log)
    usage = "pool, bucket, peak, grants, endings, used, capacity, allocations, position"
    assert sorted(rows(url, "pool_usage", usage)) == sorted(tuple(one.values()) for one in wanted.usage.values())
    assert sorted(rows(url, "metrics")) == sorted(tuple(one.values()) for one in wanted.metrics.values())
    (holds,) = query(url, "SELECT tables FROM generations WHERE view = 'metrics' AND state = 'live'")
    assert sorted(rows(url, holds[0].split()[1])) == sorted(tuple(one.values()) for one in wanted.since.values())
    failures = [
        (*row[:9], json.loads(row[9]), json.loads(row[10]), *row[11:]) for row in rows(url, "validation_failures")
    ]
    assert sorted(failures, key=lambda row: row[0]) == [tuple(one.values()) for one in wanted.failures]


@settings(max_examples=25)
@given(limits=st.lists(small_limits, min_size=2, max_size=3), steps=steps, batches=sizes)
def test_views_equal_a_plain_fold(
    sqlite_template: Path,
    limits: list[dict[str, Any]],
    steps: list[tuple[dict[str, Any], float]],
    batches: tuple[int, int],
) -> None:
    """Built in pieces while the log grows, or rebuilt: the rows are those of the plain fold, and verify agrees."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{shutil.copy(sqlite_template, folder)}"
        clock = Clock()
        with Ledger.open(url, clock=clock, actor="tests") as ledger:
            opening = [
                {"command": "open_pool", "pool": name, "resource_type": f"type of {name}", "unit": "u", "limits": one}
                for name, one in zip(POOLS, limits, strict=False)
            ]
            for number, (fields, seconds) in enumerate([*((one, 0) for one in opening), *steps]):
                clock.now += timedelta(seconds=seconds)
                with suppress(HoldbookError):
                    ledger.execute(command_from({**fields, "command_id": f"c{number}"}))
                if number == len(steps) // 2:
                    projector(ledger, batches[0]).catch_up()
            projector(ledger, batches[1]).catch_up()
            log = ledger.log.rows(limit=10**6)
            check(url, log)
            for view in ("pool_usage", "metrics", "validation_failures"):
                (built,) = projector(ledger, batches[1]).rebuild(view)
                assert (built.published, built.differences, built.faults) == (True, (), ())
            check(url, log)
            assert verify_ledger(ledger).findings == ()


def projector(ledger: Ledger, batch_events: int) -> Projector:
    """Give a projector with small batches."""
    log = ledger.log
    assert isinstance(log, SQLEventLog)
    source, store, check = SQLViewEvents(log), SQLStore(log.database), FoldCheck(log)
    return Projector(source, store, check, clock=system_clock, batch_events=batch_events)
