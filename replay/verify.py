"""Verification: every check there is, in one pass over the log.

What it cannot find by itself is a log whose last commands were cut off, or whose whole chain was forged: for that
something outside of the log must remember it, such as a checkpoint. A forged chain is still held to every other check.

Memory grows with what is held and with the rows of the views that change; of everything that has ended, and of every
command, 12 to 24 bytes are kept, to find an id that comes twice.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bursar.domain.errors import LogCorrupt
from bursar.domain.events import Expired
from bursar.domain.records import genesis
from bursar.replay.agreement import disagreements
from bursar.replay.books import Books
from bursar.replay.chain import Chain, Versions
from bursar.replay.commands import Commands, carrier
from bursar.replay.findings import Check, Finding, Findings, Report, ViewChecked
from bursar.replay.seals import NOT_SEALED, SealCheck
from bursar.replay.snapshots import SnapshotCheck
from bursar.replay.stored import AFTER_ALL, BEFORE_ALL, Columns, TrustedLog, pages
from bursar.replay.views import CheckedViews, ViewCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bursar.domain.ports import EventLog
    from bursar.domain.records import Recorded, StoredRow
    from bursar.replay.commands import Group
    from bursar.replay.seals import Sealing
    from bursar.replay.snapshots import Snapshots
    from bursar.replay.stored import StoredLog

NO_VIEWS: Final = CheckedViews((), str)

__all__ = ["Check", "Finding", "Report", "ViewChecked", "verify"]


def verify(  # noqa: PLR0913 - each by name, each with a default
    log: EventLog,
    *,
    stored: StoredLog | None = None,
    views: CheckedViews = NO_VIEWS,
    snapshots: Snapshots | None = None,
    seals: Sealing = NOT_SEALED,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Check every promise on the log as it stands now, on its views and its snapshots; writers may go on meanwhile.

    ``stored`` reads the rows as they are (the log itself does where nobody else can have changed them);
    ``progress`` is told rows read and rows in all. What is wrong is in the report. Raises `LogUnavailable`.
    """
    return _Pass(log, stored or TrustedLog(log), views, snapshots, seals).run(progress)


class _Pass:
    """One pass over the log."""

    def __init__(
        self,
        log: EventLog,
        stored: StoredLog,
        views: CheckedViews,
        snapshots: Snapshots | None,
        seals: Sealing,
    ) -> None:
        self._log = log
        self._read = views.read
        self._stored = stored
        self._findings = Findings()
        identity = stored.identity()
        if identity is None:
            self._findings.add(None, Check.LEDGER, "the ledger's own row is missing from the table ledger_meta")
        ledger_id, epoch = identity or (log.ledger_id, log.epoch)
        self._columns = Columns()
        self._chain = Chain(self._findings, genesis(ledger_id))
        self._versions = Versions(self._findings)
        self._commands = Commands(self._findings)
        self._books = Books(self._findings, epoch)
        self._snapshots = SnapshotCheck(snapshots, self._findings)
        self._seals = SealCheck(seals, self._findings, ledger_id)
        self._views = [ViewCheck(view, partial(self._findings.add, None, Check.VIEWS)) for view in views.views]
        self._events = 0

    def run(self, progress: Callable[[int, int], None] | None) -> Report:
        """Read every row, then settle what is left."""
        head = self._head()
        for page in pages(self._stored, BEFORE_ALL, head):
            readable = [row for row in page if self._row(row)]
            facts = self._facts(readable) if self._views else ()
            for view in self._views:
                view.fold(facts, page[-1].position)
            self._events += len(page)
            if progress is not None:
                progress(self._events, max(head, self._events))
        self._settle(self._commands.end())
        self._snapshots.end()
        sealed = self._seals.end(self._chain.position)
        views = tuple(view.settle(self._read_on, head) for view in self._views)
        found = tuple(self._findings.in_order())
        return Report(self._events, head, found, self._findings.more, views, self._snapshots.compared, sealed)

    def _head(self) -> int:
        head = self._stored.head()
        if type(head) is int:
            return head
        self._findings.add(None, Check.POSITIONS, f"the last position is {head!r}; expected a number")
        return AFTER_ALL

    def _row(self, row: StoredRow) -> bool:
        """Check one row; tell whether its event can be read."""
        if self._chain.follow(row):
            self._settle(self._commands.lose())
        self._seals.meet(row.position, self._chain.canonical)
        fault = self._columns.fault(row)
        if fault is not None:
            self._findings.add(row.position, Check.COLUMNS, fault)
            self._settle(self._commands.lose())
            return False
        recorded = self._decoded(row)
        if recorded is None:
            self._books.lose(row.allocation_id)
            self._versions.follow(row.stream_id, row.version, row.position)
        else:
            self._check_envelope(row, recorded)
            self._versions.follow(recorded.event.stream_id, row.version, row.position)
        self._settle(self._commands.add(row, recorded))
        return recorded is not None

    def _decoded(self, row: StoredRow) -> Recorded | None:
        try:
            return self._log.decode(row)
        except LogCorrupt as error:
            self._findings.add(row.position, Check.DECODING, str(error))
            return None

    def _check_envelope(self, row: StoredRow, recorded: Recorded) -> None:
        event = recorded.event
        wanted: dict[str, Any] = {"stream_id": event.stream_id, "allocation_id": event.subject}
        for column, value in wanted.items():
            if getattr(row, column) != value:
                message = f"column {column} is {getattr(row, column)!r}; the event is about {value!r}"
                self._findings.add(row.position, Check.ENVELOPE, message)
        if isinstance(event, Expired) and event.deadline != recorded.occurred_at:
            message = f"occurred_at is {row.occurred_at}; an expiry occurs at its deadline"
            self._findings.add(row.position, Check.ENVELOPE, message)

    def _settle(self, groups: Iterable[Group]) -> None:
        """Check commands whose last row has been read."""
        for group in groups:
            records = group.records
            if group.whole:
                carrying = carrier(records, self._findings)
                if carrying is not None:
                    for fault in disagreements(records, carrying, self._books):
                        self._findings.add(fault.position, Check.COMMANDS, fault.message)
            for pool in self._books.enter(records, whole=group.whole) if records else ():
                self._snapshots.meet(pool, records[-1].position)

    def _facts(self, rows: Iterable[StoredRow]) -> list[Any]:
        """Read rows for the views; what cannot be read is left out."""
        facts = []
        for row in rows:
            with suppress(LogCorrupt, TypeError):
                facts.append(self._read(row))
        return facts

    def _read_on(self, after: int, upto: int) -> Iterator[tuple[list[Any], int]]:
        """Read what was appended since, for views that have seen it; it is checked another time."""
        for page in pages(self._stored, after, upto):
            yield self._facts(page), page[-1].position
