"""The view of counters: how long what was held was held, and how long confirming took."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from holdbook.domain.events import (
    Confirmed,
    Expired,
    PoolClosed,
    Released,
    Renewed,
    Resized,
    Transferred,
    Voided,
)
from holdbook.projections.fold import HandlerFailed
from holdbook.projections.views.metrics import LASTED, METRICS, TIMED
from support.deciding import History, after, allocated, opened, reserved
from support.viewing import SECONDS, rows_of

if TYPE_CHECKING:
    from holdbook.domain.events import Event
    from support.viewing import Row

HOLDS = METRICS.tables[1]
MILLISECOND, MICROSECOND = 1e-3, 1e-6

NONE = dict.fromkeys(LASTED, 0)
"""Of nothing that was timed."""


def confirmed(allocation_id: str = "a", pool: str = "gpu") -> Confirmed:
    """Confirm a reservation of two."""
    return Confirmed(pool=pool, allocation_id=allocation_id, owner="ann", quantity=2, deadline=None)


def released(allocation_id: str = "a", pool: str = "gpu") -> Released:
    """Release a hold of two."""
    return Released(
        pool=pool, allocation_id=allocation_id, owner="ann", quantity=2, reserved=False, reason=None, forced=False
    )


def voided(allocation_id: str = "a") -> Voided:
    """Void a reservation of two."""
    return Voided(pool="gpu", allocation_id=allocation_id, owner="ann", quantity=2, reserved=True, reason=None)


def expired(until: float, allocation_id: str = "a") -> Expired:
    """Have a hold of two expire."""
    return Expired(
        pool="gpu", allocation_id=allocation_id, owner="ann", quantity=2, reserved=True, deadline=after(until)
    )


def counted(history: History, operation: str, pool: str = "gpu") -> Row:
    """Give what the view has on an operation that was done: count, milliseconds, histogram."""
    (found,) = (
        row
        for row in rows_of(METRICS, history)
        if (row["pool"], row["operation"], row["outcome"]) == (pool, operation, "done")
    )
    return {name: value for name, value in found.items() if name in {"count", "milliseconds", *LASTED}}


def held(history: History) -> list[tuple[str, str]]:
    """List what the view remembers to be held: allocation and second."""
    return [(row["allocation_id"], row["opened_at"][17:19]) for row in rows_of(METRICS, history, HOLDS)]


def lasting(milliseconds: int, *shorter: str, count: int = 1) -> Row:
    """Describe what took so long in all: it is in all columns but those of what is shorter."""
    return {"count": count, "milliseconds": milliseconds, **NONE, **{name: 1 for name in LASTED if name not in shorter}}


class TestWhatIsTimed:
    """Each way in which a hold ends, and the confirmation of one."""

    def test_released(self) -> None:
        """A release counts how long it was held, and it is held no more."""
        history = History().given(opened(), allocated("a", gpu=2), allocated("b", gpu=1), at=10)
        assert held(history) == [("a", "10"), ("b", "10")]
        history = history.given(released(), at=25)
        assert counted(history, "release") == lasting(15_000, "le_1s", "le_10s")
        assert held(history) == [("b", "10")]

    def test_confirmed(self) -> None:
        """A confirmation counts how long it took since the reservation, which goes on being held since then."""
        history = History().given(opened(), reserved("a", gpu=2), at=0).given(confirmed(), at=2)
        assert counted(history, "confirm") == lasting(2000, "le_1s")
        assert held(history) == [("a", "00")]
        history = history.given(released(), at=90)
        assert counted(history, "release") == lasting(90_000, "le_1s", "le_10s", "le_1m")
        assert counted(history, "confirm")["count"] == 1
        assert held(history) == []

    def test_voided(self) -> None:
        """A reservation that was given up counts how long it was held."""
        history = History().given(opened(), reserved("a", gpu=2)).given(voided(), at=0.5)
        assert counted(history, "void") == lasting(500)
        assert held(history) == []

    def test_expired(self) -> None:
        """An expiry counts until the deadline, whenever it was noticed: that is when it occurred."""
        history = History().given(opened(), reserved("a", until=60, gpu=2)).given(expired(60), at=60)
        assert counted(history, "expire") == lasting(60_000, "le_1s", "le_10s")
        assert held(history) == []

    def test_changes_are_not_timed(self) -> None:
        """What goes on being held, renewed, resized or transferred, is held since its beginning."""
        changes: list[Event] = [
            Renewed(
                pool="gpu", allocation_id="a", owner="ann", quantity=2, deadline=after(99), previous_deadline=after(60)
            ),
            Resized(pool="gpu", allocation_id="a", owner="ann", quantity=2, previous_quantity=1),
            Transferred(pool="gpu", allocation_id="a", owner="ann", quantity=2, previous_owner="bob"),
        ]
        history = History().given(opened(), allocated("a", gpu=1)).given(*changes, at=7).given(released(), at=8)
        assert counted(history, "release")["milliseconds"] == 8000
        for operation in ("allocate", "renew", "resize", "transfer", "open_pool"):
            nothing = {"milliseconds": None, **dict.fromkeys(LASTED)}
            assert counted(history, operation) == {"count": 1, **nothing}
            assert operation not in TIMED

    def test_a_pool_that_closes(self) -> None:
        """What a closed pool still holds is timed to its end as ever; closing itself takes no time."""
        closed = History().given(opened(), allocated("a", gpu=2)).given(PoolClosed(pool="gpu", reason=None), at=5)
        assert held(closed) == [("a", "00")]
        assert counted(closed, "close_pool")["milliseconds"] is None
        assert counted(closed.given(released(), at=9), "release")["milliseconds"] == 9000

    def test_each_pool_of_an_allocation(self) -> None:
        """An allocation over two pools is timed in each, and may end in each at another time."""
        history = History().given(opened("cpu"), opened(), allocated("a", cpu=2, gpu=2))
        history = history.given(released(pool="cpu"), at=1).given(released(), at=2)
        assert [counted(history, "release", pool)["milliseconds"] for pool in ("cpu", "gpu")] == [1000, 2000]

    def test_an_id_again(self) -> None:
        """In a forged log, where an allocation id comes twice, the second hold begins anew."""
        history = History().given(opened(), allocated("a", gpu=2)).given(released(), at=5)
        history = history.given(allocated("a", gpu=2), at=10).given(released(), at=11)
        assert counted(history, "release") == {**lasting(6000, count=2), **dict.fromkeys(LASTED, 2), "le_1s": 1}

    @pytest.mark.parametrize("event", [released(), confirmed(), voided(), expired(60)], ids=lambda one: one.stream_id)
    def test_what_was_never_held(self, event: Event) -> None:
        """In a forged log, the end of what does not hold anything stops the view, which names it."""
        history = History().given(opened(), event)
        with pytest.raises(
            HandlerFailed, match="at position 2: LookupError: allocation 'a' holds nothing of pool 'gpu'"
        ):
            rows_of(METRICS, history)


class TestColumns:
    """The histogram's columns: each counts all that is no longer than it says."""

    def test_they_are_those_that_the_page_says(self) -> None:
        """Names and limits are one thing, and grow."""
        assert {name: longest / timedelta(seconds=1) for name, longest in LASTED.items()} == SECONDS
        assert list(SECONDS.values()) == sorted(SECONDS.values())

    @pytest.mark.parametrize("column", LASTED)
    def test_as_long_as_it_says(self, column: str) -> None:
        """What takes just as long as a column says is in it, and what takes a microsecond longer is not."""
        seconds = SECONDS[column]
        begun = History().given(opened(), allocated("a", gpu=2))
        names = list(LASTED)
        shorter = names[: names.index(column)]
        assert counted(begun.given(released(), at=seconds), "release") == lasting(seconds * 1000, *shorter)
        longer = begun.given(released(), at=seconds + MICROSECOND)
        assert counted(longer, "release") == lasting(seconds * 1000, *shorter, column)

    def test_longer_than_all(self) -> None:
        """What takes longer than the last column is in none, and counts all the same."""
        history = History().given(opened(), allocated("a", gpu=2)).given(released(), at=3_000_000.0015)
        assert counted(history, "release") == {"count": 1, "milliseconds": 3_000_000_001, **NONE}

    def test_at_once(self) -> None:
        """What ends as it begins took no time, and is in every column."""
        history = History().given(opened(), allocated("a", gpu=2), released())
        assert counted(history, "release") == lasting(0)

    def test_whole_milliseconds_are_added_up(self) -> None:
        """The time of several is their sum, each in whole milliseconds; a column counts each."""
        history = History().given(opened(), allocated("a", gpu=2), allocated("b", gpu=2), allocated("c", gpu=2))
        for number, name in enumerate("abc", start=1):
            history = history.given(released(name), at=number * 0.9 + 0.0009)
        sums = {**dict.fromkeys(LASTED, 3), "le_1s": 1}
        assert counted(history, "release") == {"count": 3, "milliseconds": 900 + 1800 + 2700, **sums}
