"""Views under test: keepers of views of the test's choice, faults planted in them, and folds that share no code."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.interchange.workload import read_lines, run_workload
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.verification.fold_check import FoldCheck
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.infrastructure.views.store import SQLStore
from holdbook.infrastructure.views.view_events import SQLViewEvents
from holdbook.projections.definition import Drop
from holdbook.projections.engine import BATCH_EVENTS
from holdbook.projections.projector import Projector
from holdbook.projections.views.catalogue import VIEWS
from support.logs import query, raw_rows
from support.workloads import made_up

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from holdbook import Ledger
    from holdbook.domain.ports import Clock
    from holdbook.projections.definition import Find, Handler, Key, Table, View, ViewEvent
    from holdbook.projections.generations import Generation
    from holdbook.projections.projector import ViewStatus
    from support.logs import Row

    Rows = dict[str, list[Row]]

NAMES = tuple(view.name for view in VIEWS)

OPEN = ("Allocated", "Reserved")
ENDED = ("Released", "Voided", "Expired")


def log_of(ledger: Ledger) -> SQLEventLog:
    """Give a ledger's log, which is in a database."""
    assert isinstance(ledger.log, SQLEventLog)
    return ledger.log


def keeper(
    ledger: Ledger,
    *views: View,
    batch_events: int = BATCH_EVENTS,
    clock: Clock = system_clock,
    tell: Callable[[str], object] = str,
    store: SQLStore | None = None,
) -> Projector:
    """Keep views, every published one if none is given, so many events at a time."""
    log = log_of(ledger)
    options: dict[str, Any] = {"views": views or VIEWS, "batch_events": batch_events, "clock": clock, "tell": tell}
    return Projector(SQLViewEvents(log), store or store_of(ledger), FoldCheck(log), **options)


def store_of(ledger: Ledger) -> SQLStore:
    """Give the store of a ledger's views."""
    return SQLStore(log_of(ledger).database)


def generations(ledger: Ledger, name: str) -> list[Generation]:
    """List the generations of a view."""
    return [one for one in store_of(ledger).generations() if one.view == name]


def status_of(ledger: Ledger, name: str) -> ViewStatus:
    """Tell how far a published view is."""
    return next(one for one in ledger.projector().status() if one.name == name)


def head_of(ledger: Ledger) -> int:
    """Tell where the log ends."""
    with ledger.log.reading() as reader:
        return reader.head


def run_made_up(ledger: Ledger, commands: int, seed: int = 1) -> int:
    """Run a workload that is made up of so many commands; give the position of its last event."""
    text = "".join(f"{json.dumps(line)}\n" for line in made_up(commands, seed))
    return run_workload(ledger, read_lines(io.BytesIO(text.encode()), "made up"), "made up").last_position


# What readers see


def contents(url: str, names: Iterable[str] = NAMES) -> Rows:
    """Read views by their published names, as any other program may."""
    return {name: sorted(query(url, f"SELECT * FROM {name}"), key=str) for name in names}  # noqa: S608 - names of our own


def check_right(ledger: Ledger, url: str, *, names: Iterable[str] = NAMES) -> None:
    """Check that views are at the log's end and are its fold, by verification and by folds that share no code."""
    report = verify_ledger(ledger)
    assert report.findings == (), report.findings
    stand = {view.name: view.position for view in report.views}
    assert {name: stand[name] for name in names} == dict.fromkeys(names, report.head)
    check_plainly(url)


def check_plainly(url: str) -> None:
    """Compare two views, read with plain SQL, with plain folds of the whole log."""
    log = raw_rows(url)
    current = query(
        url,
        "SELECT allocation_id, pool, owner, quantity, state, deadline, token, opened_at, opened_by "
        "FROM current_allocations",
    )
    history = query(
        url,
        "SELECT position, allocation_id, event, pool, owner, quantity, deadline, reason, code, occurred_at, "
        "recorded_at, actor, correlation_id, causation_id, command_id FROM allocation_history ORDER BY position",
    )
    assert len(current) == len(set(current))
    assert set(current) == fold_current(log)
    assert history == fold_history(log)


