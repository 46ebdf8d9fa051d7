"""Snapshots of pools, in chunks, so that a pool with a million holds is saved and loaded in pieces.

A snapshot of pool P at version V is a header, event V of the recorder's stream ``pool:P``, and its chunks, events
1, 2, 3 … of the stream ``holds:V:P``. The header is written last; nobody reads chunks that have no header.
"""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from eventsourcing.persistence import AggregateRecorder, IntegrityError, StoredEvent
from sqlalchemy import insert, select

from holdbook.domain.errors import LogCorrupt
from holdbook.domain.events import PoolOpened
from holdbook.domain.limits import Limits
from holdbook.domain.pool import Hold, Pool
from holdbook.domain.values import Token, instant, instant_text
from holdbook.infrastructure.database.tables import of_stream, snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from uuid import UUID

    from sqlalchemy import Connection

    from holdbook.domain.ports import LogReader

    Connecting = Callable[[], AbstractContextManager[Connection]]

HOLDS_PER_CHUNK: Final = 10_000
"""How many holds are in a chunk."""

SNAPSHOT_EVENTS_MIN: Final = 5_000
"""A snapshot is due after this many events, or after as many as the pool has holds, if that is more."""

_TYPE: Final = "PoolSnapshot"
"""Stored type of this format. A snapshot of another type is ignored: the pool is folded from its first event."""


def is_due(recorder: AggregateRecorder, reader: LogReader, name: str, *, events_min: int = SNAPSHOT_EVENTS_MIN) -> bool:
    """Tell whether so many events happened in a pool since its last snapshot that the next one is due."""
    headers = recorder.select_events(f"pool:{name}", desc=True, limit=1)
    last, holds = (headers[0].originator_version, json.loads(headers[0].state)["holds"]) if headers else (0, 0)
    return reader.version(f"pool:{name}") - last >= max(events_min, holds)


def load_pool(recorder: AggregateRecorder, name: str) -> Pool | None:
    """Load a pool from its latest snapshot; None if it has none of this format."""
    for header in recorder.select_events(f"pool:{name}", desc=True, limit=1):
        if header.topic == _TYPE:
            return _load(recorder, name, header)
    return None


def snapshot_versions(recorder: AggregateRecorder, name: str) -> list[int]:
    """List the versions of a pool's snapshots of this format, in order."""
    headers = recorder.select_events(f"pool:{name}")
    return [header.originator_version for header in headers if header.topic == _TYPE]


def load_pool_version(recorder: AggregateRecorder, name: str, version: int) -> Pool:
    """Load a pool from its snapshot at a version; raises `LogCorrupt` if that cannot be read."""
    try:
        (header,) = recorder.select_events(f"pool:{name}", gt=version - 1, lte=version)
        return _load(recorder, name, header)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        message = f"it cannot be read: {type(error).__name__}: {error}"
        raise LogCorrupt(message) from error


def list_snapshots(connection: Connection) -> list[tuple[str, int]]:
    """List the snapshots of this format: pools and versions."""
    headers = select(snapshots.c.stream_id, snapshots.c.version).where(
        snapshots.c.stream_id.startswith("pool:"), snapshots.c.type == _TYPE
    )
    return [(stream_id.removeprefix("pool:"), version) for stream_id, version in connection.execute(headers)]


def _load(recorder: AggregateRecorder, name: str, header: StoredEvent) -> Pool:
    return _pool(json.loads(header.state), _holds(recorder, name, header.originator_version))


def save_pool(recorder: AggregateRecorder, pool: Pool, *, holds_per_chunk: int = HOLDS_PER_CHUNK) -> None:
    """Save a pool. What another process has saved of the same version stays: it is the same."""
    for number, chunk in enumerate(pool_chunks(pool, holds_per_chunk), start=1):
        with suppress(IntegrityError):
            recorder.insert_events([StoredEvent(f"holds:{pool.version}:{pool.name}", number, _TYPE, chunk)])
    with suppress(IntegrityError):
        recorder.insert_events([StoredEvent(f"pool:{pool.name}", pool.version, _TYPE, pool_header(pool))])


