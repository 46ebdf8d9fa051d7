"""The steps of the tour that `holdbook demo` takes: each does something to a ledger and says what happened."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.allocation import Allocation
from holdbook.domain.commands import Allocate
from holdbook.domain.errors import Refused
from holdbook.domain.event_filter import EventFilter
from holdbook.domain.limits import Limits
from holdbook.infrastructure.cli.terminal.tables import allocation_table, history_table, pool_table, sheet
from holdbook.infrastructure.presentation.shapes.history import story_step_shape
from holdbook.infrastructure.presentation.shapes.ledger import allocation_shape, pool_shape, refusal_shape
from holdbook.infrastructure.presentation.wording.values import time_to_second
from holdbook.infrastructure.verification.verify_ledger import verify_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from holdbook.infrastructure.ledger import Ledger

BEGINNING: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
"""The moment at which the tour begins: the same Monday morning each time."""

WORKERS: Final = 8
"""How many workers ask for the last units at the same moment."""

TRAINING: Final = Allocate(
    quantities={"gpu": 3, "memory": 256}, owner="trainer-17", allocation_id="training", tags={"team": "cv"}
)

NOTEBOOK: Final = Allocate(
    quantities={"gpu": 2}, owner="anna", allocation_id="notebook", ttl=timedelta(minutes=30), tags={"team": "bio"}
)

NEXT: Final = (
    ("holdbook pool open gpu --type gpu --unit device --total 8", "a ledger of your own, in holdbook.db"),
    ("holdbook allocate gpu=2 --owner me --ttl 30m --id job-1", "hold something"),
    ("holdbook allocate gpu=7 --owner me --dry-run", "ask what would happen"),
    ("holdbook pools", "see how full it is"),
    ("holdbook history job-1", "see what happened to it"),
    ("holdbook release job-1", "give it back"),
    ("holdbook verify", "check every promise"),
    ("holdbook --help", "everything else"),
)
"""Commands for a newcomer to type after the tour, and what each is for."""


@dataclass(slots=True)
class Clock:
    """A clock that stands still until it is moved, so that the tour need not wait for a deadline."""

    now: datetime = BEGINNING

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now

    def move(self, duration: timedelta) -> None:
        """Let time pass."""
        self.now += duration


@dataclass(frozen=True, slots=True)
class TourStep:
    """One step of the tour: words and a table for people, data for programs."""

    name: str
    title: str
    words: tuple[str, ...]
    table: Table | None = None
    data: dict[str, Any] = field(default_factory=dict)


def tour(ledger: Ledger, clock: Clock) -> Iterator[TourStep]:
    """Take the steps of the tour on an empty ledger that reads a clock."""
    yield _pools(ledger)
    yield _grants(ledger)
    yield _contention(ledger)
    yield _refusals(ledger)
    yield _retry(ledger)
    yield _expiry(ledger, clock)
    yield _release(ledger, clock)
    yield _history(ledger)
    yield _verification(ledger)
    yield TourStep("next", "What to try next", (), sheet(NEXT), {"commands": [command for command, _ in NEXT]})


def _pools(ledger: Ledger) -> TourStep:
    ledger.open_pool("gpu", resource_type="gpu", unit="device", limits=Limits(total=8, max_size=4))
    ledger.open_pool("memory", resource_type="memory", unit="GiB", limits=Limits(total=512))
    found = ledger.pools()
    words = ("Eight GPUs, of which one allocation may hold four at most, and 512 GiB of memory.",)
    data = {"pools": [pool_shape(one) for one in found]}
    return TourStep("pools", "Two pools: what there is, and its limits", words, pool_table(found), data)


def _grants(ledger: Ledger) -> TourStep:
    ledger.execute(TRAINING)
    ledger.execute(NOTEBOOK)
    found = ledger.allocations()
    words = (
        "The training holds parts of two pools, all or nothing, until it is released.",
        "The notebook has a time to live of 30 minutes.",
    )
    data = {"allocations": [allocation_shape(one) for one in found]}
    return TourStep("grants", "Two allocations", words, allocation_table(found), data)


def _contention(ledger: Ledger) -> TourStep:
    free = ledger.pool("gpu").free
    start = Barrier(WORKERS)

    def ask(number: int) -> Allocation | Refused:
        start.wait()
        try:
            return ledger.allocate({"gpu": 1}, owner=f"worker-{number}", allocation_id=f"task-{number}")
        except Refused as refusal:
            return refusal

    with ThreadPoolExecutor(WORKERS) as threads:
        answers = list(threads.map(ask, range(1, WORKERS + 1)))
    granted = [one.owner for one in answers if isinstance(one, Allocation)]
    words = (
        f"{WORKERS} workers ask for one GPU each at the same moment; {free} are free.",
        f"Granted: {', '.join(granted)}. Refused: the {WORKERS - len(granted)} others.",
        "Never one unit too many, whatever the number of threads or processes.",
    )
    data = {"asked": WORKERS, "free": free, "granted": granted}
    return TourStep("contention", "A race for the last units", words, pool_table([ledger.pool("gpu")]), data)


def _refusals(ledger: Ledger) -> TourStep:
    commands = [Allocate(quantities={"gpu": size}, owner="newcomer", allocation_id=f"wish-{size}") for size in (5, 1)]
    outcomes = [ledger.submit(command).result() for command in commands]
    refusals = [outcome.refusal for outcome in outcomes if outcome.refusal]
    words = (
        "A newcomer asks for five GPUs, then for one:",
        *(f"  {refusal}." for refusal in refusals),
        "Refusals are in the log too, with what was asked and what was free.",
    )
    return TourStep(
        "refusals", "A refusal says why", words, data={"refusals": [refusal_shape(one) for one in refusals]}
    )


def _retry(ledger: Ledger) -> TourStep:
    outcome = ledger.execute(TRAINING)
    words = (
        "The training asks again, as after a lost answer. A command is decided once: it gets the same grant,",
        f"with the same fencing token {outcome.allocation.token if outcome.allocation else ''}; nothing is doubled.",
    )
    return TourStep("retry", "A retry is safe", words, data={"repeated": outcome.repeated})


def _expiry(ledger: Ledger, clock: Clock) -> TourStep:
    clock.move(timedelta(minutes=31))
    wish = Allocate(quantities={"gpu": 2}, owner="newcomer", allocation_id="at-last")
    outcome = ledger.execute(wish)
    words = (
        f"It is {time_to_second(clock.now)} now: the notebook is over, though nobody released it.",
        "The newcomer asks for two GPUs and gets them.",
        "A lapsed hold never blocks a request, and none waits for a sweeper.",
    )
    found = ledger.allocations()
    data = {"expired": list(outcome.expired), "allocations": [allocation_shape(one) for one in found]}
    return TourStep("expiry", "Half an hour later: an expiry", words, allocation_table(found), data)


def _release(ledger: Ledger, clock: Clock) -> TourStep:
    clock.move(timedelta(hours=2))
    ledger.resize("training", {"gpu": 1})
    ledger.release("training", reason="finished")
    found = ledger.pools()
    words = ("The training shrinks to one GPU, then ends in both of its pools at once.",)
    data = {"pools": [pool_shape(one) for one in found]}
    return TourStep("release", "Two hours later: the end of the training", words, pool_table(found), data)


def _history(ledger: Ledger) -> TourStep:
    found = ledger.find(EventFilter(allocation="training"))
    words = ("Every step is an event, in one append-only log; all the rest is computed from it.",)
    data = {"events": [story_step_shape(one) for one in found]}
    return TourStep("history", "The history of one allocation", words, history_table(found), data)


def _verification(ledger: Ledger) -> TourStep:
    report = verify_ledger(ledger)
    kept = "every promise holds" if report.ok else f"{len(report.findings)} promises are broken"
    words = (f"{report.events} events read again, the chain of hashes, limits and balances checked: {kept}.",)
    return TourStep("verification", "Whoever doubts it can check it", words, data=report.as_dict())
