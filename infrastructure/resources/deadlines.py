"""Take back what has expired when its deadline passes, even if nobody uses the manager then."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from holdbook.infrastructure.resources.holdings import Holdings
    from holdbook.infrastructure.resources.release import Releases

SLEEP_SECONDS_MAX: Final = 60.0
"""How long the watch sleeps at most, so that it notices in time if the ledger's clock is set."""

RETRY_SECONDS: Final = 1.0
"""How long the watch waits before it tries again to take back what a provider failed to take back."""


class DeadlineWatch:
    """A timer in the manager's event loop, set to the earliest deadline of what is held.

    The timer refers to the watch weakly, so that it does not keep a manager in memory that nobody uses any more.
    """

    def __init__(self, releases: Releases, holdings: Holdings, now: Callable[[], datetime]) -> None:
        self._releases = releases
        self._holdings = holdings
        self._now = now
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def arm(self) -> None:
        """Set the timer to the earliest deadline, unless it is set to an earlier one; call this in the event loop."""
        deadline = self._holdings.next_deadline
        if deadline is None:
            return
        loop = asyncio.get_running_loop()
        seconds = (deadline - self._now()).total_seconds()
        at = loop.time() + min(seconds if seconds > 0 else RETRY_SECONDS, SLEEP_SECONDS_MAX)
        if self._timer is not None:
            if self._loop is loop and self._timer.when() <= at:
                return
            self._timer.cancel()
        self._loop, self._timer = loop, loop.call_at(at, _wake, weakref.ref(self))

    def wake(self) -> None:
        """Take back what has expired in a task, and set the timer again."""
        self._timer = None
        self._task = asyncio.create_task(self._take_back())

    async def _take_back(self) -> None:
        await self._releases.take_back_expired(self._now())
        self.arm()


def _wake(watch: weakref.ref[DeadlineWatch]) -> None:
    found = watch()
    if found is not None:
        found.wake()
