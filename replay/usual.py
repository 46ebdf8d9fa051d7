"""The commands that most of a log is made of, checked and entered without making events and commands of them.

What is entered here has passed everything that the row by row way checks, told from the plain values. Whatever is not
exactly as it mostly is, wrong or not, is left to that way, before anything was changed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator, from_json

from bursar.domain.values import (
    AT_YEAR_MAX,
    ENTRIES_MAX,
    QUANTITY_MAX,
    TTL_SECONDS_MAX,
    Name,
    Reason,
    Token,
    instant_text,
)
from bursar.replay.pool_book import Grant, Part
from bursar.replay.stored import is_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bursar.replay.books import Books
    from bursar.replay.pool_book import PoolBook
    from bursar.replay.snapshots import SnapshotCheck
    from bursar.replay.stored import Page

    Fields = dict[str, Any]
    Row = tuple[Any, ...]

NAMES_MAX: Final = 20_000
"""The most names that are remembered to be well formed."""

_is_name: Final = SchemaValidator(TypeAdapter(Name).core_schema).isinstance_python
_is_reason: Final = SchemaValidator(TypeAdapter(Reason).core_schema).isinstance_python
_shared: Final = itemgetter(3, 4, 5, 7, 8, 9, 10, 11, 12, 13)
"""What the rows of such a command have in common: all but their numbers, their streams, and what they say."""


class Usual:
    """Enters allocations and releases in which nothing is unusual."""

    def __init__(self, books: Books, versions: dict[str, int], snapshots: SnapshotCheck) -> None:
        self._books = books
        self._versions = versions
        """The version of the last event, by stream."""
        self._snapshots = snapshots
        self._names: set[str] = set()
        """Names found to be well formed."""
        self._ways: dict[str, Callable[[Page, Fields, datetime, datetime], Sequence[PoolBook] | None]] = {
            "Allocated": self._allocated,
            "Released": self._released,
        }

    def enter(self, rows: Page) -> bool:
        """Enter the rows of one command, their columns and hashes being sound, the first being its first.

        Tells whether that was done: if not, nothing was.
        """
        first = rows[0]
        way = self._ways.get(first[3])
        if way is None or first[14] is None or first[4] != 1 or (len(rows) > 1 and not _belong_together(rows)):
            return False
        try:
            command = from_json(first[14])
            if type(command) is not dict:
                return False
            occurred_at, asked_at = _instant(first[9]), self._asked_at(first, command)
            pools = None if asked_at is None else way(rows, command, occurred_at, asked_at)
        except (ValueError, TypeError, KeyError, OverflowError):  # whatever unusual values lead to
            return False
        if pools is None:
            return False
        if self._snapshots.is_waiting:
            for pool in pools:
                self._snapshots.meet(pool, rows[-1][0])
        return True

    def _asked_at(self, row: Row, command: Fields) -> datetime | None:
        """Take what all commands have off a command, and tell when it was asked; None if it is not the row's."""
        take = command.pop
        correlation_id, causation_id = take("correlation_id", None), take("causation_id", None)
        actor, command_id, at = take("actor", None), take("command_id", None), take("at", None)
        if correlation_id != row[12] or causation_id != row[13] or (actor is not None and actor != row[11]):
            return None
        given = [one for one in (correlation_id, causation_id, actor, command_id) if one is not None]
        if given and not self._are_names(given):
            return None
        recorded_at = _instant(row[10])
        if at is None:
            return recorded_at
        asked_at = _instant(at) if is_time(at) else None
        return None if asked_at is None or asked_at.year > AT_YEAR_MAX else asked_at

    def _are_names(self, given: Iterable[str]) -> bool:
        names = self._names
        if names.issuperset(given):
            return True
        if not all(map(_is_name, given)):
            return False
        if len(names) > NAMES_MAX:
            names.clear()
        names.update(given)
        return True

    # A release

    def _released(
        self, rows: Page, command: Fields, occurred_at: datetime, asked_at: datetime
    ) -> Sequence[PoolBook] | None:
        allocation_id, reason = command.pop("allocation_id"), command.pop("reason", None)
        grant = self._books.open.get(allocation_id)
        if command != _RELEASE or grant is None or len(grant.pools) != len(rows) or rows[0][8] != allocation_id:
            return None
        if reason is not None and not _is_reason(reason):
            return None
        said = {"allocation_id": allocation_id, "reserved": False, "reason": reason}
        pools = []
        for row, name in zip(rows, grant.pools, strict=True):
            pool = self._books.pools[name]
            part = pool.parts[allocation_id]
            said["pool"], said["owner"], said["quantity"] = name, part.owner, part.quantity
            data = from_json(row[15])
            if (
                data != said
                or part.reserved
                or type(data["quantity"]) is not int
                or type(data["reserved"]) is not bool
                or not self._is_next(row, pool, occurred_at)
            ):
                return None
            pools.append(pool)
        if not _is_time_of(pools, occurred_at, asked_at):
            return None
        del self._books.open[allocation_id]
        for row, pool in zip(rows, pools, strict=True):
            pool.end(allocation_id)
            self._follow(row, pool, occurred_at)
        return pools

    # An allocation

    def _allocated(  # noqa: PLR0911 - whatever is unusual
        self, rows: Page, command: Fields, occurred_at: datetime, asked_at: datetime
    ) -> Sequence[PoolBook] | None:
        take = command.pop
        owner, quantities, tags, ttl = take("owner"), take("quantities"), take("tags", {}), take("ttl", None)
        allocation_id = rows[0][8]
        if take("allocation_id", allocation_id) != allocation_id or command != _ALLOCATE:
            return None
        if type(quantities) is not dict or len(quantities) != len(rows) or type(tags) is not dict:
            return None
        if len(rows) > ENTRIES_MAX or len(tags) > ENTRIES_MAX or allocation_id in self._books.open:
            return None
        if not (_is_name(allocation_id) and self._are_names((owner, *tags, *tags.values()))):
            return None
        names = sorted(quantities)
        pools = [self._books.pools[name] for name in names]
        deadline = _deadline(pools, ttl, occurred_at)
        if not _is_time_of(pools, occurred_at, asked_at) or deadline is _UNUSUAL:
            return None
        said = {"allocation_id": allocation_id, "owner": owner, "pools": names, "epoch": self._books.epoch}
        said |= {"tags": tags, "deadline": None if deadline is None else instant_text(deadline)}
        for row, pool, name in zip(rows, pools, names, strict=True):
            quantity = said["quantity"] = quantities[name]
            said["pool"] = name
            data = from_json(row[15])
            if (
                data != said
                or type(quantity) is not int
                or type(data["quantity"]) is not int
                or type(data["epoch"]) is not int
                or not 1 <= quantity <= QUANTITY_MAX
                or not pool.grants_plainly(quantity)
                or not self._is_next(row, pool, occurred_at)
            ):
                return None
        grant = Grant(tuple(names), Token(said["epoch"], rows[0][0]), tags, occurred_at)
        self._books.open[allocation_id] = grant
        for row, pool, name in zip(rows, pools, names, strict=True):
            pool.put(allocation_id, Part(grant, quantities[name], owner, deadline, reserved=False))
            self._follow(row, pool, occurred_at)
        return pools

    # What both have in common

    def _is_next(self, row: Row, pool: PoolBook, occurred_at: datetime) -> bool:
        """Tell whether a row is the next of its pool, and nothing that is held of it should have expired by then."""
        stream_id = pool.stream_id
        if row[1] != stream_id or row[2] != self._versions.get(stream_id, -1) + 1:
            return False
        return not pool.deadlines or pool.deadlines[0][0] > occurred_at

    def _follow(self, row: Row, pool: PoolBook, occurred_at: datetime) -> None:
        self._versions[row[1]] = pool.version = row[2]
        pool.time = occurred_at