def pool_header(pool: Pool) -> bytes:
    """Encode everything of a pool but its holds."""
    fields = {
        "pool": pool.name,
        "resource_type": pool.resource_type,
        "unit": pool.unit,
        "limits": pool.limits.model_dump(mode="json"),
        "opened_with": pool.opened_with.model_dump(mode="json"),
        "closed": pool.closed,
        "version": pool.version,
        "time": instant_text(pool.time),
        "holds": len(pool.holds),
    }
    return _encode(fields)


def pool_chunks(pool: Pool, holds_per_chunk: int) -> Iterator[bytes]:
    """Encode a pool's holds in chunks, in the order in which they began."""
    holds = iter(pool.holds.items())
    while portion := list(islice(holds, holds_per_chunk)):
        yield _encode([_hold_fields(allocation_id, hold) for allocation_id, hold in portion])


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _hold_fields(allocation_id: str, hold: Hold) -> list[Any]:
    return [
        allocation_id,
        hold.quantity,
        hold.owner,
        hold.deadline and instant_text(hold.deadline),
        hold.reserved,
        hold.token,
        hold.pools,
        hold.tags,
        instant_text(hold.opened_at),
    ]


def _pool(header: dict[str, Any], holds: Iterator[tuple[str, Hold]]) -> Pool:
    """Make a pool of a header and its holds; raises `LogCorrupt` if some are missing."""
    limits = Limits(**header["opened_with"])
    opened = PoolOpened(pool=header["pool"], resource_type=header["resource_type"], unit=header["unit"], limits=limits)
    pool = Pool(opened, instant(header["time"]))
    pool.limits = Limits(**header["limits"])
    pool.closed, pool.version = header["closed"], header["version"]
    for allocation_id, hold in holds:
        pool.put(allocation_id, hold)
    if len(pool.holds) != header["holds"]:
        message = f"the snapshot of pool {pool.name!r} at version {pool.version} lacks some of its holds"
        raise LogCorrupt(message)
    return pool


def _holds(recorder: AggregateRecorder, name: str, version: int) -> Iterator[tuple[str, Hold]]:
    last = 0
    while chunks := recorder.select_events(f"holds:{version}:{name}", gt=last, limit=1):
        last = chunks[0].originator_version
        for allocation_id, quantity, owner, deadline, reserved, token, pools, tags, opened_at in json.loads(
            chunks[0].state
        ):
            yield (
                allocation_id,
                Hold(
                    quantity=quantity,
                    owner=owner,
                    deadline=deadline and instant(deadline),
                    reserved=reserved,
                    token=Token(*token),
                    pools=tuple(pools),
                    tags=tags,
                    opened_at=instant(opened_at),
                ),
            )


class SQLSnapshots(AggregateRecorder):
    """The library's aggregate recorder over the table ``snapshots``.

    ``reading`` opens transactions that read, ``changing`` those that insert; without the second, the first does both.
    """

    def __init__(self, reading: Connecting, changing: Connecting | None = None) -> None:
        self._reading = reading
        self._changing = changing or reading

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: object) -> None:
        """Insert all or none; raises the library's IntegrityError if a version of a stream is there already."""
        rows = [
            {
                "stream_id": str(e.originator_id),
                "version": e.originator_version,
                "type": e.topic,
                "data": e.state.decode(),
            }
            for e in stored_events
        ]
        if not rows:
            return
        try:
            with self._changing() as connection:
                connection.execute(insert(snapshots), rows)
        except LogCorrupt as error:
            raise IntegrityError(str(error)) from error

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> list[StoredEvent]:
        """Read a stream's snapshots, ordered by version; ``gt`` and ``lte`` bound it."""
        found = of_stream(snapshots, str(originator_id), gt=gt, lte=lte, desc=desc, limit=limit)
        with self._reading() as connection:
            rows = connection.execute(found).all()
        return [StoredEvent(row.stream_id, row.version, row.type, row.data.encode()) for row in rows]
