"""Whatever is asked, released and withdrawn: who waits and who holds is what a plain queue says."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from holdbook import Allocate, Ledger
from support.outcomes import DEADLINE_SECONDS
from support.queueing import LONG, granted_in_order, line_up, open_pools, until_left, waiting_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdbook.infrastructure.commit.promise import Promise

CAPACITY = 4
POOLS = ("cpu", "gpu")

quantities = st.dictionaries(st.sampled_from(POOLS), st.integers(1, CAPACITY), min_size=1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), quantities),
        st.tuples(st.just("wait"), quantities),
        st.tuples(st.just("ask"), quantities),
        st.tuples(st.just("release"), st.integers(0, 99)),
        st.tuples(st.just("cancel"), st.integers(0, 99)),
    ),
    max_size=25,
)


@dataclass
class PlainQueue:
    """First come, first served: what is held, who waits, and who was served, in order."""

    held: dict[str, Mapping[str, int]] = field(default_factory=dict)
    waiting: dict[str, Mapping[str, int]] = field(default_factory=dict)
    served: list[str] = field(default_factory=list)

    def serve(self) -> list[str]:
        """Serve everybody in order who is behind nobody, as long as there is room; tell who was."""
        stuck: set[str] = set()
        served = []
        for name, wanted in list(self.waiting.items()):
            if stuck.isdisjoint(wanted) and all(quantity <= self.free(pool) for pool, quantity in wanted.items()):
                self.held[name] = self.waiting.pop(name)
                served.append(name)
            else:
                stuck |= wanted.keys()
        self.served += served
        return served

    def free(self, pool: str) -> int:
        """Tell what is free of a pool."""
        return CAPACITY - sum(wanted.get(pool, 0) for wanted in self.held.values())


@settings(max_examples=40)
@given(steps)
def test_first_come_first_served(steps: list[tuple[str, Mapping[str, int] | int]]) -> None:
    """After each step those are served, in that order, whom a plain queue serves, and the others wait in theirs."""
    plain, names = PlainQueue(), count(1)
    promises: dict[str, Promise] = {}
    with Ledger.in_memory() as ledger:
        open_pools(ledger, **dict.fromkeys(POOLS, CAPACITY))
        for verb, what in steps:
            if not isinstance(what, int):
                name = f"{verb} {next(names)}"
                wait = LONG if verb == "wait" else None
                command = Allocate(quantities=what, owner="ann", allocation_id=name, command_id=name, wait=wait)
                [promises[name]] = line_up(ledger, command)
                plain.waiting[name] = what
            elif verb == "release" and plain.held:
                name = list(plain.held)[what % len(plain.held)]
                ledger.release(name)
                del plain.held[name]
            elif verb == "cancel" and plain.waiting:
                name = list(plain.waiting)[what % len(plain.waiting)]
                assert promises[name].cancel()
                until_left(ledger, name)
                del plain.waiting[name]
            for name in plain.serve():
                assert promises[name].result(DEADLINE_SECONDS).refusal is None
            for name in [name for name in plain.waiting if name.startswith("ask")]:
                assert promises[name].result(DEADLINE_SECONDS).refusal is not None
                del plain.waiting[name]
            assert {name for name, one in promises.items() if not one.done()} == plain.waiting.keys()
            assert {one.id for one in ledger.allocations()} == plain.held.keys()
        promises_left = [name for name in waiting_in(ledger) if not promises[name].cancelled()]
        assert promises_left == list(plain.waiting)
        # Several that are served by one release may be so in one order or another, if they want different pools.
        for pool in POOLS:
            assert of_pool(pool, granted_in_order(ledger), promises) == of_pool(pool, plain.served, promises)


def of_pool(pool: str, names: list[str], promises: Mapping[str, Promise]) -> list[str]:
    """List those of the commands that wanted some of a pool, in order."""
    return [
        name
        for name in names
        if (allocation := promises[name].result().allocation) is not None and pool in allocation.quantities
    ]
