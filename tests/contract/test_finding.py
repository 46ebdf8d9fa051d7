"""The port of logs, asked for what is wanted: every log finds what a plain filter over all of its events finds."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdbook import EventFilter, Ledger, MemoryEventLog
from holdbook.domain.commands import COMMANDS, Command, command_from
from holdbook.domain.events import EVENTS, Allocated, AllocationEvent, Opening, Reclaimed, Transferred, ValidationFailed
from holdbook.domain.refusals import RefusalCode
from holdbook.infrastructure.log.mapper import EventMapper
from holdbook.infrastructure.log.recorder import chained
from support.logs import MOMENT, append, granted, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pytest

    from holdbook import Recorded
    from support.logs import Log

NAMES = ("ann", "Ann", 'a"b', "a%b", "a_b", "a\\b", "é", "gpu", "pool_exhausted")
"""Owners, actors and so on: alike but for case, with what SQL or JSON write in other ways, or named as other things."""
POOLS = ("gpu", "ann", "a%b")
TAGS: tuple[dict[str, str], ...] = ({}, {"job": "7"}, {"job": "7", "é": 'a"b'}, {"JOB": "7"}, {"7": "job"})
ALLOCATIONS = tuple(f"x{number}" for number in range(25))
SECONDS = 60


def random_commands(count: int = 160) -> Iterator[Command]:
    """Make commands at random, the same each time, that meet one another and are often refused."""
    chance = Random(7)  # noqa: S311 - a test's
    for pool in POOLS:
        fields: dict[str, Any] = {"command": "open_pool", "pool": pool, "resource_type": "r"}
        yield command_from({**fields, "limits": {"total": 20, "per_owner": 9}, "at": MOMENT.isoformat()})
    verbs = [verb for verb in COMMANDS if verb not in {"open_pool", "close_pool", "close_ledger", "change_limits"}]
    for number in range(count):
        verb = chance.choice([*verbs, *["allocate"] * 4])
        known = COMMANDS[verb].model_fields
        quantities = {pool: chance.randint(1, 6) for pool in chance.sample(POOLS, chance.randint(1, 2))}
        fields = {
            "allocation_id": chance.choice(ALLOCATIONS), "quantities": quantities, "owner": chance.choice(NAMES),
            "to": chance.choice(NAMES), "tags": chance.choice(TAGS), "ttl": chance.randint(5, 40),
            "actor": chance.choice(NAMES), "correlation_id": chance.choice([None, *NAMES]),
            "at": MOMENT + timedelta(seconds=number * SECONDS // count), "command_id": f"c{number}",
        }  # fmt: skip
        if verb == "reclaim":
            fields["pool"] = min(quantities)
        yield command_from({"command": verb, **{name: one for name, one in fields.items() if name in known}})


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Ask in this respect once in a while: with every condition at once, nothing is ever found."""
    return st.one_of(st.none(), st.none(), st.none(), strategy)


moments = st.integers(0, SECONDS).map(lambda number: MOMENT + timedelta(seconds=number))
questions: st.SearchStrategy[EventFilter] = st.builds(
    EventFilter,
    allocation=maybe(st.sampled_from(ALLOCATIONS)),
    pools=maybe(st.frozensets(st.sampled_from([*POOLS, "nowhere"]), max_size=2)),
    owner=maybe(st.sampled_from(NAMES)),
    tags=st.sampled_from(({}, *TAGS)),
    actor=maybe(st.sampled_from(NAMES)),
    correlation=maybe(st.sampled_from(NAMES)),
    since=maybe(moments),
    until=maybe(moments),
    refused=st.sampled_from([False, False, True]),
    code=maybe(st.sampled_from([RefusalCode.POOL_EXHAUSTED, RefusalCode.ALLOCATION_ENDED])),
)


