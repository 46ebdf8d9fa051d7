"""The operating system's clock, and new ids."""

from __future__ import annotations

from datetime import UTC, datetime

from uuid_utils import uuid7


def system_clock() -> datetime:
    """Tell the present instant (UTC) by the operating system's clock."""
    return datetime.now(UTC)


def new_id() -> str:
    """Make an id (UUIDv7, RFC 9562). In one process, a later id is greater, so that indexes grow at one end."""
    return str(uuid7())
