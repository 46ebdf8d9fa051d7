"""Verify a ledger: run the checks of `holdbook.replay.verification` on a database's rows, views and snapshots."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from holdbook.infrastructure.log.raw_rows import SQLRows
from holdbook.infrastructure.log.snapshots import SQLSnapshots, list_snapshots, load_pool_version
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.seals.prover import sealing_of
from holdbook.infrastructure.verification import view_process
from holdbook.infrastructure.verification.view_checks import views_of
from holdbook.projections.fold import no_collections
from holdbook.replay.verification.verifier import Report, Start, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.domain.pool import Pool
    from holdbook.infrastructure.database.database import Database
    from holdbook.replay.verification.seal_check import SealEvidence
    from holdbook.replay.verification.view_check import Comparison


def verify_ledger(
    ledger: LedgerInterface,
    progress: Callable[[int, int], None] | None = None,
    sealing: SealEvidence | None = None,
    *,
    since: Start | None = None,
) -> Report:
    """Check every promise on a ledger, or only on what came after ``since``; raises `LogUnavailable`.

    ``progress`` is called with the number of events done and of all events. ``sealing`` has the public keys and the
    checkpoints from outside, if there are any. The views of a large log are compared in another process.
    """
    log, seals = ledger.log, sealing or sealing_of(ledger)
    if not isinstance(log, SQLEventLog):
        return verify(log, seals=seals, since=since, progress=progress)
    stored = SQLRows(log.database)
    with ExitStack() as stack:
        if since is None and view_process.pays(stored.head()):
            views: Comparison = stack.enter_context(view_process.ViewProcess(log.database))
        else:
            views = views_of(log)
        stack.enter_context(no_collections())
        snapshots = SQLPools(log.database)
        return verify(log, stored=stored, views=views, snapshots=snapshots, seals=seals, since=since, progress=progress)


class SQLPools:
    """Reads a database's snapshots of pools, for verification."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def versions(self) -> Iterable[tuple[str, int]]:
        """List every snapshot, as pool and version."""
        with self._database.reading() as connection:
            return list_snapshots(connection)

    def load(self, pool: str, version: int) -> Pool:
        """Load a snapshot; raises `LogCorrupt` if it cannot be read."""
        return load_pool_version(SQLSnapshots(self._database.reading), pool, version)
