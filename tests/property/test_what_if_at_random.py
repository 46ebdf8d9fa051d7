"""For all logs: decided again under the recorded limits, every command has its outcome; under others, as if imported.

What is compared with is counted from the stored rows, and from a ledger that was opened under the other limits.
"""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from holdbook import ChangeLimits, Limits, Malformed, MemoryEventLog, OpenPool, PoolAlreadyOpen
from holdbook.domain.commands import Command, command_from
from holdbook.domain.handling.interface import LedgerInterface
from holdbook.domain.records import StoredRow
from holdbook.replay.simulation.outcomes import DONE
from holdbook.replay.simulation.what_if import WhatIf, what_if
from support.deciding import Clock, after, ledger_on
from support.plain_ledger import PlainLedger
from support.strategies import POOLS, commands, small_limits

pytestmark = pytest.mark.untraced

FENCED = {"confirm", "void", "renew", "resize", "transfer", "release"}
ENDINGS = {"Released", "Voided", "Expired"}

steps = st.lists(
    st.fixed_dictionaries(
        {
            "fields": commands,
            "pause": st.integers(-3, 12),
            "nameless": st.integers(0, 5).map(lambda one: one == 0),
            "imported": st.booleans(),
            "fence": st.sampled_from([None, None, None, "", "9:9"]),
        }
    ),
    max_size=40,
)
"""What two processes do one after the other, live or imported, with clocks that go back."""

moments = st.none() | st.integers(0, 150).map(lambda number: after(number / 2))
begun = st.lists(small_limits, min_size=2, max_size=3)
FEW = settings(max_examples=100)


