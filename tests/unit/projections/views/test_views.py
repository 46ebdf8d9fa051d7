"""The handlers of the views: from these events come these rows."""

from __future__ import annotations

import pytest

from holdbook import Limits
from holdbook.domain.events import (
    EVENTS,
    Confirmed,
    LimitsChanged,
    PoolClosed,
    Reclaimed,
    Released,
    Reserved,
    Resized,
    ValidationFailed,
)
from holdbook.domain.refusals import RefusalCode
from holdbook.projections.views.allocation_history import ALLOCATION_HISTORY
from holdbook.projections.views.metrics import METRICS, OPERATIONS
from holdbook.projections.views.pool_usage import POOL_USAGE
from holdbook.projections.views.validation_failures import VALIDATION_FAILURES
from support.deciding import History, allocated, opened, reserved
from support.viewing import rows_of

HOUR = 3600


def ended(allocation_id: str, pool: str = "gpu", quantity: int = 2) -> Released:
    """Release one hold."""
    return Released(
        pool=pool,
        allocation_id=allocation_id,
        owner="ann",
        quantity=quantity,
        reserved=False,
        reason=None,
        forced=False,
    )


def resized(allocation_id: str, before: int, after: int) -> Resized:
    """Resize one hold."""
    return Resized(pool="gpu", allocation_id=allocation_id, owner="ann", quantity=after, previous_quantity=before)


def refused(pool: str | None = "gpu", *, known: bool = True, **asked: object) -> ValidationFailed:
    """Refuse an allocation."""
    return ValidationFailed(
        code=RefusalCode.POOL_EXHAUSTED,
        pool=pool,
        known=known,
        allocation_id="a9",
        asked={"command": "allocate", "owner": "ann", **asked},
        data={"free": 1, "asked": 4},
    )


RECLAIMED = Reclaimed(pool="gpu", allocation_id="a", state="expired", reason="still there")


def usage(history: History) -> list[tuple[object, ...]]:
    """Give the rows of pool usage: hour, used, peak, capacity, allocations, grants, endings, position."""
    return [(row["bucket"][11:13], *list(row.values())[2:]) for row in rows_of(POOL_USAGE, history)]


class TestPoolUsage:
    """Use, peak and capacity of pools, by the hour."""

    def test_nothing(self) -> None:
        """Without events there is no row."""
        assert rows_of(POOL_USAGE, History()) == []

    def test_opened(self) -> None:
        """A new pool has its capacity, and nothing is used."""
        assert rows_of(POOL_USAGE, History().given(opened(total=8, reserved=1, overcommit="1.5"))) == [
            {
                "pool": "gpu",
                "bucket": "2026-01-01T00:00:00.000000Z",
                "used": 0,
                "peak": 0,
                "capacity": 10,
                "allocations": 0,
                "grants": 0,
                "endings": 0,
                "position": 1,
            }
        ]

    def test_within_a_bucket(self) -> None:
        """The peak stays when less is used later; reservations use as allocations do."""
        history = History().given(opened(), allocated("a", gpu=2), reserved("b", gpu=3), ended("a"))
        assert usage(history) == [("00", 3, 5, 8, 1, 2, 1, 4)]

    def test_a_later_bucket(self) -> None:
        """A bucket begins with the use that the one before ended with, which is its peak unless more is used."""
        history = History().given(opened(), allocated("a", gpu=2))
        history = history.given(ended("a"), at=3 * HOUR - 0.000001).given(allocated("b", gpu=1), at=3 * HOUR)
        assert usage(history) == [
            ("00", 2, 2, 8, 1, 1, 0, 2),
            ("02", 0, 2, 8, 0, 0, 1, 3),
            ("03", 1, 1, 8, 1, 1, 0, 4),
        ]

    def test_resized(self) -> None:
        """A resize changes the use, and counts neither as a grant nor as an ending."""
        history = History().given(opened(), allocated("a", gpu=4), resized("a", 4, 7), resized("a", 7, 1))
        assert usage(history) == [("00", 1, 7, 8, 1, 1, 0, 4)]

    def test_limits_changed(self) -> None:
        """New limits change the capacity, even to less than is used."""
        lowered = LimitsChanged(pool="gpu", limits=Limits(total=1), previous=Limits(total=8))
        assert usage(History().given(opened(), allocated("a", gpu=2), lowered)) == [("00", 2, 2, 1, 1, 1, 0, 3)]

    def test_what_uses_nothing(self) -> None:
        """Confirming and closing change only the position."""
        confirmed = Confirmed(pool="gpu", allocation_id="a", owner="ann", quantity=2, deadline=None)
        history = History().given(opened(), reserved("a", gpu=2), confirmed, PoolClosed(pool="gpu", reason=None))
        assert usage(history) == [("00", 2, 2, 8, 1, 1, 0, 4)]

    def test_refused(self) -> None:
        """A refusal changes nothing, because its time may be ahead of its pool's."""
        history = History().given(opened()).given(refused(), at=9 * HOUR).given(allocated("a", gpu=2), at=2 * HOUR)
        assert usage(history) == [("00", 0, 0, 8, 0, 0, 0, 1), ("02", 2, 2, 8, 1, 1, 0, 3)]

    def test_pools_apart(self) -> None:
        """Each pool has rows of its own."""
        history = History().given(opened("cpu"), opened("gpu"), allocated("a", cpu=5, gpu=2))
        assert [(row["pool"], row["used"]) for row in rows_of(POOL_USAGE, history)] == [("cpu", 5), ("gpu", 2)]

    def test_time_gone_back(self) -> None:
        """In a forged log, an event of an earlier time counts in the last bucket; an unopened pool has no capacity."""
        history = History().given(allocated("a", gpu=2), at=2 * HOUR).given(ended("a"), at=0)
        assert usage(history) == [("02", 0, 2, 0, 0, 1, 1, 2)]