_RELEASE: Final = {"command": "release"}
_ALLOCATE: Final = {"command": "allocate"}
"""What is left of a command when everything was taken off."""

_UNUSUAL: Final = datetime.min.replace(tzinfo=UTC)
"""Instead of a deadline that is not usual."""

_instant: Final = datetime.fromisoformat


def _belong_together(rows: Page) -> bool:
    """Tell whether rows are all those of one command, in order, and only the first has its text."""
    shared, size = _shared(rows[0]), len(rows)
    return size == rows[0][7] and all(
        row[6] == ordinal and row[14] is None and _shared(row) == shared
        for ordinal, row in enumerate(rows[1:], start=1)
    )


def _is_time_of(pools: Sequence[PoolBook], occurred_at: datetime, asked_at: datetime) -> bool:
    """Tell whether what occurred in pools did so at the time of its decision: when it was asked, or their latest."""
    if len(pools) == 1:
        return occurred_at == max(asked_at, pools[0].time)
    return occurred_at == max(asked_at, *(pool.time for pool in pools))


def _deadline(pools: Sequence[PoolBook], ttl: object, occurred_at: datetime) -> datetime | None:
    """Compute the deadline of what is granted; `_UNUSUAL` for a time to live that is not a number in bounds."""
    if ttl is None:
        chosen = min((one for pool in pools if (one := pool.limits.default_ttl)), default=None)
    elif type(ttl) in {int, float} and 0 < ttl <= TTL_SECONDS_MAX:  # type: ignore[operator]  # it is a number
        chosen = timedelta(seconds=ttl)  # type: ignore[arg-type]  # it is a number
    else:
        return _UNUSUAL
    return None if chosen is None else occurred_at + chosen
