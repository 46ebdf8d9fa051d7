"""Usage in a window, case by case."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from holdbook import Allocate, Confirm, Ledger, Malformed, Release, Resize
from holdbook.domain.events import Allocated, Confirmed, Released, Reserved, Resized, Transferred, Voided
from holdbook.replay.reports import usage as module
from holdbook.replay.reports.usage import Grouping, UsageRow, usage_report
from support.deciding import T0, Clock, after, allocated, given, granted, ledger_on, opened, refusal, reserved

if TYPE_CHECKING:
    from holdbook.domain.events import Event
    from support.deciding import History

POOL = given(opened(total=100), opened("cpu", total=100, unit="core"))
BY_OWNER = Grouping("owner")
HOLD = {"pool": "gpu", "allocation_id": "a", "owner": "ann"}
MICROS = 10**6


def rows(history: History, begin: float | None, end: float, by: str = "owner") -> list[UsageRow]:
    """Report the usage between two times, in seconds after the beginning."""
    since = None if begin is None else after(begin)
    return list(usage_report(history.log(), Grouping.parse(by), begin=since, end=after(end)).rows)


def row(group: str | None, micros: int, peak: int, allocations: int = 1, pool: str = "gpu") -> UsageRow:
    """Make the row of a group that had nothing refused."""
    return UsageRow(group, pool, {"gpu": "device", "cpu": "core"}[pool], micros, peak, allocations, 0, 0)


def released(quantity: int, owner: str = "ann", *, was_reserved: bool = False) -> Event:
    """Release a hold."""
    fields = {**HOLD, "owner": owner, "quantity": quantity}
    return Released(**fields, reserved=was_reserved, reason=None, forced=was_reserved)


def test_what_is_held_across_a_window() -> None:
    """A hold that is open before and after the window counts for the whole window."""
    history = POOL.given(allocated("a", gpu=3), at=1)
    assert rows(history, 10, 20) == [row("ann", 30 * MICROS, 3)]
    assert rows(history, 0, 1) == []
    assert rows(history, 0, 1.000001) == [row("ann", 3, 3)]
    assert rows(history, None, 3) == [row("ann", 6 * MICROS, 3)]


def test_a_hold_is_over_at_its_deadline() -> None:
    """A hold ends at its deadline, whether its expiry is recorded then, later, or never."""
    history = POOL.given(allocated("a", until=10, gpu=2), at=1)
    assert rows(history, 5, 50) == [row("ann", 10 * MICROS, 2)]
    assert rows(history, 10, 50) == []
    beside = history.given(allocated("b", gpu=1), at=1)
    assert rows(beside, 10, 50, "pool") == [row("gpu", 40 * MICROS, 1)]
    clock = Clock(after(60))
    log = history.log()
    ledger_on(log, clock).expire()
    for begin, found in ((5, [row("ann", 10 * MICROS, 2)]), (10, []), (11, [])):
        assert list(usage_report(log, BY_OWNER, begin=after(begin), end=after(50)).rows) == found


def test_reservations_are_held() -> None:
    """A reservation counts until it is voided, confirmed or expires; confirmed, it goes on to its new deadline."""
    history = POOL.given(reserved("a", until=60, gpu=1), at=0)
    voided = history.given(Voided(**HOLD, quantity=1, reserved=True, reason=None), at=5)
    assert rows(voided, 0, 100) == [row("ann", 5 * MICROS, 1)]
    assert rows(history.given(released(1, was_reserved=True), at=6), 0, 100) == [row("ann", 6 * MICROS, 1)]
    assert rows(history, 0, 100) == [row("ann", 60 * MICROS, 1)]
    for deadline, seconds in ((None, 100), (after(80), 80), (after(30), 30)):
        confirmed = history.given(Confirmed(**HOLD, quantity=1, deadline=deadline), at=5)
        assert rows(confirmed, 0, 100) == [row("ann", seconds * MICROS, 1)]


def test_what_was_held_for_no_time() -> None:
    """A hold that ends at the instant at which it began does not count, and makes no peak."""
    history = POOL.given(allocated("b", owner="bob", gpu=1), at=1)
    blink = history.given(allocated("a", gpu=9), released(9), at=5)
    assert rows(blink, 0, 10) == [row("bob", 9 * MICROS, 1)]
    assert rows(blink, 0, 10, "pool") == [row("gpu", 9 * MICROS, 1)]


def test_a_resize_and_a_transfer_split_a_hold_at_the_moment() -> None:
    """A new size and a new owner count from their moment on; the allocation counts once for each owner."""
    history = (
        POOL.given(allocated("a", gpu=4), at=0)
        .given(Resized(**HOLD, quantity=6, previous_quantity=4), at=2)
        .given(Transferred(**{**HOLD, "owner": "bob"}, quantity=6, previous_owner="ann"), at=5)
        .given(Transferred(**HOLD, quantity=6, previous_owner="bob"), at=9)
    )
    assert rows(history, 0, 10) == [row("ann", (8 + 18 + 6) * MICROS, 6), row("bob", 24 * MICROS, 6)]
    assert rows(history, 0, 10, "pool") == [row("gpu", (8 + 18 + 24 + 6) * MICROS, 6)]


def test_peaks_are_of_each_group() -> None:
    """The peaks of groups, and of all together, need not be at the same time."""
    history = (
        POOL.given(allocated("a", gpu=5), at=0)
        .given(released(5), allocated("b", owner="bob", gpu=4), at=2)
        .given(allocated("c", owner="ann", gpu=2), at=3)
    )
    assert [(one.group, one.peak) for one in rows(history, 0, 10)] == [("ann", 5), ("bob", 4)]
    assert [one.peak for one in rows(history, 0, 10, "pool")] == [6]


def test_by_tag() -> None:
    """Usage by tag has a group for each value, and last, one for what has no such tag."""
    history = POOL.given(
        granted(Allocated, "a", {"gpu": 1}, tags={"team": "red"}),
        granted(Reserved, "b", {"cpu": 2, "gpu": 2}, tags={"team": "blue", "job": "1"}, until=60),
        granted(Allocated, "c", {"gpu": 4}, tags={"job": "2"}),
    )
    assert rows(history, 0, 1, "tag:team") == [
        row("blue", 2 * MICROS, 2, pool="cpu"),
        row("blue", 2 * MICROS, 2),
        row("red", MICROS, 1),
        row(None, 4 * MICROS, 4),
    ]


def test_refused_demand() -> None:
    """A refused command that asked for quantities counts in each pool that it asked of."""
    ledger = POOL.given(granted(Allocated, "a", {"gpu": 90}, owner="bob", tags={"team": "red"})).ledger()
    refusal(ledger, Allocate(quantities={"gpu": 11, "cpu": 3}, owner="ann", tags={"team": "blue"}))
    refusal(ledger, Allocate(quantities={"gpu": 12, "tpu": 1}, owner="ann"))
    refusal(ledger, Resize(allocation_id="a", quantities={"gpu": 101}))
    refusal(ledger, Resize(allocation_id="nobody", quantities={"gpu": 1}))
    refusal(ledger, Release(allocation_id="nobody"))
    refusal(ledger, Confirm(allocation_id="a"))

    def refused(by: str) -> dict[tuple[str | None, str], tuple[int, int]]:
        found = usage_report(ledger.log, Grouping.parse(by), end=after(1)).rows
        return {(one.group, one.pool): (one.refused, one.refused_quantity) for one in found}

    assert refused("owner") == {
        ("ann", "cpu"): (1, 3),
        ("ann", "gpu"): (2, 23),
        ("ann", "tpu"): (1, 1),
        ("bob", "gpu"): (1, 101),
        (None, "gpu"): (1, 1),
    }
    assert refused("pool") == {("cpu", "cpu"): (1, 3), ("gpu", "gpu"): (4, 125), ("tpu", "tpu"): (1, 1)}
    assert refused("tag:team") == {
        ("blue", "cpu"): (1, 3),
        ("blue", "gpu"): (1, 11),
        ("red", "gpu"): (1, 101),
        (None, "gpu"): (2, 13),
        (None, "tpu"): (1, 1),
    }
    units = {one.pool: one.unit for one in usage_report(ledger.log, BY_OWNER, end=after(1)).rows}
    assert units == {"cpu": "core", "gpu": "device", "tpu": None}


def test_a_refused_resize_is_its_owner_s_of_then() -> None:
    """A refused resize counts for the owner that the allocation had then."""
    ledger = POOL.given(allocated("a", owner="ann", gpu=1)).ledger()
    refusal(ledger, Resize(allocation_id="a", quantities={"gpu": 101}))
    ledger.transfer("a", to="bob")
    refusal(ledger, Resize(allocation_id="a", quantities={"gpu": 102}))
    found = usage_report(ledger.log, BY_OWNER, end=after(1)).rows
    assert {one.group: one.refused_quantity for one in found} == {"ann": 101, "bob": 102}


def test_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of pages makes no difference, and progress is reported after each page."""
    ledger = POOL.given(allocated("a", gpu=1)).ledger()
    for number in range(5):
        refusal(ledger, Resize(allocation_id="a", quantities={"gpu": 101 + number}))
    whole = usage_report(ledger.log, BY_OWNER, end=after(5))
    monkeypatch.setattr(module, "PAGE_ROWS", 2)
    told: list[tuple[int, int]] = []
    pages = usage_report(ledger.log, BY_OWNER, end=after(5), progress=lambda done, total: told.append((done, total)))
    assert pages == whole
    assert told == [(2, 8), (4, 8), (6, 8), (8, 8)]


