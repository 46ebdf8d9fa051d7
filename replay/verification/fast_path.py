"""The fast path of verification: check plain grants and releases without making event and command objects.

It passes only what the slow path would pass. A row's data must be, apart from the order of tags, the text that follows
from the command, the books and the events before it. Anything else, right or wrong, is left to the slow path before
anything has been changed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator, from_json, to_json

from holdbook.domain.values import (
    AT_YEAR_MAX,
    ENTRIES_MAX,
    QUANTITY_MAX,
    TTL_SECONDS_MAX,
    Name,
    Reason,
    Token,
    instant_text,
)
from holdbook.replay.verification.pool_book import HoldPart, RecordedGrant
from holdbook.replay.verification.raw_log import is_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdbook.replay.verification.books import Books
    from holdbook.replay.verification.pool_book import PoolBook
    from holdbook.replay.verification.raw_log import Page
    from holdbook.replay.verification.snapshot_check import SnapshotCheck

    Fields = dict[str, Any]
    Row = tuple[Any, ...]

NAMES_MAX: Final = 20_000
"""How many names are remembered to be valid, at most."""

_is_name: Final = SchemaValidator(TypeAdapter(Name).core_schema).isinstance_python
_is_reason: Final = SchemaValidator(TypeAdapter(Reason).core_schema).isinstance_python
_instant: Final = datetime.fromisoformat
_common_columns: Final = itemgetter(3, 4, 5, 7, 8, 9, 10, 11, 12, 13)
"""The columns that are equal in all rows of such a command."""

_NO_TAGS: Final[Fields] = {}


class NotOnFastPath(Exception):
    """A command is not one that the fast path handles."""


_NOT_FAST_ERRORS: Final = (NotOnFastPath, ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""The errors that values outside the fast path raise."""


