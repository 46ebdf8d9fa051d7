"""A process that was forked has neither the threads nor the connections that the memory it got tells of."""

from __future__ import annotations

import os

from holdbook.domain.errors import LogUnavailable


class ForkGuard:
    """Remembers the process that something was made in."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def is_here(self) -> bool:
        """Tell whether this is that process."""
        return self._process == os.getpid()

    def check(self) -> None:
        """Raise `LogUnavailable` unless this is that process."""
        if not self.is_here():  # pragma: no cover - in a forked child, which ends before it reports what it covered
            message = "the ledger was opened before this process was forked: open one of its own here"
            raise LogUnavailable(message)
