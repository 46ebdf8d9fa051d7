"""What a process counts: counters by name and labels, and what each of its ledgers commits."""

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
"""The type of the ledgers in a registry."""

COUNTED: Final = {
    "resource_allocations": "Resources that managers were asked for, by type and success.",
    "resource_releases": "Resources that managers were asked to release, by type and success.",
    "resource_operations": "Operations on resources that programs reported to a monitor, with labels of their own.",
}
"""The counters that Prometheus is told of, each with what it counts."""


class Count(NamedTuple):
    """The value of one counter at one moment."""

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
        """Read every counter, sorted by name, then by labels."""
        with self._lock:
            found = sorted(self._values.items())
        return [Count(name, dict(labels), value) for (name, labels), value in found]


COUNTERS: Final = Counters()
"""The registry of this process."""


SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the buckets of a histogram of durations, in seconds."""

SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""The upper bounds of the buckets of a histogram of batches, in commands."""


class Distribution(NamedTuple):
    """A histogram at one moment. As in Prometheus, each bucket counts all values up to its bound, however small."""

    buckets: tuple[tuple[float, int], ...]
    """The upper bound of each bucket and how many values it counts; the last bound is infinity."""
    sum: float
    """The sum of all values."""

    def plus(self, other: Distribution) -> Distribution:
        """Add up two histograms with the same bounds."""
        pairs = zip(self.buckets, other.buckets, strict=True)
        return Distribution(tuple((bound, mine + theirs) for (bound, mine), (_, theirs) in pairs), self.sum + other.sum)


class Histogram:
    """Counts values in buckets. One thread may write at a time; any number of threads may read meanwhile."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def read(self) -> Distribution:
        """Read it; a value that another thread is just counting may be in the buckets and not yet in the sum."""
        totals = accumulate(list(self._counts))
        return Distribution(tuple(zip((*self._bounds, inf), totals, strict=True)), self._sum)


class Commits:
    """What one ledger of this process has committed since it was opened; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.seconds = Histogram(SECONDS)
        """How long each transaction took, in seconds, with waiting for the log's lock, deciding and trying again."""
        self.commands = Histogram(SIZES)
        """How many commands each transaction decided."""
        self.events = 0
        """How many events the transactions recorded."""
        self.failures = 0
        """How many batches were given up; their callers were told that the outcome is unknown."""

    def done(self, seconds: float, commands: int, events: int) -> None:
        """Count a transaction that was committed: its duration, its commands and its events."""
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
