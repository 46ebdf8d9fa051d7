"""Closing a ledger: what ends, what may go on, and what everybody who reads the log makes of it."""

from datetime import timedelta

import pytest

from holdbook import (
    Allocate,
    CloseLedger,
    Command,
    EventFilter,
    Limits,
    OpenPool,
    Outcome,
    RefusalCode,
    Refused,
    Release,
)
from holdbook.domain.events import Expired, LedgerClosed, PoolClosed
from holdbook.domain.handling.interface import LedgerInterface
from holdbook.infrastructure import ledger as infrastructure
from holdbook.projections.views.metrics import METRICS
from holdbook.projections.views.pool_usage import POOL_USAGE
from holdbook.replay.history.as_of import state_at
from holdbook.replay.history.stories import find
from holdbook.replay.reports.incident import Incident
from holdbook.replay.simulation.what_if import what_if
from holdbook.replay.verification.findings import Check
from holdbook.replay.verification.verifier import Start, verify
from support.deciding import (
    SEVERAL,
    Clock,
    after,
    allocated,
    given,
    kinds_of,
    ledger_on,
    opened,
    refusal,
)
from support.viewing import facts_of, rows_of

OPEN = OpenPool(pool="disk", resource_type="r", limits=Limits(total=1))
ALL_CLOSED = [LedgerClosed(reason="over"), *(PoolClosed(pool=pool, reason="over") for pool in ("cpu", "gpu", "ram"))]


def closed_ledger(at: float = 0) -> LedgerInterface:
    """Open a ledger with several pools and holds, and close it."""
    ledger = SEVERAL.ledger(at)
    ledger.close_ledger(reason="over")
    return ledger


def test_closing_closes_every_pool_in_one_command() -> None:
    """The ledger's own event comes first, then each open pool's by name, with the same reason."""
    SEVERAL.when(CloseLedger(reason="over")).then(ALL_CLOSED).then_repeats_if_delivered_twice()


def test_a_ledger_without_pools_is_closed() -> None:
    """There is nothing but the ledger to close."""
    given().when(CloseLedger()).then(LedgerClosed(reason=None))


def test_a_pool_that_is_closed_is_not_closed_again() -> None:
    """Closing the ledger records no event for a pool that is closed already."""
    history = given(opened(), opened("cpu"), PoolClosed(pool="cpu", reason=None))
    history.when(CloseLedger()).then(LedgerClosed(reason=None), PoolClosed(pool="gpu", reason=None))


def test_what_is_due_anywhere_expires_first() -> None:
    """Closing touches every pool, closed ones too; it is decided at the latest of their times."""
    history = given(opened(), allocated("a", until=5, gpu=1), PoolClosed(pool="gpu", reason=None))
    history = history.given(opened("cpu"), at=7)
    decision = history.when(CloseLedger(), at=6)
    expired, *rest = decision.events
    assert isinstance(expired, Expired)
    assert rest == [LedgerClosed(reason=None), PoolClosed(pool="cpu", reason=None)]
    assert decision.moment == after(7)


def test_a_closed_ledger_grants_nothing_and_lets_holds_end() -> None:
    """Pools refuse by their own code; one that never was is still not found; none is opened any more."""
    ledger = closed_ledger()
    assert refusal(ledger, Allocate(quantities={"gpu": 1}, owner="ann")).code is RefusalCode.POOL_CLOSED
    assert refusal(ledger, Allocate(quantities={"disk": 1}, owner="ann")).code is RefusalCode.POOL_NOT_FOUND
    assert refusal(ledger, OPEN).code is RefusalCode.LEDGER_CLOSED
    ledger.confirm("r")
    for name in ("a", "b", "r"):
        ledger.release(name)
    assert ledger.allocations() == []
    assert all(pool.closed and pool.used == 0 for pool in ledger.pools())


def test_whoever_waits_is_refused_when_the_ledger_is_closed() -> None:
    """A command that waits in the queue is refused at once, as it could never be granted."""
    with infrastructure.Ledger.in_memory() as ledger:
        ledger.open_pool("gpu", resource_type="r", limits=Limits(total=1))
        ledger.allocate({"gpu": 1}, owner="ann")
        waiting = ledger.submit(Allocate(quantities={"gpu": 1}, owner="bob", wait=600))
        ledger.close_ledger()
        refused = waiting.result(60).refusal
    assert refused is not None
    assert refused.code is RefusalCode.POOL_CLOSED


