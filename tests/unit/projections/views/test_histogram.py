"""The histograms of the view of counters: how long holds lasted, and how long confirming took."""

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
"""A histogram of nothing."""


def confirmed(allocation_id: str = "a", pool: str = "gpu") -> Confirmed:
    """Confirm a reservation of 2 units."""
    return Confirmed(pool=pool, allocation_id=allocation_id, owner="ann", quantity=2, deadline=None)


def released(allocation_id: str = "a", pool: str = "gpu") -> Released:
    """Release a hold of 2 units."""
    return Released(
        pool=pool, allocation_id=allocation_id, owner="ann", quantity=2, reserved=False, reason=None, forced=False
    )


def voided(allocation_id: str = "a") -> Voided:
    """Void a reservation of 2 units."""
    return Voided(pool="gpu", allocation_id=allocation_id, owner="ann", quantity=2, reserved=True, reason=None)


def expired(until: float, allocation_id: str = "a") -> Expired:
    """Expire a hold of 2 units."""
    return Expired(
        pool="gpu", allocation_id=allocation_id, owner="ann", quantity=2, reserved=True, deadline=after(until)
    )


def counted(history: History, operation: str, pool: str = "gpu") -> Row:
    """Give the view's row of an operation: count, milliseconds, histogram."""
    (found,) = (
        row
        for row in rows_of(METRICS, history)
        if (row["pool"], row["operation"], row["outcome"]) == (pool, operation, "done")
    )
    return {name: value for name, value in found.items() if name in {"count", "milliseconds", *LASTED}}


def held(history: History) -> list[tuple[str, str]]:
    """List the holds that the view remembers, with the second at which each began."""
    return [(row["allocation_id"], row["opened_at"][17:19]) for row in rows_of(METRICS, history, HOLDS)]


def lasting(milliseconds: int, *shorter: str, count: int = 1) -> Row:
    """Describe a hold that lasted so long: it counts in all columns but the ones named."""
    return {"count": count, "milliseconds": milliseconds, **NONE, **{name: 1 for name in LASTED if name not in shorter}}


class TestWhatIsTimed:
    """Each way in which a hold ends, and the confirmation of one."""

    def test_released(self) -> None:
        """A release adds the time that the hold lasted, and the view forgets the hold."""
        history = History().given(opened(), allocated("a", gpu=2), allocated("b", gpu=1), at=10)
        assert held(history) == [("a", "10"), ("b", "10")]
        history = history.given(released(), at=25)
        assert counted(history, "release") == lasting(15_000, "le_1s", "le_10s")
        assert held(history) == [("b", "10")]

    def test_confirmed(self) -> None:
        """A confirmation adds the time since the reservation; the hold still lasts from the reservation on."""
        history = History().given(opened(), reserved("a", gpu=2), at=0).given(confirmed(), at=2)
        assert counted(history, "confirm") == lasting(2000, "le_1s")
        assert held(history) == [("a", "00")]
        history = history.given(released(), at=90)
        assert counted(history, "release") == lasting(90_000, "le_1s", "le_10s", "le_1m")
        assert counted(history, "confirm")["count"] == 1
        assert held(history) == []

    def test_voided(self) -> None:
        """A voided reservation adds the time that it was held."""
        history = History().given(opened(), reserved("a", gpu=2)).given(voided(), at=0.5)
        assert counted(history, "void") == lasting(500)
        assert held(history) == []

    def test_expired(self) -> None:
        """An expiry adds the time up to the deadline, whenever it was recorded: it occurred at the deadline."""
        history = History().given(opened(), reserved("a", until=60, gpu=2)).given(expired(60), at=60)
        assert counted(history, "expire") == lasting(60_000, "le_1s", "le_10s")
        assert held(history) == []

    def test_changes_are_not_timed(self) -> None:
        """A hold that is renewed, resized or transferred lasts from its beginning on."""
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
        """Holds of a closed pool are timed to their end; closing itself takes no time."""
        closed = History().given(opened(), allocated("a", gpu=2)).given(PoolClosed(pool="gpu", reason=None), at=5)
        assert held(closed) == [("a", "00")]
        assert counted(closed, "close_pool")["milliseconds"] is None
        assert counted(closed.given(released(), at=9), "release")["milliseconds"] == 9000

    def test_each_pool_of_an_allocation(self) -> None:
        """An allocation over two pools is timed in each, and may end at another time in each."""
        history = History().given(opened("cpu"), opened(), allocated("a", cpu=2, gpu=2))
        history = history.given(released(pool="cpu"), at=1).given(released(), at=2)
        assert [counted(history, "release", pool)["milliseconds"] for pool in ("cpu", "gpu")] == [1000, 2000]

    def test_an_id_again(self) -> None:
        """In a forged log in which an allocation id comes twice, the second hold begins anew."""
        history = History().given(opened(), allocated("a", gpu=2)).given(released(), at=5)
        history = history.given(allocated("a", gpu=2), at=10).given(released(), at=11)
        assert counted(history, "release") == {**lasting(6000, count=2), **dict.fromkeys(LASTED, 2), "le_1s": 1}

    @pytest.mark.parametrize("event", [released(), confirmed(), voided(), expired(60)], ids=lambda one: one.stream_id)
    def test_what_was_never_held(self, event: Event) -> None:
        """In a forged log, the end of a hold that never began stops the view, and the hold is named."""
        history = History().given(opened(), event)
        with pytest.raises(
            HandlerFailed, match="at position 2: LookupError: allocation 'a' holds nothing of pool 'gpu'"
        ):
            rows_of(METRICS, history)


class TestColumns:
    """Each column of the histogram counts the holds that lasted no longer than its bound."""

    def test_they_are_those_that_the_page_says(self) -> None:
        """The names of the columns tell their bounds, and the bounds grow."""
        assert {name: longest / timedelta(seconds=1) for name, longest in LASTED.items()} == SECONDS
        assert list(SECONDS.values()) == sorted(SECONDS.values())

    @pytest.mark.parametrize("column", LASTED)
    def test_as_long_as_it_says(self, column: str) -> None:
        """A hold that lasts exactly as long as a column's bound counts in it; a microsecond more, and it does not."""
        seconds = SECONDS[column]
        begun = History().given(opened(), allocated("a", gpu=2))
        names = list(LASTED)
        shorter = names[: names.index(column)]
        assert counted(begun.given(released(), at=seconds), "release") == lasting(seconds * 1000, *shorter)
        longer = begun.given(released(), at=seconds + MICROSECOND)
        assert counted(longer, "release") == lasting(seconds * 1000, *shorter, column)

    def test_longer_than_all(self) -> None:
        """A hold that lasts longer than the last bound counts in no column, but in the count."""
        history = History().given(opened(), allocated("a", gpu=2)).given(released(), at=3_000_000.0015)
        assert counted(history, "release") == {"count": 1, "milliseconds": 3_000_000_001, **NONE}

    def test_at_once(self) -> None:
        """A hold that ends when it begins counts in every column, with no time."""
        history = History().given(opened(), allocated("a", gpu=2), released())
        assert counted(history, "release") == lasting(0)

    def test_whole_milliseconds_are_added_up(self) -> None:
        """Several holds add up their whole milliseconds, and each counts in its columns."""
        history = History().given(opened(), allocated("a", gpu=2), allocated("b", gpu=2), allocated("c", gpu=2))
        for number, name in enumerate("abc", start=1):
            history = history.given(released(name), at=number * 0.9 + 0.0009)
        sums = {**dict.fromkeys(LASTED, 3), "le_1s": 1}
        assert counted(history, "release") == {"count": 3, "milliseconds": 900 + 1800 + 2700, **sums}