class TestMetrics:
    """Counters."""

    def counted(self, history: History) -> list[tuple[object, ...]]:
        """Give the counters: resource type, pool, operation, outcome, code, count."""
        return [tuple(row.values())[:6] for row in rows_of(METRICS, history)]

    def test_nothing(self) -> None:
        """Without events there is no counter."""
        assert self.counted(History()) == []

    def test_done(self) -> None:
        """Each operation on each pool counts, with the resource type of the pool's opening."""
        history = History().given(opened("cpu"), opened(), allocated("a", cpu=5, gpu=2), allocated("b", gpu=2))
        history = history.given(ended("b"))
        assert self.counted(history) == [
            ("accelerator", "cpu", "allocate", "done", "", 1),
            ("accelerator", "cpu", "open_pool", "done", "", 1),
            ("accelerator", "gpu", "allocate", "done", "", 2),
            ("accelerator", "gpu", "open_pool", "done", "", 1),
            ("accelerator", "gpu", "release", "done", "", 1),
        ]

    def test_refused(self) -> None:
        """A refusal counts for the operation asked for and its code, in the pool that refused."""
        assert self.counted(History().given(opened(), refused(), refused()))[0] == (
            "accelerator",
            "gpu",
            "allocate",
            "refused",
            "pool_exhausted",
            2,
        )

    @pytest.mark.parametrize("event", [refused("nope", known=False), refused(None, known=False), refused(None)])
    def test_no_pool(self, event: ValidationFailed) -> None:
        """Refusals without a known pool count together, whatever pool was named."""
        assert self.counted(History().given(event)) == [("", "", "allocate", "refused", "pool_exhausted", 1)]

    def test_no_operation(self) -> None:
        """In a forged log, a refusal without a command counts, too, and so does a pool that was never opened."""
        history = History().given(refused(command=7), allocated("a", gpu=1))
        assert self.counted(history) == [
            ("", "gpu", "", "refused", "pool_exhausted", 1),
            ("", "gpu", "allocate", "done", "", 1),
        ]

    def test_reclaimed(self) -> None:
        """A reclaim counts as an operation of its own and is not timed; it begins and ends no hold."""
        history = History().given(opened(), RECLAIMED)
        assert self.counted(history)[-1] == ("accelerator", "gpu", "reclaim", "done", "", 1)

    def test_every_event_has_its_operation(self) -> None:
        """Every type of event has an operation."""
        assert {*OPERATIONS, "ValidationFailed"} == set(EVENTS) == set(METRICS.handlers)


class TestValidationFailures:
    """Refusals with all their details."""

    def test_only_refusals(self) -> None:
        """Only refusals make rows."""
        assert rows_of(VALIDATION_FAILURES, History().given(opened(), allocated("a", gpu=1))) == []

    def test_refused(self) -> None:
        """A refusal has what was asked, by whom, and the data of the decision."""
        history = History().given(opened(), refused(z=1, a=[2]), at=1)
        assert rows_of(VALIDATION_FAILURES, history) == [
            {
                "position": 2,
                "occurred_at": "2026-01-01T00:00:01.000000Z",
                "recorded_at": "2026-01-01T00:00:00.000000Z",
                "operation": "allocate",
                "code": "pool_exhausted",
                "pool": "gpu",
                "owner": "ann",
                "allocation_id": "a9",
                "actor": "tests",
                "asked": '{"a":[2],"command":"allocate","owner":"ann","z":1}',
                "data": '{"asked":4,"free":1}',
                "command_id": "given-2",
                "correlation_id": None,
                "causation_id": None,
            }
        ]

    def test_no_owner(self) -> None:
        """The refusal of a command without an owner has no owner."""
        (row,) = rows_of(VALIDATION_FAILURES, History().given(refused(owner=None)))
        assert row["owner"] is None


def test_a_reservation_is_used_like_an_allocation() -> None:
    """A reservation and an allocation differ only in their counters."""
    grants = [History().given(opened(), kind("a", gpu=2)) for kind in (allocated, reserved)]
    assert usage(grants[0]) == usage(grants[1])
    assert isinstance(grants[1].records[1].event, Reserved)
    assert rows_of(METRICS, grants[0]) != rows_of(METRICS, grants[1])


class TestAllocationHistory:
    """Everything that happened to allocations."""

    def test_reclaimed(self) -> None:
        """A reclaim is a row without owner and quantity, because nothing is held."""
        [row] = rows_of(ALLOCATION_HISTORY, History().given(opened(), RECLAIMED))
        assert (row["allocation_id"], row["event"], row["reason"]) == ("a", "Reclaimed", "still there")
        assert (row["pool"], row["owner"], row["quantity"], row["deadline"]) == ("gpu", None, None, None)
