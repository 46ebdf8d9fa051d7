"""Verification: every check in one pass over the log and one over its views.

Two things cannot be found from the log alone: that its last commands were removed, and that its whole hash chain was
forged. Something outside it, such as a checkpoint, must tell. A forged chain still has to pass every other check.

Memory grows with what is held and with the rows of views that are not append-only, not with the log. Whether an id is
used twice is asked of the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from holdbook.domain.errors import LogCorrupt
from holdbook.domain.events import LEDGER_STREAM, Expired
from holdbook.domain.records import StoredRow, genesis
from holdbook.replay.verification.books import Books
from holdbook.replay.verification.chain import Chain, Versions, canonical_texts
from holdbook.replay.verification.command_check import disagreements
from holdbook.replay.verification.command_groups import Commands, carrier
from holdbook.replay.verification.fast_path import FastPath
from holdbook.replay.verification.findings import FINDINGS_MAX, Check, Finding, Findings, Harm, Report, ViewChecked
from holdbook.replay.verification.raw_log import AFTER_ALL, BEFORE_ALL, are_sound, fault_of, pages, rows_of
from holdbook.replay.verification.seal_check import NOT_SEALED, SealCheck
from holdbook.replay.verification.snapshot_check import SnapshotCheck
from holdbook.replay.verification.view_check import NO_VIEWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from holdbook.domain.pool import Pool
    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import Recorded
    from holdbook.replay.verification.command_groups import Group
    from holdbook.replay.verification.raw_log import Page, StoredLog
    from holdbook.replay.verification.seal_check import SealEvidence
    from holdbook.replay.verification.snapshot_check import Snapshots
    from holdbook.replay.verification.view_check import Comparison

__all__ = ["Check", "Finding", "Harm", "Report", "Start", "ViewChecked", "verify"]


class Start(NamedTuple):
    """Where a verification starts; what was true there is taken for granted."""

    position: int
    """The position of the last row that was verified, which ends a command."""
    hash: bytes
    """The hash of that row, as remembered outside the log."""
    pools: Mapping[str, Pool]
    """The pools as they were at that position, by name."""


_BEGINNING: Final = Start(0, b"", {})


def verify(  # noqa: PLR0913 - all by name but one
    log: EventLog,
    *,
    stored: StoredLog | None = None,
    views: Comparison = NO_VIEWS,
    snapshots: Snapshots | None = None,
    seals: SealEvidence = NOT_SEALED,
    since: Start | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Check every promise on a log, its views and its snapshots, as they are now; writers may go on meanwhile.

    ``stored`` reads the rows as they are stored; the log itself does if it is not given, which is right only if no
    other program can change it. With ``since``, only the rows after that are checked, and no views. ``progress`` is
    called with events done and events in all. Gives what is wrong in the report; raises only `LogUnavailable`.
    """
    views = views if since is None else NO_VIEWS
    return _Pass(log, stored or rows_of(log), views, snapshots, seals, since).run(progress)


