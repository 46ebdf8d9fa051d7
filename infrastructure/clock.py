"""The clock and the maker of ids."""

from __future__ import annotations

from datetime import UTC, datetime

from uuid_utils import uuid7


def system_clock() -> datetime:
    """Tell the present instant, in UTC, by the operating system."""
    return datetime.now(UTC)


def new_id() -> str:
    """Make a time-ordered id (UUIDv7, RFC 9562), so that indexes grow at their edge; the later id is the greater."""
    return str(uuid7())
