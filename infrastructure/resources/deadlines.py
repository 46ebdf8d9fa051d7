"""A watch on deadlines: what has expired is taken back when that is due, not when somebody asks for something."""

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
"""How long the watch sleeps at most: the ledger's clock may be set."""

RETRY_SECONDS: Final = 1.0
"""How long it waits with what was due before: its provider failed."""


class DeadlineWatch:
    """A timer in the manager's event loop, for the earliest deadline that it has heard of. It keeps nobody alive."""

    def __init__(self, releases: Releases, holdings: Holdings, now: Callable[[], datetime]) -> None:
        self._releases = releases
        self._holdings = holdings
        self._now = now
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def arm(self) -> None:
        """See that the watch wakes at the earliest deadline; called within the manager's event loop."""
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
        """Take back what has expired, and go on watching."""
        self._timer = None
        self._task = asyncio.create_task(self._take_back())

    async def _take_back(self) -> None:
        await self._releases.take_back_expired(self._now())
        self.arm()


def _wake(watch: weakref.ref[DeadlineWatch]) -> None:
    found = watch()
    if found is not None:
        found.wake()
