"""For every history, however it is cut and whatever is forgotten: nets, one after another, are the whole fold."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdbook import MemoryEventLog
from holdbook.domain.commands import command_from
from holdbook.domain.events import Allocated, Event
from holdbook.domain.values import canonical_json
from holdbook.infrastructure.views.view_events import view_event_of
from holdbook.projections.definition import Add, Drop, Set, Table, View
from holdbook.projections.fold import HandlerFailed, KnownRows, WholeFold, fold
from holdbook.projections.views.allocation_history import ALLOCATION_HISTORY
from holdbook.projections.views.catalogue import VIEWS
from holdbook.projections.views.current_allocations import CURRENT_ALLOCATIONS
from support.deciding import Clock, envelope, ledger_on
from support.strategies import commands, events, small_limits, tags
from support.viewing import Tables, facts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdbook.projections.definition import Find, ViewEvent

pytestmark = pytest.mark.untraced

GRANT = Allocated(pool="gpu", allocation_id="a", owner="o", quantity=1, pools=("gpu",), epoch=1, tags={}, deadline=None)

steps = st.lists(st.tuples(commands, st.sampled_from([0, 0, 3, 4000])), min_size=5, max_size=40)

cuts = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1)
"""How many events each batch has, and whether all that is known is forgotten after it; over and over."""


def check(view: View, facts: Sequence[ViewEvent], cuts: list[tuple[int, bool]]) -> None:
    """Fold facts in pieces into tables: after each piece they are what the whole fold has come to."""
    whole, tables, known = WholeFold(view), Tables(view), KnownRows(view)
    done, number = 0, 0
    while done < len(facts):
        size, forgets = cuts[number % len(cuts)]
        piece = facts[done : done + size]
        tables.write(fold(view, piece, known, tables.load))
        assert whole.fold(piece) == []
        assert tables.rows == whole.rows
        if forgets:
            known.clear()
        done, number = done + size, number + 1


@settings(max_examples=80)
@given(limits=st.lists(small_limits, min_size=2, max_size=3), steps=steps, cuts=cuts)
def test_nets_one_after_another_are_the_whole_fold(
    limits: list[dict[str, Any]], steps: list[tuple[dict[str, Any], int]], cuts: list[tuple[int, bool]]
) -> None:
    """The rows of every table of every view are those of the whole fold after each batch, commands cut in two too."""
    clock, log = Clock(), MemoryEventLog()
    ledger = ledger_on(log, clock)
    opening = [
        {"command": "open_pool", "pool": name, "resource_type": "r", "limits": one}
        for name, one in zip("abc", limits, strict=False)
    ]
    for number, (fields, seconds) in enumerate([*((one, 0) for one in opening), *steps]):
        clock.now += timedelta(seconds=seconds)
        ledger.submit(command_from({**fields, "command_id": f"c{number}"})).exception()
    facts = [view_event_of(log.mapper, row) for row in log.rows(limit=10**6)]
    for view in VIEWS:
        check(view, facts, cuts)


TOTALS = Table(name="totals", columns={"name": str, "count": int}, key=("name",), found_by=("name",))


def _counted(fact: ViewEvent, find: Find) -> list[Add | Set | Drop]:
    """Count a name up; begin with it, once it has reached three, drop it, and after a drop begin anew at once."""
    name = fact.data["name"]
    row = find(TOTALS, (name,))
    if row is None:
        return [Add({"name": name, "count": 1})]
    if row["count"] < 3:
        return [Set({**row, "count": row["count"] + 1})]
    return [Drop((name,)), *([Add({"name": name, "count": 0})] if fact.data["again"] else [])]


COUNTING = View(
    name="totals",
    version=1,
    tables=(TOTALS,),
    handlers={"Named": _counted},
    needs=lambda fact: ((TOTALS, (fact.data["name"],)),),
)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=60), cuts)
def test_rows_that_come_and_go(happened: list[tuple[str, bool]], cuts: list[tuple[int, bool]]) -> None:
    """A row that is added, changed, dropped and added again within a batch, or across some, comes out right."""
    (fact,) = facts_of([envelope(GRANT)])
    facts = [
        fact._replace(position=position, type="Named", data={"name": name, "again": again})
        for position, (name, again) in enumerate(happened, start=1)
    ]
    check(COUNTING, facts, cuts)


@given(st.lists(events, max_size=8))
def test_what_no_ledger_writes_stops_a_view_and_nothing_else(happened: list[Event]) -> None:
    """Of events in any order, as a forged log may have them, a view has rows, or names the first that it cannot take.

    Both folds agree on which that is.
    """
    facts = facts_of(envelope(event, position=at, version=at) for at, event in enumerate(happened, start=1))
    for view in VIEWS:
        whole, tables = WholeFold(view), Tables(view)
        failed = whole.fold(facts)
        if failed:
            with pytest.raises(HandlerFailed) as also:
                tables.fold(facts)
            assert str(also.value) == str(failed[0])
        else:
            tables.fold(facts)
            assert tables.rows == whole.rows


@given(tags)
def test_tags_are_canonical(tags: dict[str, str]) -> None:
    """Tags are published as canonical JSON, whatever is in them."""
    whole = WholeFold(CURRENT_ALLOCATIONS)
    (fact,) = facts_of([envelope(GRANT.model_copy(update={"tags": tags}))])
    assert whole.fold([fact]) == []
    (row,) = whole.rows[CURRENT_ALLOCATIONS.published].values()
    assert row["tags"] == canonical_json(tags)


def test_history_is_only_added_to() -> None:
    """A table that only grows never asks for a row, so nothing is loaded for it."""
    tables = Tables(ALLOCATION_HISTORY)
    (net,) = fold(ALLOCATION_HISTORY, facts_of([envelope(GRANT)]), KnownRows(ALLOCATION_HISTORY), tables.load)
    assert (list(net.added), net.replaced, net.dropped, tables.loads) == ([(1,)], {}, set(), [])
