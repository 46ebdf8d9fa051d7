"""Holdbook at work: one process, threads and asyncio, on both databases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from uuid_utils import uuid7

from benchmarks.case import Case
from benchmarks.measure import Sample, Span, in_tasks, in_threads
from holdbook import Allocate, Ledger, Limits, Refused, Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.places import Place
    from benchmarks.plan import Plan
    from holdbook.domain.commands import Command
    from holdbook.domain.handling.outcome import Outcome

SYSTEM: Final = "Holdbook"
ONE: Final = "one hot pool"
MANY: Final = "64 pools"
THREE: Final = "three pools an allocation"
ALLOCATES: Final = "allocates only"
REPEATS: Final = "repeats only"
REFUSALS: Final = "refusals only"

POOLS: Final = 64
TOTAL: Final = 1_000_000
SPECIAL_CLIENTS: Final = 32
"""Clients of the kinds of work that are not measured at every number of clients."""


class Client(Protocol):
    """Knows what to ask next, and takes the answer; from `submit` a refusal is an answer too."""

    def command(self) -> Command:
        """Make the next command."""
        ...

    def answered(self, outcome: Outcome) -> None:
        """Take what became of it."""
        ...


class Holder:
    """Allocates one unit of each of some pools, then releases it, and so on."""

    def __init__(self, pools: tuple[str, ...], owner: str) -> None:
        self._quantities = dict.fromkeys(pools, 1)
        self._owner = owner
        self._held: str | None = None

    def command(self) -> Command:
        """Make the next command."""
        if self._held is None:
            return Allocate(quantities=self._quantities, owner=self._owner)
        return Release(allocation_id=self._held)

    def answered(self, outcome: Outcome) -> None:
        """Take what became of it."""
        if outcome.refusal is not None or outcome.allocation is None:
            raise outcome.refusal or RuntimeError(f"no allocation in the answer to {outcome.command_id}")
        self._held = outcome.allocation.id if self._held is None else None


class Keeper(Holder):
    """Allocates, and releases nothing."""

    def answered(self, outcome: Outcome) -> None:
        """Take what became of it, and let it be."""
        super().answered(outcome)
        self._held = None


class Repeater:
    """Asks the same again and again, by the same command id."""

    def __init__(self, pools: tuple[str, ...], owner: str) -> None:
        self._command = Allocate(quantities=dict.fromkeys(pools, 1), owner=owner, command_id=f"{owner}-{uuid7()}")
        self._asked = False

    def command(self) -> Command:
        """Give the command."""
        return self._command

    def answered(self, outcome: Outcome) -> None:
        """Take what became of it: after the first time, what was recorded then."""
        if outcome.repeated is not self._asked:
            message = f"command {outcome.command_id} was decided twice"
            raise RuntimeError(message)
        self._asked = True


class Refusee:
    """Asks for more than there is."""

    def __init__(self, pools: tuple[str, ...], owner: str) -> None:
        self._quantities = dict.fromkeys(pools, TOTAL + 1)
        self._owner = owner

    def command(self) -> Command:
        """Make the next command."""
        return Allocate(quantities=self._quantities, owner=self._owner)

    def answered(self, outcome: Outcome) -> None:
        """Take the refusal."""
        if outcome.refusal is None:
            message = "more was granted than there is"
            raise RuntimeError(message)


@dataclass(frozen=True)
class Work:
    """A kind of work: the pools there are, how many of them a client uses, and what it does."""

    pools: int
    each: int
    client: Callable[[tuple[str, ...], str], Client]

    def clients(self, count: int) -> list[Client]:
        """Make clients, spread over the pools."""
        return [
            self.client(tuple(f"pool-{(number + offset) % self.pools}" for offset in range(self.each)), f"o-{number}")
            for number in range(count)
        ]


WORKS: Final = {
    ONE: Work(1, 1, Holder),
    MANY: Work(POOLS, 1, Holder),
    THREE: Work(3, 3, Holder),
    ALLOCATES: Work(1, 1, Keeper),
    REPEATS: Work(1, 1, Repeater),
    REFUSALS: Work(1, 1, Refusee),
}


def open_pools(ledger: Ledger, pools: int) -> None:
    """Open the pools of a kind of work."""
    for number in range(pools):
        ledger.open_pool(f"pool-{number}", resource_type="gpu", limits=Limits(total=TOTAL))


def thread_step(ledger: Ledger, client: Client) -> Callable[[], None]:
    """Make the operation of a client in a thread: `execute`, which raises a refusal."""

    def step() -> None:
        try:
            client.answered(ledger.execute(client.command()))
        except Refused:
            if not isinstance(client, Refusee):
                raise

    return step


async def _ask(ledger: Ledger, client: Client) -> None:
    client.answered(await ledger.submit(client.command()))


def measure(ledger: Ledger, work: str, callers: str, clients: int, span: Span) -> Sample:
    """Measure clients of a ledger whose pools are open."""
    made = WORKS[work].clients(clients)
    if callers == "asyncio":
        return Sample.of([in_tasks([partial(_ask, ledger, client) for client in made], span)])
    return Sample.of([in_threads([thread_step(ledger, client) for client in made], span)])


def run(place: Place, work: str, callers: str, clients: int, span: Span) -> Sample:
    """Measure one round in a fresh database."""
    with place.fresh() as url, Ledger.open(url) as ledger:
        open_pools(ledger, WORKS[work].pools)
        return measure(ledger, work, callers, clients, span)


def cases(place: Place, plan: Plan) -> Iterator[Case]:
    """List the cases on one database."""
    wanted = [
        (work, callers, clients)
        for work in (ONE, MANY)
        for callers in ("threads", "asyncio")
        for clients in plan.clients
    ]
    wanted += [
        (work, callers, SPECIAL_CLIENTS) for work in (THREE, REPEATS, REFUSALS) for callers in ("threads", "asyncio")
    ]
    wanted += [(ALLOCATES, "threads", 1)]
    for work, callers, clients in wanted:
        yield Case(
            system=SYSTEM,
            database=place.name,
            work=work,
            callers=callers,
            clients=clients,
            run=partial(run, place, work, callers, clients),
        )