def open_some(limits: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Most ledgers have pools."""
    same = {"command": "open_pool", "resource_type": "r", "unit": "u"}
    return [{**same, "pool": name, "limits": one} for name, one in zip(POOLS, limits, strict=False)]


def live(log: MemoryEventLog, opened: list[dict[str, Any]], life: list[dict[str, Any]]) -> None:
    """Let everything happen that was drawn."""
    clock, now, numbers = Clock(), 0, count()
    ledgers = [PlainLedger(log, clock=clock, new_id=lambda: f"id-{next(numbers)}") for _ in range(2)]
    send(ledgers[0], [command_from({**fields, "command_id": f"o{n}"}) for n, fields in enumerate(opened)])
    for number, step in enumerate(life):
        now = max(now + step["pause"], 0)
        clock.set(now)
        ledger, fields = ledgers[number % 2], {**step["fields"], "command_id": f"c{number}"}
        if step["nameless"] and fields["command"] in {"allocate", "reserve"}:
            del fields["allocation_id"]
        if step["fence"] is not None and fields["command"] in FENCED and "force" not in fields:
            fields["token"] = step["fence"] or token_of(ledger, fields["allocation_id"])
        if step["imported"]:
            fields["at"] = after(now - 1 if now else 0)
        send(ledger, [command_from(fields)])


def token_of(ledger: LedgerInterface, allocation_id: str) -> str | None:
    """Find the token of an allocation that is open."""
    return next((str(one.token) for one in ledger.allocations() if one.id == allocation_id), None)


def send(ledger: LedgerInterface, some: list[Command]) -> None:
    """Send commands; a pool that is open with other content is an error, and nothing is recorded."""
    for command in some:
        try:
            if command.at:
                ledger.record([command])
            else:
                ledger.submit(command).result()
        except PoolAlreadyOpen:
            pass


def rows_of(log: MemoryEventLog) -> list[StoredRow]:
    """Read the whole log."""
    return log.rows(limit=10**9)


def outcome(row: StoredRow) -> tuple[str, str]:
    """Read off a command's first own row what it was and how it ended."""
    word = json.loads(row.data)["code"] if row.type == "ValidationFailed" else DONE
    return json.loads(row.command or "")["command"], word


def within(row: StoredRow, since: datetime | None, until: datetime | None) -> bool:
    """Tell whether a row occurred in a time."""
    moment = datetime.fromisoformat(row.occurred_at)
    return (since is None or since <= moment) and (until is None or moment < until)


@FEW
@given(begun, steps, moments, moments)
def test_under_the_recorded_limits_every_outcome_is_the_recorded_one(
    limits: list[dict[str, Any]], life: list[dict[str, Any]], since: datetime | None, until: datetime | None
) -> None:
    """Whatever was recorded, by whom and in what order of times, and within whatever time."""
    assume(since is None or until is None or since < until)
    log = MemoryEventLog()
    live(log, open_some(limits), life)
    found = what_if(log, {}, since=since, until=until)
    assert found.fault is None
    own = [row for row in rows_of(log) if row.command is not None and within(row, since, until)]
    assert found.events == sum(row.ordinals for row in own)
    assert found.recorded == found.what_if == Counter(map(outcome, own))


def changed(command: Command, changes: dict[str, dict[str, Any]]) -> Command:
    """Give a command other limits, as it would have been sent."""
    if not isinstance(command, OpenPool | ChangeLimits) or command.pool not in changes:
        return command
    update = {"limits": merged(command.limits, changes[command.pool])}
    if isinstance(command, ChangeLimits) and command.expected:
        update["expected"] = merged(command.expected, changes[command.pool])
    return command.model_copy(update=update)


def merged(limits: Limits, changes: dict[str, Any]) -> Limits:
    """Change some limits; not every change goes with the others."""
    try:
        return Limits(**{**limits.model_dump(), **changes})
    except Malformed:
        assume(condition=False)
        raise


def sent(log: MemoryEventLog) -> list[tuple[StoredRow, Command]]:
    """Read every command that recorded something, with its first own row."""
    own = (row for row in rows_of(log) if row.command is not None)
    return [(row, command_from({**json.loads(row.command or ""), "command_id": row.command_id})) for row in own]


def peaks(rows: Iterable[StoredRow], held: dict[str, int]) -> dict[str, int]:
    """Add up what is held, and give the most of each pool after any command."""
    parts: dict[tuple[str, str], int] = {}
    most = dict(held)
    for row in rows:
        data = json.loads(row.data)
        if row.type == "PoolOpened":
            held[data["pool"]] = most[data["pool"]] = 0
        elif "quantity" in data:
            pool, part = data["pool"], (data["pool"], data["allocation_id"])
            before = parts.get(part, 0)
            parts[part] = 0 if row.type in ENDINGS else data["quantity"]
            held[pool] += parts[part] - before
            if row.type != "Expired":
                most[pool] = max(most[pool], held[pool])
    return most


changes = st.dictionaries(
    st.sampled_from(POOLS), st.fixed_dictionaries({"total": st.integers(0, 30)}) | small_limits, min_size=1, max_size=2
)
in_order = st.lists(
    st.tuples(commands.filter(lambda one: one["command"] != "close_pool"), st.integers(0, 6)), max_size=40
)


@FEW
@given(begun, in_order, changes, st.none() | st.integers(1, 80))
def test_under_other_limits_it_ends_as_if_the_commands_were_imported_under_them(
    limits: list[dict[str, Any]],
    life: list[tuple[dict[str, Any], int]],
    other: dict[str, dict[str, Any]],
    begins: int | None,
) -> None:
    """From the beginning, or from a time at which the limits are changed."""
    log, now = MemoryEventLog(), 0
    for number, (fields, pause) in enumerate([*((one, 0) for one in open_some(limits)), *life]):
        now += pause
        send(ledger_on(log), [command_from({**fields, "command_id": f"c{number}", "at": after(now)})])
    since = None if begins is None else after(begins)
    other = {pool: one for pool, one in other.items() if pool in {pool.name for pool in ledger_on(log).pools()}}

    imported, clock = MemoryEventLog(), Clock()
    fresh = ledger_on(imported, clock)
    recorded = sent(log)
    before = [command for row, command in recorded if since and not within(row, since, None)]
    send(fresh, before)
    if since:
        clock.now = since
        for pool in fresh.pools():
            wanted = merged(pool.limits, other.get(pool.name, {}))
            send(fresh, [ChangeLimits(pool=pool.name, limits=wanted, at=since, command_id=f"changed {pool.name}")])
    held = {pool.name: pool.used for pool in fresh.pools()}
    ends = [fresh.record([changed(command, other)])[0] for _, command in recorded[len(before) :]]

    found = what_if(log, other, since=since, flips=10**9)
    assert found.fault is None
    compare(
        found,
        [
            (row, outcome(row), end.refusal.code.value if end.refusal else DONE)
            for (row, _), end in zip(recorded[len(before) :], ends, strict=True)
        ],
    )
    if since is None:
        assert {pool.name: pool.what_if.used for pool in found.pools} == peaks(rows_of(imported), held)
        assert {pool.name: pool.recorded.used for pool in found.pools} == peaks(rows_of(log), {})
    assert all(pool.what_if.used >= held.get(pool.name, 0) for pool in found.pools)


def compare(found: WhatIf, ended: list[tuple[StoredRow, tuple[str, str], str]]) -> None:
    """Compare a report with how each command ended, and would have ended."""
    assert found.recorded == Counter(was for _, was, _ in ended)
    assert found.what_if == Counter((verb, end) for _, (verb, _), end in ended)
    assert found.turns == Counter((verb, was, end) for _, (verb, was), end in ended if was != end)
    flips = [(row.position, was, end) for row, (_, was), end in ended if was != end and DONE in {was, end}]
    assert [(one.position, one.recorded.word, one.what_if.word) for one in found.flips] == flips
    assert found.flipped == len(flips)
