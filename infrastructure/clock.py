"""The clock and the maker of ids."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from time import time_ns

_VARIANTS = "89ab"
"""The digits that begin with the two bits 10, by which RFC 9562 knows its own."""

_last = 0
"""The time in the last id."""


def system_clock() -> datetime:
    """Tell the present instant, in UTC, by the operating system."""
    return datetime.now(UTC)


def new_id() -> str:
    """Make a time-ordered id (UUIDv7, RFC 9562), so that indexes grow at their edge.

    The later of two ids of a process is the greater. 60 bits are time, in 1/4096 of a millisecond; 62 are random, from
    the system, so that no fork repeats them. No lock is needed: of threads that ask at once, any may be first.
    """
    global _last  # noqa: PLW0603 - a clock that stands still or goes back must not show
    _last = moment = max((time_ns() << 12) // 1_000_000, _last + 1)
    time, random = f"{moment:015x}", os.urandom(8)
    tail = random.hex()
    return f"{time[:8]}-{time[8:12]}-7{time[12:]}-{_VARIANTS[random[0] >> 6]}{tail[1:4]}-{tail[4:]}"
