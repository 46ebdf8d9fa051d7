"""Checks that the stored text of a command agrees with the events that the command caused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from holdbook.domain.commands import (
    Allocate,
    AllocationCommand,
    ChangeLimits,
    CloseLedger,
    ClosePool,
    Command,
    Confirm,
    Expire,
    OpenPool,
    Reclaim,
    Release,
    Renew,
    Reserve,
    Resize,
    Transfer,
    Void,
    command_from,
)
from holdbook.domain.errors import Malformed
from holdbook.domain.events import (
    Allocated,
    Confirmed,
    Event,
    Expired,
    LedgerClosed,
    LimitsChanged,
    PoolClosed,
    PoolOpened,
    Reclaimed,
    Released,
    Renewed,
    Reserved,
    Resized,
    Transferred,
    ValidationFailed,
    Voided,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import timedelta

    from holdbook.domain.records import Recorded
    from holdbook.replay.verification.books import Books
    from holdbook.replay.verification.pool_book import RecordedGrant

Fields = dict[str, Any]


class Disagreement(NamedTuple):
    """A difference between a command and its events, and the position of the event."""

    position: int
    message: str


def disagreements(records: Sequence[Recorded], carrier: Recorded, books: Books) -> Iterator[Disagreement]:
    """Compare the events of a whole command with its text; the books must be as they were before the command."""
    try:
        fields = json.loads(carrier.command or "")
        command = command_from(fields)
    except (Malformed, ValueError, TypeError, RecursionError) as error:
        yield Disagreement(carrier.position, f"the command cannot be read: {error}")
        return
    own = [recorded for recorded in records if not isinstance(recorded.event, Expired)]
    yield from _differences(carrier, _expected_envelope(command), carrier)
    if len(own) == 1 and isinstance(own[0].event, ValidationFailed):
        yield from _check_refusal(own[0], command, fields, books)
    else:
        yield from _check_done(records, own, command, books)


def _differences(recorded: Recorded, expected: Fields, source: object) -> Iterator[Disagreement]:
    for name, value in expected.items():
        actual = getattr(source, name)
        if actual != value:
            message = f"{name} is {actual!r:.200}; by its command it is {value!r:.200}"
            yield Disagreement(recorded.position, message)


def _expected_envelope(command: Command) -> Fields:
    expected: Fields = {"correlation_id": command.correlation_id, "causation_id": command.causation_id}
    return {**expected, "actor": command.actor} if command.actor else expected


def _check_refusal(recorded: Recorded, command: Command, fields: Fields, books: Books) -> Iterator[Disagreement]:
    event: Any = recorded.event
    allocation_id = getattr(command, "allocation_id", None)
    expected = {"asked": fields, "allocation_id": allocation_id, "known": event.pool in books.pools}
    yield from _differences(recorded, expected, event)
    earliest = command.at or recorded.recorded_at
    if recorded.occurred_at < earliest:
        yield Disagreement(recorded.position, f"occurred_at is {recorded.occurred_at}; it was asked at {earliest}")


def _check_done(
    records: Sequence[Recorded], own: Sequence[Recorded], command: Command, books: Books
) -> Iterator[Disagreement]:
    grant = books.open.get(getattr(command, "allocation_id", None) or "")
    moment = _decision_time(command, records[0], own, grant, books)
    for recorded in records:
        if isinstance(recorded.event, Expired):
            if recorded.event.deadline > moment:
                yield Disagreement(
                    recorded.position, f"expired before its deadline: the command was decided at {moment}"
                )
        elif recorded.occurred_at != moment:
            message = f"occurred_at is {recorded.occurred_at}; the command was decided at {moment}"
            yield Disagreement(recorded.position, message)
    if isinstance(command, AllocationCommand) and grant is None:  # the books report that nothing is held
        for recorded in own:
            yield from _differences(recorded, {"subject": command.allocation_id}, recorded.event)
        return
    if isinstance(command, AllocationCommand) and grant is not None and command.token not in {None, grant.token}:
        message = f"the command wants token {command.token}; the allocation has {grant.token}"
        yield Disagreement((own or records)[0].position, message)
    expected = list(_expected_events(command, grant, books, moment))
    if [(kind, pool) for kind, pool, _ in expected] != [(type(r.event), getattr(r.event, "pool", None)) for r in own]:
        asked = ", ".join(f"{kind.__name__} in {pool!r}" for kind, pool, _ in expected) or "no event of its own"
        yield Disagreement(
            (own or records)[0].position, f"the command {command.verb!r} leads to {asked}, not to its events"
        )
        return
    for recorded, (_, _, fields) in zip(own, expected, strict=True):
        yield from _differences(recorded, fields, recorded.event)


def _decision_time(
    command: Command, first: Recorded, own: Sequence[Recorded], grant: RecordedGrant | None, books: Books
) -> datetime:
    """Compute the time at which the command was decided: the latest of its own time and its pools' times."""
    names = {pool for recorded in own if (pool := getattr(recorded.event, "pool", None))}
    if isinstance(command, AllocationCommand) and grant is not None:
        names |= set(grant.pools)
    elif isinstance(command, CloseLedger):
        names |= books.pools.keys()
    elif isinstance(command, Expire) and command.pool:
        names.add(command.pool)
    times = [books.pools[name].time for name in names if name in books.pools]
    return max([command.at or first.recorded_at, *times])