def test_the_first_moment_there_is() -> None:
    """A window may begin at the first moment of the calendar."""
    first = datetime.fromisoformat("0001-01-01T00:00:00Z")
    report = usage_report(POOL.given(allocated("a", gpu=2)).log(), BY_OWNER, begin=first, end=after(2))
    assert (report.begin, report.rows) == (first, (row("ann", 4 * MICROS, 2),))


def test_an_empty_log() -> None:
    """In an empty log there is no usage and no beginning."""
    with Ledger.in_memory() as ledger:
        assert usage_report(ledger.log, BY_OWNER, end=T0) == (None, T0, 0, ())


@pytest.mark.parametrize(
    ("micros", "said"),
    [(0, "0"), (10 * MICROS, "10"), (1, "0.000001"), (1_500_000, "1.5"), (10**30 + 10, "1" + "0" * 24 + ".00001")],
)
def test_unit_seconds_are_exact(micros: int, said: str) -> None:
    """Unit-seconds are exact decimals with up to six places, and whole numbers where they can be."""
    assert row("ann", micros, 1).unit_seconds == said


@pytest.mark.parametrize("text", ["", "owners", "owner:", "pool:x", "tag", "tag:", "tag: x", "tag:a\0", "TAG:a", ":a"])
def test_what_it_cannot_be_told_apart_by(text: str) -> None:
    """A grouping that is neither owner, pool nor tag is malformed."""
    with pytest.raises(Malformed, match=r"^by: expected owner, pool, or tag:KEY") as info:
        Grouping.parse(text)
    assert (info.value.parameter, info.value.value) == ("by", text)


def test_a_tag_s_name_may_have_a_colon() -> None:
    """Only the first colon separates the word tag from its key."""
    assert Grouping.parse("tag:k8s:app") == Grouping("tag", "k8s:app")


@pytest.mark.parametrize(
    ("begin", "end", "at_fault"),
    [
        (T0, T0, "end"),
        (T0 + timedelta(1), T0, "end"),
        (T0.replace(tzinfo=None), T0, "begin"),
        (T0, after(1).replace(tzinfo=None), "end"),
        (None, T0.replace(tzinfo=None), "end"),
    ],
)
def test_a_window_that_is_none(begin: datetime | None, end: datetime, at_fault: str) -> None:
    """A window must end after it begins, and its times need their offsets."""
    with pytest.raises(Malformed) as info:
        usage_report(POOL.log(), BY_OWNER, begin=begin, end=end)
    assert info.value.parameter == at_fault
