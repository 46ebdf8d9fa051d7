"""What a process counts of itself, for whoever exposes it: counters by name and labels, what its ledgers commit."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Protocol, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.answers import Answer
    from holdbook.domain.handling.outcome import PoolStatus
    from holdbook.domain.ports import EventLog

L = TypeVar("L")

COUNTED: Final = {
    "resource_allocations": "Resources that managers were asked for, by type and success.",
    "resource_releases": "Resources that managers were asked to release, by type and success.",
    "resource_operations": "Operations on resources that programs reported to a monitor, with labels of their own.",
}
"""The counters that are exposed, each with what it counts."""


class Count(NamedTuple):
    """One counter as it stands."""

    name: str
    labels: dict[str, str]
    value: int


class Counters:
    """A registry of counters; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}

    def counter(self, name: str, value: int = 1, /, **labels: str) -> None:
        """Add to the counter of this name and these labels."""
        key = name, tuple(sorted(labels.items()))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + value

    def value(self, name: str, /, **labels: str) -> int:
        """Read one counter; 0 if nothing was counted."""
        with self._lock:
            return self._values.get((name, tuple(sorted(labels.items()))), 0)

    def read(self) -> list[Count]:
        """Read every counter, by name, then labels."""
        with self._lock:
            found = sorted(self._values.items())
        return [Count(name, dict(labels), value) for (name, labels), value in found]


COUNTERS: Final = Counters()
"""The registry of this process."""


SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The longest that each of a histogram's buckets counts, in seconds."""

SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""The most that each of a histogram's buckets counts, in commands."""


class Distribution(NamedTuple):
    """A histogram as it stands; as in Prometheus, all that is smaller counts in a bucket too."""

    buckets: tuple[tuple[float, int], ...]
    """The greatest that each counts, and its count; infinity comes last."""
    sum: float

    def plus(self, other: Distribution) -> Distribution:
        """Add a histogram that has the same buckets."""
        pairs = zip(self.buckets, other.buckets, strict=True)
        return Distribution(tuple((most, mine + theirs) for (most, mine), (_, theirs) in pairs), self.sum + other.sum)


class Histogram:
    """Counts values by how great they are. One thread writes at a time, any number read."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def read(self) -> Distribution:
        """Read it, true to within the value that is being counted meanwhile."""
        totals = accumulate(list(self._counts))
        return Distribution(tuple(zip((*self._bounds, inf), totals, strict=True)), self._sum)


class Commits:
    """What one ledger of this process has committed since it was opened; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.seconds = Histogram(SECONDS)
        """How long each transaction took: waiting for the log's lock, deciding, and trying again included."""
        self.commands = Histogram(SIZES)
        """How many commands each of them decided."""
        self.events = 0
        """How many events they recorded."""
        self.failures = 0
        """How many batches were given up, their callers told that it is not known what became of them."""

    def done(self, seconds: float, commands: int, events: int) -> None:
        """Count a transaction."""
        with self._lock:
            self.seconds.observe(seconds)
            self.commands.observe(commands)
            self.events += events

    def failed(self) -> None:
        """Count a batch that was given up."""
        with self._lock:
            self.failures += 1


class Committing(Protocol):
    """The part of a ledger that commits commands, as those who watch it see it."""

    @property
    def waiting(self) -> int:
        """How many commands wait to be committed."""
        ...

    @property
    def committing(self) -> int:
        """How many commands are being committed at this moment."""
        ...


class MeasuredLedger(Protocol):
    """A ledger, as far as its state is measured."""

    @property
    def log(self) -> EventLog:
        """The log; it says which ledger this is."""
        ...

    def pools(self) -> Answer[PoolStatus]:
        """Describe every pool as of now; raises `LogUnavailable`."""
        ...

    def allocations(self) -> Answer[Allocation]:
        """List the allocations that are open now, oldest grant first; raises `LogUnavailable`."""
        ...


class WatchedLedger(NamedTuple, Generic[L]):
    """A ledger that is open in this process, and what it counts."""

    ledger: L
    commits: Commits
    committer: Committing


class OpenLedgers(Generic[L]):
    """The ledgers that are open in a process. Being listed here does not keep a ledger from being collected."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: WeakKeyDictionary[L, tuple[Commits, Committing]] = WeakKeyDictionary()

    def add(self, ledger: L, commits: Commits, committer: Committing) -> None:
        """Enter a ledger that was opened."""
        with self._lock:
            self._found[ledger] = commits, committer

    def remove(self, ledger: L) -> None:
        """Strike out a ledger that was closed."""
        with self._lock:
            self._found.pop(ledger, None)

    def read(self) -> list[WatchedLedger[L]]:
        """List the ledgers, in the order in which they were opened."""
        with self._lock:
            return [WatchedLedger(ledger, *instruments) for ledger, instruments in self._found.items()]


LEDGERS: Final = OpenLedgers[MeasuredLedger]()
"""The ledgers of this process."""
