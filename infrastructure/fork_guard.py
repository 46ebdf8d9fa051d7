"""Notices that a ledger is used in a process that was forked after it was opened, where it cannot work.

A fork copies the memory of a process, but not its threads, and the child must not use its parent's connections. So an
object that has threads or connections remembers in which process it was made, and refuses to work in another.
"""

from __future__ import annotations

import os

from holdbook.domain.errors import LogUnavailable


class ForkGuard:
    """Remembers the process in which it was made, and checks whether that is the present one."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def is_here(self) -> bool:
        """Tell whether this is the process in which the guard was made."""
        return self._process == os.getpid()

    def check(self) -> None:
        """Raise `LogUnavailable` in a process that was forked from the one in which the guard was made."""
        if not self.is_here():  # pragma: no cover - true only in a forked child, which reports no coverage
            message = "the ledger was opened before this process was forked: open one of its own here"
            raise LogUnavailable(message)