class FastPath:
    """Enters plain grants and releases in the books."""

    def __init__(self, books: Books, versions: dict[str, int], snapshots: SnapshotCheck) -> None:
        self._books = books
        self._versions = versions
        """The version of each stream's last event; shared with the check of versions."""
        self._snapshots = snapshots
        self._names: dict[str, str] = {}
        """Names that were found valid, with their JSON text."""
        self._paths: dict[tuple[str, int], Callable[[Page], Sequence[PoolBook]]] = {
            ("Allocated", 1): self._allocated,
            ("Released", 1): self._released,
            ("Released", 2): partial(self._released, end=',"forced":false}'),
        }
        """The method for each type and schema version of a command's first row."""

    def enter(self, page: Page, index: int) -> int:
        """Enter commands from the index of a command's first row on; the rows' columns and hashes must be sound.

        Gives the index of the first row that was not entered: that of a command for the slow path, or the page's end.
        """
        paths, end = self._paths, len(page)
        while index < end:
            first = page[index]
            after = index + first[7]
            path = paths.get((first[3], first[4]))
            if path is None or first[6] or first[14] is None or after > end:
                break
            rows = page[index:after]
            try:
                pools = path(rows)
            except _NOT_FAST_ERRORS:
                break
            index = after
            if self._snapshots.has_unchecked:
                for pool in pools:
                    self._snapshots.compare(pool, rows[-1][0])
        return index

    def _released(self, rows: Page, end: str = "}") -> Sequence[PoolBook]:
        """Enter a release. ``end`` is the text with which the data of its schema version ends."""
        first = rows[0]
        allocation_id = first[8]
        grant = self._books.open[allocation_id]
        id_text, reason_text = _json_text(allocation_id), "null"
        if (
            first[14] == f'{{"allocation_id":{id_text},"command":"release"}}'
            and first[12] is None
            and first[13] is None
        ):
            asked_at = first[10]
        else:
            command = from_json(first[14])
            asked_at, reason = self._pop_common_fields(first, command), command.pop("reason", None)
            if command != {"allocation_id": allocation_id, "command": "release"}:
                raise NotOnFastPath
            if reason is not None:
                if not _is_reason(reason):
                    raise NotOnFastPath
                reason_text = to_json(reason).decode()
        pools = [self._books.pools[name] for name in grant.pools]
        occurred_at = self._check_rows(rows, pools, asked_at)
        for row, pool in zip(rows, pools, strict=True):
            part = pool.parts[allocation_id]
            expected = (
                f'{{"pool":{pool.text},"allocation_id":{id_text},"owner":{self._name(part.owner)},'
                f'"quantity":{part.quantity},"reserved":false,"reason":{reason_text}{end}'
            )
            if row[15] != expected or part.reserved:
                raise NotOnFastPath
        del self._books.open[allocation_id]
        for row, pool in zip(rows, pools, strict=True):
            pool.remove(allocation_id)
            self._versions[row[1]] = pool.version = row[2]
            pool.time = occurred_at
        return pools

    def _allocated(self, rows: Page) -> Sequence[PoolBook]:
        first = rows[0]
        allocation_id, command = first[8], from_json(first[14])
        take = command.pop
        owner, quantities, tags, ttl = take("owner"), take("quantities"), take("tags", _NO_TAGS), take("ttl", None)
        asked_at = first[10]
        if len(command) > 1 or first[12] is not None or first[13] is not None:
            asked_at = self._pop_common_fields(first, command)
            if take("allocation_id", allocation_id) != allocation_id:
                raise NotOnFastPath
        if command != {"command": "allocate"} or allocation_id in self._books.open or not _is_name(allocation_id):
            raise NotOnFastPath
        if len(quantities) > ENTRIES_MAX or len(tags) > ENTRIES_MAX:
            raise NotOnFastPath
        owner_text = self._name(owner)
        tags_text = ",".join([f"{self._name(key)}:{self._name(value)}" for key, value in tags.items()])
        names = sorted(quantities)
        pools = [self._books.pools[name] for name in names]
        occurred_at = self._check_rows(rows, pools, asked_at)
        deadline = _deadline(pools, ttl, occurred_at)
        deadline_text = "null" if deadline is None else f'"{instant_text(deadline)}"'
        before = f'"allocation_id":{_json_text(allocation_id)},"owner":{owner_text},"quantity":'
        pools_text = pools[0].text if len(pools) == 1 else ",".join([pool.text for pool in pools])
        epoch = self._books.epoch
        after = f',"pools":[{pools_text}],"epoch":{epoch},"tags":{{{tags_text}}},"deadline":{deadline_text}}}'
        for row, pool in zip(rows, pools, strict=True):
            quantity = quantities[pool.opened.pool]
            if type(quantity) is not int or not 1 <= quantity <= QUANTITY_MAX or not pool.surely_fits(quantity):
                raise NotOnFastPath
            expected = f'{{"pool":{pool.text},{before}{quantity}{after}'
            if row[15] != expected and not _is_same_grant(row[15], expected):
                raise NotOnFastPath
        grant = RecordedGrant(tuple(names), Token(epoch, first[0]), tags, occurred_at)
        self._books.open[allocation_id] = grant
        for row, pool in zip(rows, pools, strict=True):
            pool.add(allocation_id, HoldPart(grant, quantities[pool.opened.pool], owner, deadline, reserved=False))
            self._versions[row[1]] = pool.version = row[2]
            pool.time = occurred_at
        return pools

    # What grants and releases share

    def _pop_common_fields(self, row: Row, command: Fields) -> str:
        """Take the fields that every command has off a command, check them, and give the time at which it was asked."""
        take = command.pop
        correlation_id, causation_id = take("correlation_id", None), take("causation_id", None)
        actor, command_id, at = take("actor", None), take("command_id", None), take("at", None)
        if correlation_id != row[12] or causation_id != row[13] or (actor is not None and actor != row[11]):
            raise NotOnFastPath
        for given in (correlation_id, causation_id, actor, command_id):
            if given is not None and not _is_name(given):
                raise NotOnFastPath
        if at is None:
            return str(row[10])
        if not is_time(at) or _instant(at).year > AT_YEAR_MAX:
            raise NotOnFastPath
        return str(at)

    def _check_rows(self, rows: Page, pools: Sequence[PoolBook], asked_at: str) -> datetime:
        """Check that rows are the next ones of their pools, recorded at the time of the decision; gives that time.

        It is the latest of the time at which the command was asked and the pools' times. No hold may have to expire by
        then.
        """
        first = rows[0]
        occurred_at = _instant(first[9])
        latest = occurred_at if asked_at == first[9] else _instant(asked_at)
        if first[10] != first[9]:
            _instant(first[10])  # raises ValueError if it is no time
        for row, pool in zip(rows, pools, strict=True):
            latest = max(latest, pool.time)
            if row[1] != pool.stream_id or row[2] != self._versions[row[1]] + 1:
                raise NotOnFastPath
            if pool.deadlines and pool.deadlines[0][0] <= occurred_at:
                raise NotOnFastPath
        if latest != occurred_at or (len(rows) > 1 and not _is_one_command(rows)):
            raise NotOnFastPath
        return occurred_at

    def _name(self, name: str) -> str:
        """Give the JSON text of a name; raises `NotOnFastPath` if it is not valid."""
        found = self._names.get(name)
        if found is None:
            if not _is_name(name):
                raise NotOnFastPath
            if len(self._names) > NAMES_MAX:
                self._names.clear()
            found = self._names[name] = _json_text(name)
        return found


def _json_text(name: str) -> str:
    """Give the JSON text of a valid name. It is escaped where needed, so that it cannot be read as anything else."""
    return f'"{name}"' if '"' not in name and "\\" not in name else to_json(name).decode()


def _is_same_grant(data: str, expected: str) -> bool:
    """Tell whether the data of two grants differ only in the order of their tags."""
    found = from_json(data)
    return type(found["quantity"]) is int and type(found["epoch"]) is int and bool(found == from_json(expected))


def _is_one_command(rows: Page) -> bool:
    """Tell whether rows are all rows of one command, in order, and only the first has the command's text."""
    shared, size = _common_columns(rows[0]), len(rows)
    return size == rows[0][7] and all(
        row[6] == ordinal and row[14] is None and _common_columns(row) == shared
        for ordinal, row in enumerate(rows[1:], start=1)
    )


def _deadline(pools: Sequence[PoolBook], ttl: object, occurred_at: datetime) -> datetime | None:
    """Compute the deadline of a grant."""
    if ttl is None:
        chosen = min([one for pool in pools if (one := pool.limits.default_ttl)], default=None)
    elif type(ttl) in {int, float} and 0 < ttl <= TTL_SECONDS_MAX:  # type: ignore[operator]  # it is a number
        chosen = timedelta(seconds=ttl)  # type: ignore[arg-type]  # it is a number
    else:
        raise NotOnFastPath
    return None if chosen is None else occurred_at + chosen
