"""For all histories, written in whatever versions: upcasting commutes with folding."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdbook import HoldbookError, MemoryEventLog
from holdbook.domain import allocation
from holdbook.domain.commands import command_from
from holdbook.domain.events import EVENTS, Event
from holdbook.domain.pool import Pool, evolve
from holdbook.infrastructure.log.mapper import EventMapper
from holdbook.infrastructure.log.recorder import chained
from holdbook.infrastructure.views.view_events import view_event_of
from holdbook.projections.fold import WholeFold
from holdbook.projections.views.catalogue import VIEWS
from support.deciding import Clock, envelope, ledger_on
from support.strategies import commands, events, small_limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdbook import Outcome
    from holdbook.domain.records import Recorded, StoredRow

pytestmark = pytest.mark.untraced

Fields = dict[str, Any]

PRESENT = 3
"""The version that every event is at in these tests."""

OLD_NAMES = {"pool": "pool_name", "quantity": "amount", "owner": "holder", "limits": "bounds", "deadline": "until"}
"""What version 1 called some fields."""

NEW_NAMES = {old: new for new, old in OLD_NAMES.items()}


def renamed(fields: Fields) -> Fields:
    """Version 1 to 2: fields have other names."""
    return {NEW_NAMES.get(name, name): value for name, value in fields.items()}


def completed(name: str) -> Any:  # noqa: ANN401 - an upcaster
    """Version 2 to 3: what was left out is null."""
    return lambda fields: {field: fields.get(field) for field in EVENTS[name].model_fields}


UPCASTERS = {(name, 1): renamed for name in EVENTS} | {(name, 2): completed(name) for name in EVENTS}


def all_at_present(patch: pytest.MonkeyPatch) -> None:
    """Say of every event that it is at that version."""
    for kind in EVENTS.values():
        patch.setattr(kind, "schema_version", PRESENT)


with pytest.MonkeyPatch.context() as _patch:
    all_at_present(_patch)
    MAPPER = EventMapper(EVENTS, UPCASTERS)


def downcast(row: StoredRow, version: int) -> StoredRow:
    """Write a row as a program of an older version would have."""
    fields = json.loads(row.data)
    if version <= 2:
        fields = {name: value for name, value in fields.items() if value is not None}
    if version == 1:
        fields = {OLD_NAMES.get(name, name): value for name, value in fields.items()}
    return row._replace(schema_version=version, data=json.dumps(fields))


@pytest.fixture(autouse=True, scope="module")
def _third_version() -> Iterator[None]:
    """Every event is at its third version."""
    with pytest.MonkeyPatch.context() as patch:
        all_at_present(patch)
        yield


@given(events, st.integers(1, PRESENT))
def test_an_old_row_is_read_as_the_new_one(event: Event, version: int) -> None:
    """An event of any kind, written in any version, is the same event, and is written again in the present one."""
    new = MAPPER.to_row(envelope(event))
    assert new.schema_version == PRESENT
    back = MAPPER.from_row(downcast(new, version))
    assert back == envelope(event)
    assert MAPPER.to_row(back) == new
    assert view_event_of(MAPPER, downcast(new, version)) == view_event_of(MAPPER, new)


steps = st.lists(st.tuples(commands, st.integers(0, 9), st.integers(1, PRESENT)), min_size=10, max_size=30)


@settings(max_examples=60)
@given(st.lists(small_limits, min_size=2, max_size=3), steps, st.lists(commands, max_size=5))
def test_upcasting_commutes_with_folding(
    limits: list[Fields], steps: list[tuple[Fields, int, int]], more: list[Fields]
) -> None:
    """Pools, allocations and views folded from old rows are those folded from new rows, and so is what comes next."""
    opening = [
        {"command": "open_pool", "pool": name, "resource_type": "r", "limits": one}
        for name, one in zip("abc", limits, strict=False)
    ]
    clock = Clock()
    new = MemoryEventLog(MAPPER)
    ledger = ledger_on(new, clock)
    for number, (fields, seconds, _) in enumerate([*((one, 0, 1) for one in opening), *steps]):
        clock.now += timedelta(seconds=seconds)
        ledger.submit(command_from({**fields, "command_id": f"c{number}"})).exception()
    rows = new.rows(limit=10**6)
    versions = [version for *_, version in steps]
    old = log_of([downcast(row, versions[row.position % len(versions)]) for row in rows], new.ledger_id)
    assert folded(old.rows(limit=10**6)) == folded(rows)
    for number, fields in enumerate(more):
        command = command_from({**fields, "command_id": f"more-{number}"})
        assert told(ledger_on(old, clock).submit(command)) == told(ledger_on(new, clock).submit(command))


def log_of(rows: Sequence[StoredRow], ledger_id: str) -> MemoryEventLog:
    """Write rows into a log, chained anew."""
    log = MemoryEventLog(MAPPER)
    log.ledger_id = ledger_id
    with log.writing() as writer:
        writer.insert(chained(rows, writer.head, writer.head_hash))
    return log


def folded(rows: Sequence[StoredRow]) -> Fields:
    """Fold everything that is folded from a log."""
    pools: dict[str, Pool] = {}
    about: dict[str, list[Recorded]] = {}
    views = [WholeFold(view) for view in VIEWS]
    for row in rows:
        recorded = MAPPER.from_row(row)
        event = recorded.event
        if event.stream_id.startswith("pool:"):
            pools[event.stream_id] = evolve(pools.get(event.stream_id), recorded)
        if event.subject is not None:
            about.setdefault(event.subject, []).append(recorded)
    for view in views:
        assert view.fold(view_event_of(MAPPER, row) for row in rows) == []
    return {
        "pools": {key: {name: getattr(pool, name) for name in Pool.__slots__} for key, pool in pools.items()},
        "allocations": {key: allocation.fold(history) for key, history in about.items()},
        "views": {table.name: table_rows for view in views for table, table_rows in view.rows.items()},
    }


def told(future: Any) -> object:  # noqa: ANN401 - a future of an outcome
    """Tell what became of a command."""
    error = future.exception()
    if isinstance(error, HoldbookError):
        return str(error)
    outcome: Outcome = future.result()
    return outcome.records, outcome.refusal and str(outcome.refusal), outcome.allocation, outcome.pool, outcome.expired