def plainly(records: Sequence[Recorded], wanted: EventFilter) -> Iterator[int]:
    """Give the positions of what is wanted, from the events themselves."""
    tags = {one.event.allocation_id: one.event.tags for one in records if isinstance(one.event, Opening)}
    for one in records:
        event = one.event
        asked: dict[str, Any] = event.asked if isinstance(event, ValidationFailed) else {}
        owners = {asked.get("owner"), asked.get("to")}
        owners |= {event.owner} if isinstance(event, AllocationEvent) else set()
        owners |= {event.previous_owner} if isinstance(event, Transferred) else set()
        has = [tags.get(event.subject or "", {}), asked.get("tags", {})]
        if (
            wanted.allocation in {None, event.subject}
            and (wanted.pools is None or event.stream_id.partition(":")[2] in wanted.pools)
            and (wanted.owner is None or wanted.owner in owners)
            and any(wanted.tags.items() <= some.items() for some in has)
            and wanted.actor in {None, one.actor}
            and wanted.correlation in {None, one.correlation_id}
            and (wanted.since is None or one.occurred_at >= wanted.since)
            and (wanted.until is None or one.occurred_at < wanted.until)
            and (not wanted.refused or isinstance(event, ValidationFailed))
            and (wanted.code is None or getattr(event, "code", None) == wanted.code)
        ):
            yield one.position


def test_what_is_wanted_is_found(ledger: Ledger, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """For all questions, the rows are those that a filter of the events finds: none more, none less, in order."""
    monkeypatch.setattr("holdbook.infrastructure.log.sql_log.ROWS_TESTED", 7)  # so that one reading is seldom enough
    ledger.record(list(random_commands()))
    records = [log.decode(row) for row in log.rows(limit=10**6)]
    head = len(records)
    assert {type(one.event) for one in records} >= {Allocated, Transferred, ValidationFailed, Reclaimed}
    seen: set[bool] = set()

    def agrees(wanted: EventFilter, after: int, limit: int, upto: int | None) -> None:
        last = head if upto is None else upto
        found = [row.position for row in log.find(wanted, after, limit, upto=upto)]
        assert found == [position for position in plainly(records, wanted) if after < position <= last][:limit]
        seen.add(bool(found))

    for name in NAMES:
        agrees(EventFilter(owner=name), 0, 1, None)
        agrees(EventFilter(owner=name), 0, head, None)
        agrees(EventFilter(owner=name, code=RefusalCode.POOL_EXHAUSTED), 0, head, None)
    numbers = st.integers(0, head)
    check = given(questions, numbers, st.integers(1, head), st.none() | numbers)(agrees)
    settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])(check)()
    assert seen == {True, False}


def test_each_event_is_seen_once_while_others_write(ledger: Ledger) -> None:
    """Whoever pages up to the first page's position sees what was there then, once, though more comes between pages."""
    ledger.record(list(random_commands(60)))
    whole = ledger.find(EventFilter(tags={"job": "7"}), limit=10**6)
    assert len(whole) > 12
    seen: list[int] = []
    page = ledger.find(EventFilter(tags={"job": "7"}), limit=5)
    upto = page.position
    for number in range(10**6):
        assert page.position == upto
        seen += [one.recorded.position for one in page]
        if page.next is None:
            break
        ledger.allocate({"gpu": 1}, owner=f"late-{number}", tags={"job": "7"})
        page = ledger.find(EventFilter(tags={"job": "7"}), after=page.next, limit=5, upto=upto)
    assert seen == [one.recorded.position for one in whole]
    later = ledger.find(EventFilter(tags={"job": "7"}), after=upto)
    assert [one.after and one.after.owner for one in later][:2] == ["late-0", "late-1"]


class LaterAllocated(Allocated):
    """As `Allocated` may be one day: what is its owner was its holder."""

    schema_version: ClassVar[int] = 2


def test_fields_that_had_other_names(log: Log) -> None:
    """What is in an event's data is found in rows of older versions too, under the names of today."""
    upcasters = {("Allocated", 1): lambda data: {**data, "owner": data["holder"]}}
    log.mapper = EventMapper({**EVENTS, "Allocated": LaterAllocated}, upcasters)
    end = append(log, [opened(1)])
    (row,) = MemoryEventLog().chain([granted(2, 2, allocation_id="x", command_id="c")], end)
    older = row._replace(data=row.data.replace('"owner"', '"holder"').replace('"tags":{}', '"tags":{"job":"7"}'))
    assert log.append_if(end, chained([older], end.position, end.hash))
    for wanted in (EventFilter(owner="a"), EventFilter(tags={"job": "7"})):
        assert [one.position for one in log.find(wanted)] == [2]
    assert log.find(EventFilter(owner="gpu")) == []
