"""Checks of snapshots: each must say what the books say of its pool at its version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from holdbook.domain.errors import LogCorrupt
from holdbook.replay.verification.findings import Check

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from holdbook.domain.pool import Hold, Pool
    from holdbook.replay.verification.findings import Findings
    from holdbook.replay.verification.pool_book import HoldPart, PoolBook


class Snapshots(Protocol):
    """The stored snapshots."""

    def versions(self) -> Iterable[tuple[str, int]]:
        """List every snapshot by its pool and its version."""
        ...

    def load(self, pool: str, version: int) -> Pool:
        """Load a snapshot; raises `LogCorrupt` if it cannot be read."""
        ...


class SnapshotCheck:
    """Compares each snapshot with the books when these reach its version."""

    def __init__(self, snapshots: Snapshots | None, findings: Findings, start: Mapping[str, Pool]) -> None:
        self._snapshots = snapshots
        self._findings = findings
        found = snapshots.versions() if snapshots is not None else ()
        self._unchecked = {(name, version) for name, version in found if not _is_at_start(start, name, version)}
        self.compared = 0
        """How many snapshots were compared."""

    @property
    def has_unchecked(self) -> bool:
        """Tell whether any snapshot is left to compare."""
        return bool(self._unchecked)

    def compare(self, pool: PoolBook, position: int) -> None:
        """Compare the snapshot of a pool at the present version of its book, if there is one."""
        name = pool.opened.pool
        if self._snapshots is None or (name, pool.version) not in self._unchecked:
            return
        self._unchecked.remove((name, pool.version))
        self.compared += 1
        try:
            difference = next(_differences(self._snapshots.load(name, pool.version), pool), None)
        except LogCorrupt as error:
            difference = str(error)
        if difference is not None:
            message = f"the snapshot of pool {name!r} at version {pool.version}: {difference}"
            self._findings.add(position, Check.SNAPSHOTS, message)

    def end(self) -> None:
        """Report the snapshots at versions that no command of the log ends at."""
        for name, version in sorted(self._unchecked):
            message = f"the snapshot of pool {name!r} at version {version}: no command of the log ends there"
            self._findings.add(None, Check.SNAPSHOTS, message)


def _is_at_start(start: Mapping[str, Pool], name: str, version: int) -> bool:
    return name in start and version <= start[name].version


def _differences(snapshot: Pool, book: PoolBook) -> Iterator[str]:
    expected: dict[str, Any] = {
        "name": book.opened.pool,
        "resource_type": book.opened.resource_type,
        "unit": book.opened.unit,
        "opened_with": book.opened.limits,
        "limits": book.limits,
        "closed": book.closed,
        "version": book.version,
        "time": book.time,
        "used": book.used,
    }
    for name, value in expected.items():
        if getattr(snapshot, name) != value:
            yield f"{name} is {getattr(snapshot, name)!r}, the log says {value!r}"
    for allocation_id in sorted(snapshot.holds.keys() ^ book.parts.keys()):
        which = "is not held" if allocation_id in snapshot.holds else "is missing"
        yield f"allocation {allocation_id!r} {which}"
    for allocation_id, hold in snapshot.holds.items():
        if allocation_id in book.parts and _hold_values(hold) != _part_values(book.parts[allocation_id]):
            yield f"allocation {allocation_id!r} is not held as the log says"


def _hold_values(hold: Hold) -> tuple[object, ...]:
    return (hold.quantity, hold.owner, hold.deadline, hold.reserved, hold.token, hold.pools, hold.tags, hold.opened_at)


def _part_values(part: HoldPart) -> tuple[object, ...]:
    grant = part.grant
    held = (part.quantity, part.owner, part.deadline, part.reserved)
    return (*held, grant.token, grant.pools, grant.tags, grant.opened_at)