def _expected_events(
    command: Command, grant: RecordedGrant | None, books: Books, moment: datetime
) -> Iterator[tuple[type[Event], str | None, Fields]]:
    """Give the events that a command leads to if it is not refused: type, pool, and fields known from the command."""
    held = grant.pools if grant else ()
    match command:
        case OpenPool() | ChangeLimits() | ClosePool() | Reclaim():
            kind, fields = _expected_pool_event(command)
            yield kind, command.pool, fields
        case CloseLedger():
            fields = {"reason": command.reason}
            yield LedgerClosed, None, fields
            yield from ((PoolClosed, name, fields) for name, pool in sorted(books.pools.items()) if not pool.closed)
        case Allocate() | Reserve():
            yield from _expected_grants(command, books, moment)
        case Confirm() | Renew():
            kind = Confirmed if isinstance(command, Confirm) else Renewed
            fields = {"allocation_id": command.allocation_id, "deadline": _deadline(command.ttl, held, books, moment)}
            yield from ((kind, pool, fields) for pool in held)
        case Release() | Void():
            fields = {"allocation_id": command.allocation_id, "reason": command.reason}
            forced = {"forced": command.force is True} if isinstance(command, Release) else {}
            yield from ((Released if forced else Voided, pool, {**fields, **forced}) for pool in held)
        case Transfer():
            fields = {"allocation_id": command.allocation_id, "owner": command.to}
            yield from ((Transferred, pool, fields) for pool in held)
        case Resize():
            for pool in sorted(command.quantities):
                yield Resized, pool, {"allocation_id": command.allocation_id, "quantity": command.quantities[pool]}


def _expected_pool_event(command: OpenPool | ChangeLimits | ClosePool | Reclaim) -> tuple[type[Event], Fields]:
    match command:
        case OpenPool():
            fields = {"resource_type": command.resource_type, "unit": command.unit, "limits": command.limits}
            return PoolOpened, fields
        case ChangeLimits():
            return LimitsChanged, {"limits": command.limits}
        case ClosePool():
            return PoolClosed, {"reason": command.reason}
    return Reclaimed, {"allocation_id": command.allocation_id, "reason": command.reason}


def _expected_grants(
    command: Allocate | Reserve, books: Books, moment: datetime
) -> Iterator[tuple[type[Event], str, Fields]]:
    pools = tuple(sorted(command.quantities))
    fields: Fields = {"owner": command.owner, "tags": command.tags, "pools": pools}
    fields["deadline"] = _deadline(command.ttl, pools, books, moment)
    if command.allocation_id is not None:
        fields["allocation_id"] = command.allocation_id
    for pool in pools:
        kind = Allocated if isinstance(command, Allocate) else Reserved
        yield kind, pool, {**fields, "quantity": command.quantities[pool]}


def _deadline(ttl: timedelta | None, pools: Iterable[str], books: Books, moment: datetime) -> datetime | None:
    defaults = (books.pools[name].limits.default_ttl for name in pools if name in books.pools)
    chosen = ttl or min((default for default in defaults if default), default=None)
    if chosen is None:
        return None
    try:
        return moment + chosen
    except OverflowError:  # a forged time near the end of the calendar
        return datetime.max.replace(tzinfo=UTC)
