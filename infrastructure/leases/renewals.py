"""The renewals of a ledger's leases: one thread of the process gives each lease its turn when it is due."""

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
"""How long the thread sleeps at most: a machine that slept wakes it no sooner."""

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Tell the seconds of a clock that nobody sets; on Linux it goes on while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


class Renewable(Protocol):
    """A lease, as far as its renewals need it."""

    def turn(self) -> None:
        """Do what is due by now: renew, or take it for lost."""
        ...

    def closed_with_ledger(self) -> None:
        """Hear that nothing renews it any more."""
        ...


class _Subject:
    """What all leases of one allocation in this process share."""

    __slots__ = ("__weakref__", "ends_here")

    def __init__(self) -> None:
        self.ends_here = False
        """Whether this process asked for the allocation's end."""


class Leases:
    """All leases of a ledger, and the one thread that renews them, each when it is due.

    It keeps none of them: one that nobody has any more is renewed no more.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        """Tells people when a lease was lost; nothing is measured by it."""
        self.birthplace = ForkGuard()
        self._subjects: weakref.WeakValueDictionary[str, _Subject] = weakref.WeakValueDictionary()
        self._changed = Condition()
        self._turns: list[tuple[float, int, weakref.ref[Renewable]]] = []
        """Heap of what is due when."""
        self._numbers = count()
        self._stopped = False
        self._closed = False
        self._thread: Thread | None = None

    def subject(self, allocation_id: str) -> _Subject:
        """Give what the leases of an allocation share."""
        with self._changed:
            return self._subjects.setdefault(allocation_id, _Subject())

    def ends_here(self, allocation_id: str) -> None:
        """Note that this process asks for an allocation's end: its leases end with it, and are not lost."""
        if (subject := self._subjects.get(allocation_id)) is not None:
            subject.ends_here = True

    def turn_at(self, moment: float, lease: Renewable) -> None:
        """Give a lease its turn at a moment, on the clock of `elapsed`; once the ledger was closed, none."""
        with self._changed:
            heappush(self._turns, (moment, next(self._numbers), weakref.ref(lease)))
            if self._thread is None:
                self._thread = Thread(target=self._run, name="holdbook-leases", daemon=True)
                self._thread.start()
            self._changed.notify()
        if self._closed:
            lease.closed_with_ledger()

    def wake(self) -> None:
        """Look at the clock again."""
        with self._changed:
            self._changed.notify()

    def stop(self) -> None:
        """End the thread, once nobody has the ledger any more, and so none of its leases."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def close(self) -> None:
        """End the thread; what was kept is lost."""
        self.stop()
        with self._changed:
            self._closed = True
            turns, self._turns = self._turns, []
        for _, _, kept in turns:
            if (lease := kept()) is not None:
                lease.closed_with_ledger()

    def _run(self) -> None:
        while (due := self._due()) is not None:
            for kept in due:
                if (lease := kept()) is not None:
                    lease.turn()
                del lease  # while this sleeps, nobody is kept

    def _due(self) -> list[weakref.ref[Renewable]] | None:
        """Wait until something is due; None at the end."""
        with self._changed:
            while not self._stopped:
                now, due = elapsed(), []
                while self._turns and self._turns[0][0] <= now:
                    due.append(heappop(self._turns)[2])
                if due:
                    return due
                self._changed.wait(min(self._turns[0][0] - now, _LOOK_SECONDS) if self._turns else None)
        return None
