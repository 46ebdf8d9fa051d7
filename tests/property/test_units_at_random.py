"""For all histories of a pool: no unit is held twice, and every reader comes to the same."""

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from holdbook import (
    Allocate,
    ChangeLimits,
    Command,
    Expire,
    Ledger,
    Limits,
    Recorded,
    Refused,
    Release,
    Reserve,
    Resize,
    Transfer,
    Void,
)
from holdbook.domain.events import AllocationEvent, Ending
from holdbook.domain.unit_assignment import Assignment
from support.deciding import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

UNITS = ("a", "b", "c", "d", "e")
SECOND = timedelta(seconds=1)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["grant", "grant", "reserve", "release", "void", "resize", "transfer", "limits", "expire"]),
        st.integers(0, 5),
        st.integers(1, 4),
    ),
    max_size=30,
)
"""What to do, with which of the allocations so far (the last is 0), and how many units or seconds."""


def command(number: int, step: tuple[str, int, int], totals: tuple[int, ...]) -> Command:
    """Make the command of a step."""
    kind, back, size = step
    one = str(max(number - 1 - back, 0))
    grant: dict[str, Any] = {"allocation_id": str(number), "quantities": {"gpu": size}, "owner": "ann"}
    commands: dict[str, Callable[[], Command]] = {
        "grant": lambda: Allocate(**grant, ttl=(back + 1) * 3 * SECOND if back else None),
        "reserve": lambda: Reserve(**grant, ttl=(back + 1) * SECOND),
        "release": lambda: Release(allocation_id=one),
        "void": lambda: Void(allocation_id=one),
        "resize": lambda: Resize(allocation_id=one, quantities={"gpu": size}),
        "transfer": lambda: Transfer(allocation_id=one, to="bob"),
        "limits": lambda: ChangeLimits(pool="gpu", limits=Limits(total=totals[(back + size) % len(totals)])),
        "expire": Expire,
    }
    return commands[kind]()


def stream(ledger: Ledger, after: int = 0) -> list[Recorded]:
    """Read the pool's events."""
    with ledger.log.reading() as reader:
        return list(reader.stream("pool:gpu", after=after))


def folded(records: list[Recorded], units: tuple[str, ...] = UNITS) -> Assignment:
    """Fold events from the first on."""
    assignment = Assignment(units)
    for recorded in records:
        assignment.evolve(recorded)
    return assignment


@given(STEPS, st.sets(st.integers(0, 29)))
def test_who_holds_what(steps: list[tuple[str, int, int]], looks: set[int]) -> None:
    """While the limits allow no more than there is, every hold has its units, no unit two holders.

    Whoever reads now and then comes to what whoever reads from the first event comes to, also if units were added.
    """
    clock = Clock()
    with Ledger.in_memory(clock=clock) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=len(UNITS)))
        now_and_then = Assignment(UNITS)
        before: dict[str, tuple[str, ...]] = {}
        for number, step in enumerate(steps):
            clock.set(number)
            with suppress(Refused):
                ledger.execute(command(number, step, (3, 5)))
            if number in looks:
                for recorded in stream(ledger, after=now_and_then.version):
                    now_and_then.evolve(recorded)
            present = folded(stream(ledger))
            held = {holder: present.of(holder) or () for holder in pool_holds(ledger)}
            assert {holder: len(units) for holder, units in held.items()} == pool_holds(ledger)
            taken = [unit for units in held.values() for unit in units]
            assert len(set(taken)) == len(taken) == len(UNITS) - present.free
            for holder in held.keys() & before.keys():
                fewer = min(len(held[holder]), len(before[holder]))
                assert held[holder][:fewer] == before[holder][:fewer]
            before = held
        for recorded in stream(ledger, after=now_and_then.version):
            now_and_then.evolve(recorded)
        longer = folded(stream(ledger), (*UNITS, "f", "g"))
        assert {holder: now_and_then.of(holder) for holder in before} == before
        assert {holder: longer.of(holder) for holder in before} == before


@given(STEPS)
def test_more_is_granted_than_there_is(steps: list[tuple[str, int, int]]) -> None:
    """Whatever the limits allow, no unit has two holders, and nobody has more than was granted."""
    with Ledger.in_memory(clock=Clock()) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
        for number, step in enumerate(steps):
            with suppress(Refused):
                ledger.execute(command(number, step, (2, 9)))
        present, granted = folded(stream(ledger)), pool_holds(ledger)
        held = {holder: present.of(holder) or () for holder in granted}
        taken = [unit for units in held.values() for unit in units]
        assert len(set(taken)) == len(taken) == len(UNITS) - present.free
        assert all(len(units) <= granted[holder] for holder, units in held.items())


def pool_holds(ledger: Ledger) -> dict[str, int]:
    """Tell what each allocation holds by the pool's own events."""
    found: dict[str, int] = {}
    for recorded in stream(ledger)[1:]:
        event = recorded.event
        if isinstance(event, Ending):
            del found[event.allocation_id]
        elif isinstance(event, AllocationEvent):
            found[event.allocation_id] = event.quantity
    return found