def test_closing_again_is_a_repeat_whatever_the_reason_and_whoever_asks() -> None:
    """The first reason stands; nothing is recorded anew, also under an id of its own."""
    ledger = closed_ledger()
    rows = ledger.log.rows()
    for fields in ({}, {"reason": "over"}, {"reason": "again"}, {"actor": "somebody"}, {"command_id": "mine"}):
        outcome = ledger.close_ledger(**fields)
        assert (outcome.repeated, outcome.refusal, outcome.allocation, outcome.pool) == (True, None, None, None)
    assert ledger.log.rows() == rows


def test_a_pool_that_was_opened_before_is_still_a_repeat() -> None:
    """An answer that was lost is got again, though the ledger was closed since."""
    ledger = given().ledger()
    ledger.execute(OPEN)
    ledger.close_ledger()
    status = ledger.open_pool("disk", resource_type="r", limits=Limits(total=1))
    assert status.closed
    assert kinds_of(ledger) == ["PoolOpened", "LedgerClosed", "PoolClosed"]


def test_pools_of_the_same_batch_are_closed_too() -> None:
    """Commands of one transaction see each other."""
    ledger = given().ledger()
    opening, closing, late = ledger.record([OPEN, CloseLedger(), OPEN.model_copy(update={"pool": "late"})])
    assert [type(recorded.event) for recorded in closing.records] == [LedgerClosed, PoolClosed]
    assert opening.refusal is None
    assert late.refusal is not None
    assert late.refusal.code is RefusalCode.LEDGER_CLOSED


def test_another_process_learns_that_the_ledger_was_closed() -> None:
    """What a process remembers of an open ledger does not outlive the closing."""
    log = given(opened()).log()
    here, there = ledger_on(log), ledger_on(log)
    there.check(OPEN)
    there.allocate({"gpu": 1}, owner="ann")
    here.close_ledger()
    assert refusal(there, OPEN).code is RefusalCode.LEDGER_CLOSED
    assert there.close_ledger().repeated


def test_what_would_happen_is_told_and_nothing_is_recorded() -> None:
    """A check of a closing leaves the ledger open."""
    ledger = SEVERAL.ledger()
    assert [recorded.event for recorded in ledger.check(CloseLedger(reason="over")).records] == ALL_CLOSED
    ledger.execute(OPEN)


# Batches in which every command is to be granted


def test_a_batch_may_insist_on_every_grant() -> None:
    """If `accept` raises a refusal, nothing of the batch is recorded, and the error names the refused command."""

    def insist(command: Command, outcome: Outcome) -> None:
        assert command in asked
        if outcome.refusal is not None:
            raise outcome.refusal

    ledger = given(opened()).ledger()
    asked = [Allocate(allocation_id=name, quantities={"gpu": 5}, owner="ann", command_id=name) for name in "ab"]
    with pytest.raises(Refused) as info:
        ledger.record(asked, accept=insist)
    assert (info.value.command_id, info.value.code) == ("b", RefusalCode.POOL_EXHAUSTED)
    assert kinds_of(ledger) == ["PoolOpened"]
    assert ledger.pool("gpu").used == 0
    (granted,) = ledger.record(asked[:1], accept=insist)
    assert granted.refusal is None
    with pytest.raises(Refused):
        ledger.record(asked[1:], accept=insist)
    assert kinds_of(ledger) == ["PoolOpened", "Allocated"]


# Who reads the log


def test_a_closed_ledger_verifies() -> None:
    """Verification finds nothing wrong, from the beginning and from a point after the closing."""
    ledger = given().ledger()
    for pool in ("disk", "tape", "shut"):
        ledger.execute(OPEN.model_copy(update={"pool": pool}))
    ledger.allocate({"disk": 1, "tape": 1}, owner="ann", allocation_id="a")
    ledger.close_pool("shut")
    head = ledger.close_ledger(reason="over").position
    assert head is not None
    start = Start(head, ledger.log.rows()[head - 1].hash, state_at(ledger.log, head).pools)
    assert refusal(ledger, OPEN.model_copy(update={"pool": "late"})).code is RefusalCode.LEDGER_CLOSED
    ledger.execute(Release(allocation_id="a"))
    assert verify(ledger.log).findings == ()
    assert verify(ledger.log, since=start).findings == ()


