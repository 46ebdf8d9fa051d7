"""The sweeper over a ledger in memory: when it sleeps, when it sweeps, and in what portions."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, Limits, LogUnavailable, Malformed, Outcome, Overloaded, Sweeper
from holdbook.domain.events import Expired
from support.deciding import Clock, after

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdbook import HoldbookError

SECONDS_MAX = 60.0
"""How long a test waits for what has to come."""


class Shop(Ledger):
    """A ledger of one pool, which can be away."""

    away: tuple[HoldbookError, ...] = ()

    def time_to_deadline(self) -> timedelta | None:
        """Look, or fail as often as was said."""
        if self.away:
            error, *rest = self.away
            self.away = tuple(rest)
            raise error
        return super().time_to_deadline()


class Night(threading.Event):
    """Lets the ledger's time go by instead of waiting; after so many pauses it is over."""

    def __init__(self, clock: Clock, pauses: int, meanwhile: Callable[[int], object] = id) -> None:
        super().__init__()
        self.clock = clock
        self.most = pauses
        self.meanwhile = meanwhile
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Let so much time go by."""
        assert timeout is not None
        self.pauses.append(timeout)
        self.clock.now += timedelta(seconds=timeout)
        self.meanwhile(len(self.pauses))
        if len(self.pauses) == self.most:
            self.set()
        return self.is_set()


@pytest.fixture
def clock() -> Clock:
    """The ledger's clock."""
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Shop:
    """A ledger with two pools."""
    ledger = Shop.in_memory(clock=clock)
    for pool in ("cpu", "gpu"):
        ledger.open_pool(pool, resource_type=pool, limits=Limits(total=100))
    return ledger


def hold(ledger: Ledger, *seconds: float, **quantities: int) -> None:
    """Hold something for so many seconds each; its id says how long."""
    for ttl in seconds:
        ledger.allocate(
            quantities or {"gpu": 1},
            owner="ann",
            ttl=timedelta(seconds=ttl),
            allocation_id=f"a{ttl:g}-{len(quantities)}",
        )


def recorded(ledger: Ledger) -> list[tuple[str, float]]:
    """List what expired, and how many seconds after its deadline that was recorded."""
    records = map(ledger.log.decode, ledger.log.rows())
    return [
        (one.event.allocation_id, (one.recorded_at - one.occurred_at).total_seconds())
        for one in records
        if isinstance(one.event, Expired)
    ]


def test_it_sleeps_until_the_next_deadline_and_no_longer_than_it_was_told(ledger: Shop, clock: Clock) -> None:
    """Each expiry is recorded at its deadline, to the microsecond, though others' grants come meanwhile."""
    hold(ledger, 1.5, 7.25)

    def meanwhile(turn: int) -> None:
        if turn == 4:
            hold(ledger, 0.25)

    night = Night(clock, 10, meanwhile)
    Sweeper(ledger, interval=2).run(night)
    assert night.pauses == [1.5, 0.0, 2, 2, 0.25, 0.0, 1.5, 0.0, 2, 2]
    assert recorded(ledger) == [("a1.5-0", 0.0), ("a0.25-0", 0.0), ("a7.25-0", 0.0)]


def test_what_is_due_goes_in_portions(ledger: Shop, clock: Clock) -> None:
    """About so many allocations in a command, each in all its pools, the earliest first; each is told of."""
    hold(ledger, 4, 1, 3)
    hold(ledger, 5, 2, cpu=1, gpu=1)
    clock.set(60)
    told: list[Outcome] = []
    sweeper = Sweeper(ledger, batch=2, tell=told.append, actor="cron", correlation_id="night")
    assert sweeper.sweep() == 5
    assert [one.expired for one in told] == [("a1-0", "a2-2"), ("a3-0", "a4-0"), ("a5-2",)]
    assert {(one.actor, one.correlation_id) for outcome in told for one in outcome.records} == {("cron", "night")}
    assert sweeper.sweep() == 0
    assert len(told) == 3


def test_a_stop_comes_between_two_portions(ledger: Shop, clock: Clock) -> None:
    """What was begun is done whole, and nothing more is begun."""
    hold(ledger, 1, 2, 3)
    clock.set(60)
    stop = threading.Event()
    sweeper = Sweeper(ledger, batch=1, tell=lambda _: stop.set())
    assert sweeper.sweep(stop) == 1
    sweeper.run(stop)
    assert [name for name, _ in recorded(ledger)] == ["a1-0"]


