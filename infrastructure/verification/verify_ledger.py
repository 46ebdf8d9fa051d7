"""Verify a ledger: give the checks of `holdbook.replay.verification` the database's rows, views and snapshots."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from holdbook.infrastructure.log.raw_rows import SQLRows
from holdbook.infrastructure.log.snapshots import SQLSnapshots, list_snapshots, load_pool_version
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.seals.prover import sealing_of
from holdbook.infrastructure.verification import view_process as views_apart
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
    """Check every promise on a ledger, or on what came after a start; raises `LogUnavailable`.

    ``progress`` is told events done and events in all. Views are compared in another process where that pays.
    ``sealing`` has the public keys and the checkpoints that come from outside, if there are any.
    """
    log, seals = ledger.log, sealing or sealing_of(ledger)
    if not isinstance(log, SQLEventLog):
        return verify(log, seals=seals, since=since, progress=progress)
    stored = SQLRows(log.database)
    with ExitStack() as stack:
        if since is None and views_apart.pays(stored.head()):
            views: Comparison = stack.enter_context(views_apart.ViewsApart(log.database))
        else:
            views = views_of(log)
        stack.enter_context(no_collections())
        snapshots = SQLPools(log.database)
        return verify(log, stored=stored, views=views, snapshots=snapshots, seals=seals, since=since, progress=progress)


class SQLPools:
    """The pools' snapshots."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def versions(self) -> Iterable[tuple[str, int]]:
        """List every snapshot: its pool and its version."""
        with self._database.reading() as connection:
            return list_snapshots(connection)

    def load(self, pool: str, version: int) -> Pool:
        """Load one; raises `LogCorrupt` if it cannot be read."""
        return load_pool_version(SQLSnapshots(self._database.reading), pool, version)
