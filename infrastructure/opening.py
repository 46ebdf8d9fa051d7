"""Open what a database holds: its log, after making a new database ready, and the keeper of its published views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdbook.domain.errors import LogUnavailable
from holdbook.domain.records import LOG_FORMAT
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.log.mapper import EventMapper
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.schema import revision
from holdbook.infrastructure.telemetry.logging import get_logger
from holdbook.infrastructure.verification.fold_check import FoldCheck
from holdbook.infrastructure.views.store import SQLStore
from holdbook.infrastructure.views.view_events import SQLViewEvents
from holdbook.projections.generations import live_generations
from holdbook.projections.projector import Projector
from holdbook.projections.views.catalogue import VIEWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from holdbook.domain.ports import Clock, EventLog
    from holdbook.projections.generations import Generation

logger = get_logger()


def open_log(database: Database, *, create: bool) -> SQLEventLog:
    """Open the log in a database; with ``create``, a log is made where there is none.

    Writes a log line about views that are not kept up to date. Raises `LogUnavailable` if there is no database or
    another format in it, and `SchemaMismatch`.
    """
    if not database.exists():
        if not create:
            message = f"there is no database {database.name}"
            raise LogUnavailable(message)
        database.make_file()
    if create and revision.current_revision(database) is None:
        from holdbook.infrastructure.schema import upgrade  # noqa: PLC0415 - Alembic takes long to import, and most commands need none

        upgrade.upgrade(database)
    revision.require_current(database)
    log = SQLEventLog(database, EventMapper())
    if log.format != LOG_FORMAT:
        message = f"the log in {database.name} has format {log.format}; this version of Holdbook reads {LOG_FORMAT}"
        raise LogUnavailable(message)
    _warn_of_views(database)
    return log


def projector_of(log: EventLog, clock: Clock, tell: Callable[[str], object]) -> Projector:
    """Give the keeper of the published views of a log. ``tell`` is called with a sentence about what takes long.

    Raises `LogUnavailable` for a log in memory, which has no views.
    """
    if not isinstance(log, SQLEventLog):
        message = "a ledger in memory has no published views"
        raise LogUnavailable(message)
    return Projector(SQLViewEvents(log), SQLStore(log.database), FoldCheck(log), clock=clock, tell=tell)


def holds_ledger(url: str) -> bool:
    """Tell whether there is a ledger in a database, at any schema revision; raises `Malformed`, `LogUnavailable`."""
    database = Database(url)
    try:
        return database.exists() and revision.current_revision(database) is not None
    finally:
        database.close()


def _warn_of_views(database: Database) -> None:
    """Write a log line about views that are read but not kept up to date: built by other code, or stopped."""
    found = SQLStore(database).generations()
    outdated = outdated_views(found)
    if outdated:
        logger.warning("views_outdated", views=outdated, way_out="run `holdbook projections rebuild --all`")
    for one in found:
        if one.is_live and one.stopped_at is not None:
            logger.warning("view_stopped", view=one.view, position=one.stopped_at, error=one.error)


def outdated_views(found: Iterable[Generation]) -> list[str]:
    """List the views that have no live generation, or whose live generation was built by other code."""
    live = live_generations(found)
    return [view.name for view in VIEWS if view.name not in live or live[view.name].fingerprint != view.fingerprint]
