"""The thread that renews all leases of a ledger: it calls each lease when something is due for it."""

from __future__ import annotations

import time
import weakref
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Thread
from typing import TYPE_CHECKING, Final, Protocol

from holdbook.infrastructure.fork_guard import ForkGuard

if TYPE_CHECKING:
    from holdbook.domain.ports import Clock

_LOOK_SECONDS: Final = 5.0
"""How long the thread sleeps at most. The time that the machine itself is asleep does not count towards it."""

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The operating system's clock for `elapsed`; only Linux has the first."""


def elapsed() -> float:
    """Read a clock that nobody can set, in seconds; on Linux it also counts the time that the machine is asleep."""
    return time.clock_gettime(_CLOCK)


class Renewable(Protocol):
    """A lease, as the thread that renews it sees it."""

    def turn(self) -> None:
        """Do what is due by now: send a renewal, or notice that the lease is lost."""
        ...

    def closed_with_ledger(self) -> None:
        """Note that the ledger was closed, so that nothing renews the lease any more."""
        ...


class _SharedState:
    """What all leases of one allocation in this process share."""

    __slots__ = ("__weakref__", "ends_here")

    def __init__(self) -> None:
        self.ends_here = False
        """Whether this process has asked for the allocation to be ended."""


class Leases:
    """The leases of a ledger, and the one thread that renews each of them when it is due.

    It has only weak references to leases: one that nobody else refers to is not renewed any more.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        """The ledger's clock. It only dates the loss of a lease; durations are measured with `elapsed`."""
        self.fork_guard = ForkGuard()
        self._shared: weakref.WeakValueDictionary[str, _SharedState] = weakref.WeakValueDictionary()
        self._changed = Condition()
        self._turns: list[tuple[float, int, weakref.ref[Renewable]]] = []
        """A heap: when each lease is due, a number that breaks ties, and the lease."""
        self._numbers = count()
        self._stopped = False
        self._closed = False
        self._thread: Thread | None = None

    def shared_state(self, allocation_id: str) -> _SharedState:
        """Find or make the state that the leases of an allocation share."""
        with self._changed:
            return self._shared.setdefault(allocation_id, _SharedState())

    def ends_here(self, allocation_id: str) -> None:
        """Note that this process asks for an allocation to be ended: its leases then end too, and are not lost."""
        if (shared := self._shared.get(allocation_id)) is not None:
            shared.ends_here = True

    def turn_at(self, moment: float, lease: Renewable) -> None:
        """Call a lease at a moment on the clock of `elapsed`; if the ledger was closed, tell it that instead."""
        with self._changed:
            heappush(self._turns, (moment, next(self._numbers), weakref.ref(lease)))
            if self._thread is None:
                self._thread = Thread(target=self._run, name="holdbook-leases", daemon=True)
                self._thread.start()
            self._changed.notify()
        if self._closed:
            lease.closed_with_ledger()

    def wake(self) -> None:
        """Have the thread look at the clock again."""
        with self._changed:
            self._changed.notify()

    def stop(self) -> None:
        """End the thread, and tell no lease: nobody refers to the ledger any more, and so to none of its leases."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def close(self) -> None:
        """End the thread, and tell every lease: those that are still kept are lost."""
        self.stop()
        with self._changed:
            self._closed = True
            turns, self._turns = self._turns, []
        for _, _, reference in turns:
            if (lease := reference()) is not None:
                lease.closed_with_ledger()

    def _run(self) -> None:
        while (due := self._due()) is not None:
            for reference in due:
                if (lease := reference()) is not None:
                    lease.turn()
                del lease  # or this variable would keep the lease alive while the thread sleeps

    def _due(self) -> list[weakref.ref[Renewable]] | None:
        """Wait until at least one lease is due, and give those that are; None once the thread is to end."""
        with self._changed:
            while not self._stopped:
                now, due = elapsed(), []
                while self._turns and self._turns[0][0] <= now:
                    due.append(heappop(self._turns)[2])
                if due:
                    return due
                self._changed.wait(min(self._turns[0][0] - now, _LOOK_SECONDS) if self._turns else None)
        return None