@pytest.mark.parametrize("from_the_end", [False, True])
def test_a_pool_opened_after_the_closing_is_found(*, from_the_end: bool) -> None:
    """Verification finds a pool that was opened after the closing, and a second closing."""
    history = given(opened()).given([LedgerClosed(reason=None), PoolClosed(pool="gpu", reason=None)])
    forged = history.given(opened("cpu"), LedgerClosed(reason=None))
    log = forged.log()
    start = Start(3, log.rows()[2].hash, history.pools()) if from_the_end else None
    found = {finding.message for finding in verify(log, since=start).findings if finding.check is Check.POOLS}
    assert found == {"pool 'cpu' is opened after the ledger was closed", "the ledger is closed a second time"}


def test_a_closing_that_leaves_a_pool_open_is_found() -> None:
    """Verification finds a closing whose events leave an open pool open."""
    ledger = given().ledger()
    ledger.execute(OPEN)
    ledger.close_ledger()
    log = given().log()
    records = [ledger.log.decode(row) for row in ledger.log.rows()][:2]
    with log.writing() as writer:
        writer.append([records[0], records[1]._replace(ordinals=1)])
    (finding,) = [one for one in verify(log).findings if one.check is Check.COMMANDS]
    assert finding.message == (
        "the command 'close_ledger' leads to LedgerClosed in None, PoolClosed in 'disk', not to its events"
    )


def test_a_closing_is_decided_again_as_it_was() -> None:
    """A what-if decides a closing as it was, from the beginning or from after it, under the same limits and others."""
    clock = Clock()
    ledger = ledger_on(given().log(), clock)
    for pool in ("disk", "tape"):
        ledger.execute(OPEN.model_copy(update={"pool": pool}))
    ledger.allocate({"disk": 1}, owner="ann", ttl=timedelta(seconds=3))
    clock.set(5)
    ledger.close_ledger()
    clock.set(9)
    assert refusal(ledger, OPEN.model_copy(update={"pool": "late"})).code is RefusalCode.LEDGER_CLOSED
    for since in (None, after(9)):
        again = what_if(ledger.log, {"disk": {"total": 0}}, since=since)
        assert again.ok
        assert again.what_if["open_pool", "ledger_closed"] == 1
    assert what_if(ledger.log, {}).recorded["close_ledger", "done"] == 1


def test_an_incident_shows_the_closing() -> None:
    """An incident shows the ledger's closing first, as a step without a pool; for chosen pools, only their steps."""
    ledger = closed_ledger(at=2)
    steps = list(Incident(ledger.log, after(1), after(3)).steps())
    assert [(step.kind, step.pool, step.words) for step in steps] == [
        ("LedgerClosed", None, "over"),
        *(("PoolClosed", pool, "over") for pool in ("cpu", "gpu", "ram")),
    ]
    assert [step.kind for step in Incident(ledger.log, after(1), after(3), ["gpu"]).steps()] == ["PoolClosed"]


def test_a_story_tells_that_the_ledger_was_closed() -> None:
    """The event says what it changed, and why."""
    ledger = closed_ledger()
    (step,) = [one for one in find(ledger.log, EventFilter()) if isinstance(one.recorded.event, LedgerClosed)]
    assert (step.command, step.reason, step.changes) == ("close_ledger", "over", {"closed": (False, True)})


def test_a_closing_is_counted_once_and_each_pool_s_too() -> None:
    """The counter of the ledger's own event names no pool and no type."""
    history = given(opened()).given([LedgerClosed(reason=None), PoolClosed(pool="gpu", reason=None)])
    counted = {(row["pool"], row["resource_type"], row["operation"]): row["count"] for row in rows_of(METRICS, history)}
    assert counted == {
        ("gpu", "accelerator", "open_pool"): 1,
        ("", "", "close_ledger"): 1,
        ("gpu", "accelerator", "close_pool"): 1,
    }
    (usage,) = rows_of(POOL_USAGE, history)
    assert usage["position"] == len(facts_of(history.records))