class _Pass:
    """One verification."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that `verify` takes
        self,
        log: EventLog,
        stored: StoredLog,
        views: Comparison,
        snapshots: Snapshots | None,
        seals: SealEvidence,
        since: Start | None,
    ) -> None:
        self._log = log
        self._stored = stored
        self._views = views
        self._findings = Findings()
        identity = stored.identity()
        if identity is None:
            self._findings.add(None, Check.LEDGER, "the ledger's own row is missing from the table ledger_meta")
        ledger_id, epoch = identity or (log.ledger_id, log.epoch)
        self._since = since
        start = since or _BEGINNING._replace(hash=genesis(ledger_id))
        self._chain = Chain(self._findings, start.hash, start.position)
        self._versions = Versions(self._findings, start.position, stored.version_at)
        self._commands = Commands(self._findings)
        self._books = Books(self._findings, epoch, stored.was_granted)
        self._books.begin(start.pools.values())
        self._books.closed = start.position > 0 and stored.version_at(LEDGER_STREAM, start.position) > 0
        self._snapshots = SnapshotCheck(snapshots, self._findings, start.pools)
        self._seals = SealCheck(seals, self._findings, ledger_id)
        if start.position:
            self._seals.begin(start.position)
        self._fast_path = FastPath(self._books, self._versions.last, self._snapshots)
        self._events = 0

    def run(self, progress: Callable[[int, int], None] | None) -> Report:
        """Check every row, then what can only be checked at the end."""
        head, after = self._head(), self._since.position if self._since else BEFORE_ALL
        if self._since:
            self._check_start(self._since, head)
        self._views.begin(head)

        def tell(done_by_views: int) -> None:
            if progress is not None:
                done = self._events if done_by_views < 0 else (self._events + done_by_views) // 2
                progress(done, max(head - max(after, 0), self._events))

        for page in pages(self._stored, after, head):
            self._check_page(page)
            self._events += len(page)
            tell(self._views.done())
        self._check_commands(self._commands.end())
        self._check_repeats(after, head)
        self._chain.end()
        self._snapshots.end()
        sealed = self._seals.end(self._chain.position)
        views, found, more = self._views.result(tell)
        self._findings.take(found, more)
        since = self._since.position if self._since else 0
        return Report(
            self._events,
            head,
            tuple(self._findings.in_order()),
            self._findings.more,
            views,
            self._snapshots.compared,
            sealed,
            since,
        )

    def _head(self) -> int:
        head = self._stored.head()
        if type(head) is int:
            return head
        message = f"the last position is {head!r}; expected a number"
        self._findings.add(None, Check.POSITIONS, message, Harm.ALTERED)
        return AFTER_ALL

    def _check_start(self, start: Start, head: int) -> None:
        found = self._stored.page(start.position - 1, 1, start.position) if start.position else ()
        if start.position > head:
            message = f"the log ends at position {head}; it was verified up to position {start.position}"
            self._findings.add(head, Check.POSITIONS, message, Harm.CUT_TAIL)
        elif start.position and not (found and found[0][-1] == start.hash):
            message = "the hash is not the one that is remembered here: something up to here was changed"
            self._findings.add(start.position, Check.CHAIN, message)

    def _check_page(self, page: Page) -> None:
        """Check a page of rows at once if its columns and hashes are sound, else row by row."""
        texts = _texts(page)
        if texts is not None and self._chain.follow_page(page, texts):
            self._seals.add_page(page[0][0], texts)
            self._enter_sound_page(page)
            return
        for row in map(StoredRow._make, page):
            self._check_row(row)

    def _enter_sound_page(self, page: Page) -> None:
        """Enter rows whose columns and hashes are sound."""
        index, end = 0, len(page)
        while index < end:
            if self._commands.is_between:
                index = self._fast_path.enter(page, index)
            if index < end:
                self._enter(StoredRow._make(page[index]))
                index += 1

    def _check_row(self, row: StoredRow) -> None:
        """Check one row on its own."""
        if self._chain.follow(row):
            self._check_commands(self._commands.lose())
        self._seals.add_row(row.position, self._chain.canonical)
        fault = fault_of(row)
        if fault is not None:
            self._findings.add(row.position, Check.COLUMNS, fault)
            self._check_commands(self._commands.lose())
            return
        self._enter(row)

    def _enter(self, row: StoredRow) -> None:
        """Enter a row whose columns are sound."""
        recorded = self._decoded(row)
        if recorded is None:
            self._books.excuse(row.allocation_id)
            self._versions.follow(row.stream_id, row.version, row.position)
        else:
            self._check_envelope(row, recorded)
            self._versions.follow(recorded.event.stream_id, row.version, row.position)
        self._check_commands(self._commands.add(row, recorded))

    def _decoded(self, row: StoredRow) -> Recorded | None:
        try:
            return self._log.decode(row)
        except LogCorrupt as error:
            self._findings.add(row.position, Check.DECODING, str(error))
            return None

    def _check_envelope(self, row: StoredRow, recorded: Recorded) -> None:
        event = recorded.event
        expected: dict[str, Any] = {"stream_id": event.stream_id, "allocation_id": event.subject}
        for column, value in expected.items():
            if getattr(row, column) != value:
                message = f"column {column} is {getattr(row, column)!r}; the event is about {value!r}"
                self._findings.add(row.position, Check.ENVELOPE, message)
        if isinstance(event, Expired) and event.deadline != recorded.occurred_at:
            message = f"occurred_at is {row.occurred_at}; an expiry occurs at its deadline"
            self._findings.add(row.position, Check.ENVELOPE, message)

    def _check_commands(self, groups: Iterable[Group]) -> None:
        """Check commands whose rows have all been read."""
        for group in groups:
            records = group.records
            if group.whole:
                carrying = carrier(records, self._findings)
                if carrying is not None:
                    for fault in disagreements(records, carrying, self._books):
                        self._findings.add(fault.position, Check.COMMANDS, fault.message)
            for pool in self._books.enter(records, whole=group.whole) if records else ():
                self._snapshots.compare(pool, records[-1].position)

    def _check_repeats(self, after: int, head: int) -> None:
        """Report commands that were recorded twice and allocations that were granted twice, as the log finds them."""
        limit = FINDINGS_MAX + 1
        for position, command_id in self._stored.commands_again(after, head, limit):
            message = f"command id {command_id!r} was decided before"
            self._findings.add(position, Check.COMMANDS, message)
        for position, allocation_id in self._stored.grants_again(after, head, limit):
            message = f"allocation {allocation_id!r} is granted a second time"
            self._findings.add(position, Check.ALLOCATIONS, message)


def _texts(page: Page) -> Sequence[bytes] | None:
    """Give the canonical bytes of rows; None if a column of any row is not sound, or holds text that is not valid."""
    try:
        return canonical_texts(page) if are_sound(page) else None
    except ValueError:  # text that is not valid Unicode
        return None