def test_sweepers_side_by_side_do_no_harm(ledger: Shop, clock: Clock) -> None:
    """What one found due and another has expired meanwhile is left alone, and nobody hurries."""
    hold(ledger, 1)
    other = Sweeper(Ledger(ledger.log, clock=clock))
    clock.set(5)
    sweeper, found = Sweeper(ledger), []
    looking = ledger.time_to_deadline

    def slow() -> timedelta | None:
        left = looking()
        found.append(other.sweep())
        return left

    ledger.time_to_deadline = slow  # type: ignore[method-assign]  # for another one to come in between
    night = Night(clock, 2)
    sweeper.run(night)
    assert (found, night.pauses, recorded(ledger)) == ([1, 0], [1.0, 1.0], [("a1-0", 4.0)])


@pytest.mark.parametrize("error", [LogUnavailable("away", transient=True), Overloaded("full")])
def test_failures_that_pass_are_waited_for(ledger: Shop, clock: Clock, error: HoldbookError) -> None:
    """With pauses that grow to half a minute; whoever listens is told; then all goes on as before."""
    hold(ledger, 200)
    ledger.away = (error,) * 6
    heard: list[HoldbookError] = []
    night = Night(clock, 9)
    Sweeper(ledger).run(night, heard.append)
    assert (heard, night.pauses) == ([error] * 6, [2, 4, 8, 16, 30, 30, 1, 1, 1])


def test_a_failure_that_does_not_pass_ends_a_run(ledger: Shop, clock: Clock) -> None:
    """It is raised as it is."""
    ledger.away = (LogUnavailable("gone"),)
    with pytest.raises(LogUnavailable, match="gone"):
        Sweeper(ledger).run(Night(clock, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, "interval: expected a number of seconds above 0; got 0"),
        ({"interval": "1s"}, "interval: expected a number of seconds above 0; got '1s'"),
        ({"batch": 0}, "batch: expected a whole number from 1; got 0"),
        ({"batch": True}, "batch: expected a whole number from 1; got True"),
        ({"command_id": "c"}, "command_id: expected none: a sweeper sends many commands; got 'c'"),
        ({"actor": ""}, "actor: expected 1 to 255 characters"),
    ],
)
def test_what_is_malformed(ledger: Shop, options: dict[str, Any], message: str) -> None:
    """The error names it before anything is swept."""
    with pytest.raises(Malformed) as caught:
        Sweeper(ledger, **options)
    assert str(caught.value).startswith(message)


def test_how_long_it_is_to_the_next_deadline(ledger: Shop, clock: Clock) -> None:
    """Of all pools, moved and ended ones left out; below nothing once it has passed; None with nothing to wait for."""
    assert ledger.time_to_deadline() is None
    hold(ledger, 30, 20)
    hold(ledger, 10, cpu=1)
    assert ledger.time_to_deadline() == timedelta(seconds=10)
    ledger.renew("a10-1", ttl=timedelta(seconds=60))
    ledger.release("a20-0")
    assert ledger.time_to_deadline() == timedelta(seconds=30)
    clock.now = after(45)
    assert ledger.time_to_deadline() == timedelta(seconds=-15)


def test_in_a_service(ledger: Shop, clock: Clock) -> None:
    """A thread that sweeps while the block runs, whatever fails, and has ended when the block has."""
    hold(ledger, 1)
    ledger.away = (LogUnavailable("gone"), LogUnavailable("away", transient=True), LogUnavailable("gone"))
    clock.set(60)
    swept = threading.Event()
    before = set(threading.enumerate())
    sweeper = Sweeper(ledger, interval=0.001, tell=lambda _: swept.set())
    for _ in range(2):
        with sweeper:
            (thread,) = {one for one in threading.enumerate() if one.name == "holdbook-sweeper"} - before
            assert swept.wait(SECONDS_MAX)
        assert not thread.is_alive()
        swept.clear()
        hold(ledger, 2)
        clock.set(120)
    assert [name for name, _ in recorded(ledger)] == ["a1-0", "a2-0"]