def fold_current(rows: list[Row]) -> set[Row]:
    """Fold the rows of the log into what is held; this code shares nothing with the views."""
    held: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        name, data = row[3], json.loads(row[15])
        key = (data.get("allocation_id"), data.get("pool"))
        if name in OPEN:
            token = f"{data['epoch']}:{row[0] - data['pools'].index(data['pool'])}"
            state = {"Allocated": "active", "Reserved": "reserved"}[name]
            held[key] = {"state": state, "token": token, "tags": data["tags"], "at": row[9], "by": row[11], **data}
        elif name in ENDED:
            del held[key]
        elif name in {"Confirmed", "Renewed", "Resized", "Transferred"}:
            wanted = {field: data[field] for field in ("deadline", "quantity", "owner") if field in data}
            held[key] |= wanted | ({"state": "active"} if name == "Confirmed" else {})
    return {
        (*key, one["owner"], one["quantity"], one["state"], one["deadline"], one["token"], one["at"], one["by"])
        for key, one in held.items()
    }


def fold_history(rows: list[Row]) -> list[Row]:
    """Fold the rows of the log into what happened to allocations; this code shares nothing with the views."""
    found = []
    for row in rows:
        data = json.loads(row[15])
        if data.get("allocation_id"):
            fields = (data.get(name) for name in ("pool", "owner", "quantity", "deadline", "reason", "code"))
            found.append((row[0], data["allocation_id"], row[3], *fields, *row[9:14], row[5]))
    return found


# Other code for a view


def handled_by(view: View, around: Callable[[Handler], Handler], *types: str, **changes: Any) -> View:  # noqa: ANN401 - whatever a view has
    """Give a view whose handlers, of all types if none is named, are put into others."""
    wrapped = {name: around(one) for name, one in view.handlers.items() if name in types or not types}
    return replace(view, handlers={**view.handlers, **wrapped}, **changes)


def failing(view: View, positions: Container[int]) -> View:
    """Give a view whose handlers fail on the events at some positions; its fingerprint is the same."""

    def around(handler: Handler) -> Handler:
        def handled(fact: ViewEvent, find: Find) -> Sequence[Any]:
            if fact.position in positions:
                message = "planted"
                raise ValueError(message)
            return handler(fact, find)

        return handled

    return handled_by(view, around)


def reckoning(
    view: View, change: Callable[[ViewEvent, dict[str, Any]], dict[str, Any]], *types: str, version: int
) -> View:
    """Give a view of another version that says something else in the rows of its published table."""

    def around(handler: Handler) -> Handler:
        def handled(fact: ViewEvent, find: Find) -> Sequence[Any]:
            return [
                one if isinstance(one, Drop) or one.table is not None else one._replace(row=change(fact, dict(one.row)))
                for one in handler(fact, find)
            ]

        return handled

    return handled_by(view, around, *types, version=version)


def with_columns(
    view: View, columns: dict[str, type[str | int]], more: Callable[[ViewEvent], dict[str, Any]] = lambda _fact: {}
) -> View:
    """Give a view whose published table has other columns, filled with what an event gives beside the old ones."""
    old = view.published
    table = replace(old, columns=columns)

    def around(handler: Handler) -> Handler:
        def handled(fact: ViewEvent, find: Find) -> Sequence[Any]:
            changes = handler(fact, lambda one, key: find(_of(one), key))
            return [
                one if isinstance(one, Drop) or one.table is not None else one._replace(row={**one.row, **more(fact)})
                for one in changes
            ]

        return handled

    def needs(fact: ViewEvent) -> Iterable[tuple[Table, Key]]:
        return ((_of(one), key) for one, key in view.needs(fact))

    def _of(one: Table) -> Table:
        return table if one is old else one

    return handled_by(view, around, tables=(table, *view.tables[1:]), needs=needs)
