"""Folding: rows are found and changed in memory, at most once each; a failing handler's event is named."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from holdbook.domain.errors import LogUnavailable
from holdbook.projections import fold as module
from holdbook.projections.definition import Add, Drop, Set, Table, View, ViewEvent
from holdbook.projections.fold import HandlerFailed, KnownRows, TableChanges, WholeFold, fold, no_collections
from holdbook.projections.generations import Moved
from holdbook.projections.views.current_allocations import CURRENT_ALLOCATIONS
from holdbook.projections.views.pool_usage import POOL_USAGE
from support.deciding import History, allocated, opened
from support.viewing import Tables, facts_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdbook.projections.definition import Find, Key, Row

MARKS = Table(
    name="marks",
    columns={"pool": str, "number": int, "before": int},
    key=("pool", "number"),
    found_by=("pool",),
)
SEEN = Table(name="marks_seen", columns={"pool": str, "times": int}, key=("pool",), found_by=("pool",))
DIARY = Table(name="marks_diary", columns={"position": int, "pool": str}, key=("position",))


def event(position: int, kind: str, pool: str = "gpu", **data: Any) -> ViewEvent:  # noqa: ANN401 - fields of an event
    """Make up an event."""
    return ViewEvent(position, kind, f"c{position}", 0, 1, "", "", None, None, None, {"pool": pool, **data})


def _put(event: ViewEvent, find: Find) -> list[Add | Set | Drop]:
    """Add a row with a number, in any order of numbers; note the last row before it, and how often a pool was seen."""
    pool, last, seen = event.data["pool"], find(MARKS, (event.data["pool"],)), find(SEEN, (event.data["pool"],))
    counted: Add | Set = (
        Set({**seen, "times": seen["times"] + 1}, SEEN) if seen else Add({"pool": pool, "times": 1}, SEEN)
    )
    row = {"pool": pool, "number": event.data["number"], "before": last["number"] if last else None}
    return [Add(row), counted, Add({"position": event.position, "pool": pool}, DIARY)]


def _change(event: ViewEvent, _find: Find) -> list[Add | Set | Drop]:
    return [Set({"pool": event.data["pool"], "number": event.data["number"], "before": 99})]


def _forget(event: ViewEvent, _find: Find) -> list[Add | Set | Drop]:
    return [Drop((event.data["pool"],), SEEN)]


def _needs(event: ViewEvent) -> Iterable[tuple[Table, Key]]:
    if event.type == "Put":
        yield MARKS, (event.data["pool"],)
        yield SEEN, (event.data["pool"],)


MARKING = View(
    name="marks",
    version=1,
    tables=(MARKS, SEEN, DIARY),
    handlers={"Put": _put, "Change": _change, "Forget": _forget},
    needs=_needs,
)


def put(position: int, number: int, pool: str = "gpu") -> ViewEvent:
    """Make up an event that adds a row."""
    return event(position, "Put", pool, number=number)


def stored(*rows: Row) -> Tables:
    """Put rows into the view's published table."""
    tables = Tables(MARKING)
    tables.rows[MARKS] = {(row["pool"], row["number"]): row for row in rows}
    return tables


class TestFinding:
    """A handler finds the rows as the events before have left them."""

    def test_the_last_is_found(self) -> None:
        """Of the rows of one beginning, the last by key is found, whichever was added last."""
        changes, *_ = fold(MARKING, [put(1, 5), put(2, 3), put(3, 7)], KnownRows(MARKING), Tables(MARKING).load)
        assert [row["before"] for row in changes.added.values()] == [None, 5, 5]

    def test_what_is_stored_is_found(self) -> None:
        """A row from the table is found until a later one, by key, is added."""
        tables = stored({"pool": "gpu", "number": 4, "before": None}, {"pool": "gpu", "number": 6, "before": 4})
        changes, *_ = fold(MARKING, [put(1, 5), put(2, 7), put(3, 8)], KnownRows(MARKING), tables.load)
        assert [row["before"] for row in changes.added.values()] == [6, 6, 7]

    def test_what_was_changed_is_found_changed(self) -> None:
        """A changed last row is found with its new values; a change of another row makes no difference."""
        known, tables = KnownRows(MARKING), stored({"pool": "gpu", "number": 6, "before": None})
        change, other = (event(2, "Change", number=6), event(3, "Change", number=2))
        fold(MARKING, [put(1, 1), change, other], known, tables.load)
        assert known.find(MARKS, ("gpu",)) == {"pool": "gpu", "number": 6, "before": 99}

    def test_what_is_gone_is_not_found(self) -> None:
        """A row that was dropped is not found any more."""
        changes = fold(MARKING, [put(1, 1), event(2, "Forget"), put(3, 2)], KnownRows(MARKING), Tables(MARKING).load)
        assert changes[1].added == {("gpu",): {"pool": "gpu", "times": 1}}

    def test_a_batch_is_loaded_at_once(self) -> None:
        """When a row is missing, all rows that the rest of the batch needs are loaded, each table's together."""
        tables = Tables(MARKING)
        fold(MARKING, [put(1, 1), put(2, 2, "cpu"), put(3, 3)], KnownRows(MARKING), tables.load)
        assert tables.loads == [("marks", [("gpu",), ("cpu",)]), ("marks_seen", [("gpu",), ("cpu",)])]

    def test_what_is_known_is_not_loaded_again(self) -> None:
        """Rows stay known from batch to batch, and so does that a row does not exist."""
        tables, known = Tables(MARKING), KnownRows(MARKING)
        tables.write(fold(MARKING, [put(1, 1)], known, tables.load))
        tables.write(fold(MARKING, [put(2, 2), put(3, 9, "cpu")], known, tables.load))
        assert [begins for _, begins in tables.loads] == [[("gpu",)], [("gpu",)], [("cpu",)], [("cpu",)]]

    def test_what_was_cleared_is_loaded_again(self) -> None:
        """After the known rows are cleared, they are loaded again as they are now."""
        tables, known = Tables(MARKING), KnownRows(MARKING)
        fold(MARKING, [put(1, 1)], known, tables.load)  # and never written
        known.clear()
        changes, *_ = fold(MARKING, [put(1, 1)], known, tables.load)
        assert changes.added == {("gpu", 1): {"pool": "gpu", "number": 1, "before": None}}
        assert len(tables.loads) == 4

    def test_little_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Once there are more known rows than may be kept, all are forgotten; before that, none."""
        monkeypatch.setattr(module, "KNOWN_ROWS_MAX", 4)
        tables, known = Tables(MARKING), KnownRows(MARKING)
        fold(MARKING, [put(1, 1), put(2, 2, "cpu")], known, tables.load)
        known.trim()
        assert known.find(SEEN, ("cpu",)) == {"pool": "cpu", "times": 1}
        fold(MARKING, [put(3, 3, "ram")], known, tables.load)
        known.trim()
        tables.loads.clear()
        fold(MARKING, [put(4, 4)], known, tables.load)
        assert tables.loads == [("marks", [("gpu",)]), ("marks_seen", [("gpu",)])]


class TestTableChanges:
    """The change that a run of events makes to one row in the end."""

    ROW = {"pool": "gpu", "times": 1}  # noqa: RUF012 - read only
    NEXT = {"pool": "gpu", "times": 2}  # noqa: RUF012 - read only
    KEY = ("gpu",)

    @pytest.mark.parametrize(
        ("steps", "added", "replaced", "dropped"),
        [
            ([], {}, {}, set()),
            (["add"], {KEY: ROW}, {}, set()),
            (["add", "set"], {KEY: NEXT}, {}, set()),
            (["add", "drop"], {}, {}, set()),
            (["add", "set", "drop", "add"], {KEY: ROW}, {}, set()),
            (["set"], {}, {KEY: NEXT}, set()),
            (["set", "set"], {}, {KEY: NEXT}, set()),
            (["drop"], {}, {}, {KEY}),
            (["set", "drop"], {}, {}, {KEY}),
            (["drop", "add"], {}, {KEY: ROW}, set()),
            (["drop", "add", "set"], {}, {KEY: NEXT}, set()),
            (["set", "drop", "add", "drop"], {}, {}, {KEY}),
        ],
    )
    def test_one_change_a_row(
        self, steps: list[str], added: dict[Key, Row], replaced: dict[Key, Row], dropped: set[Key]
    ) -> None:
        """In the end a row is added, replaced, dropped, or left as it is."""
        changes = TableChanges(SEEN)
        for step in steps:
            {
                "add": lambda: changes.add(self.ROW),
                "set": lambda: changes.set(self.NEXT),
                "drop": lambda: changes.drop(self.KEY),
            }[step]()
        assert (changes.added, changes.replaced, changes.dropped) == (added, replaced, dropped)
        assert changes.is_empty is not any((added, replaced, dropped))

    def test_every_table_has_one(self) -> None:
        """Every table has its changes, in the order of the tables, even if nothing changes in it."""
        changes = fold(MARKING, [event(1, "Other"), event(2, "Forget")], KnownRows(MARKING), Tables(MARKING).load)
        assert [(one.table, one.is_empty) for one in changes] == [(MARKS, True), (SEEN, False), (DIARY, True)]


def test_rows_that_are_found_alike_are_not_dropped() -> None:
    """In a table whose rows are found by less than their key, no row can be dropped."""
    changes = TableChanges(MARKS, {})
    with pytest.raises(ValueError, match="marks: rows that are found by less than their key cannot be dropped"):
        changes.drop(("gpu", 1))


def failing(error: Exception, *, needs: bool = False) -> View:
    """Make a view that fails on an event of the type Broken."""

    def fail(event: ViewEvent, *_: object) -> list[Any]:
        if event.type == "Broken":
            raise error
        return []

    def find(_event: ViewEvent, find: Find) -> list[Any]:
        find(MARKS, ("gpu",))
        return []

    if needs:
        return View(name="v", version=1, tables=(MARKS,), handlers={"Put": find, "Broken": find}, needs=fail)
    return View(name="v", version=1, tables=(MARKS,), handlers={"Put": fail, "Broken": fail})


class TestFailing:
    """An event on which a view's handler fails."""

    @pytest.mark.parametrize(
        "error", [KeyError("pool"), LookupError("no such hold"), TypeError("int"), LogUnavailable("no such luck")]
    )
    def test_it_is_named(self, error: Exception) -> None:
        """Both folds name the view, and the position and type of the event, whatever the handler raises."""
        view, events = failing(error), [put(1, 1), event(2, "Broken"), event(3, "Put")]
        with pytest.raises(HandlerFailed) as found:
            fold(view, events, KnownRows(view), Tables(view).load)
        assert found.value.__cause__ is error
        (also,) = WholeFold(view).fold(events)
        for caught in (found.value, also):
            assert (caught.view, caught.position, caught.event_type) == ("v", 2, "Broken")
            assert str(caught) == f"view v failed on Broken at position 2: {type(error).__name__}: {error}"

    def test_what_is_not_named_as_needed(self) -> None:
        """A handler that looks for a row that `needs` does not name fails; it does not find None."""
        view = View(name="v", version=1, tables=(MARKS, SEEN), handlers=MARKING.handlers)
        with pytest.raises(HandlerFailed, match="looks for a row that the view's `needs` does not name") as caught:
            fold(view, [put(7, 1)], KnownRows(view), Tables(view).load)
        assert (caught.value.position, caught.value.event_type) == (7, "Put")

    def test_what_is_needed_cannot_be_told(self) -> None:
        """If `needs` fails on an event, that event is named, even if another event caused the loading."""
        view = failing(KeyError("allocation_id"), needs=True)
        with pytest.raises(HandlerFailed, match="failed on Broken at position 2: KeyError: 'allocation_id'"):
            fold(view, [put(1, 1), event(2, "Broken")], KnownRows(view), Tables(view).load)

    @pytest.mark.parametrize("error", [Moved(), LogUnavailable("gone")])
    def test_a_database_that_fails_is_no_handler_s_fault(self, error: Exception) -> None:
        """An error while loading is raised as it is: another worker has moved the view, or the database is gone."""

        def load(*_: object) -> dict[Key, Row]:
            raise error

        with pytest.raises(type(error)) as caught:
            fold(MARKING, [put(1, 1)], KnownRows(MARKING), load)
        assert caught.value is error

    def test_an_allocation_that_holds_nothing(self) -> None:
        """In a forged log, the view of what is held names an event about something that is not held."""
        history = History().given(opened(), allocated("a", gpu=2))
        (broken,) = facts_of(history.given(allocated("a", gpu=2)).records[-1:])
        for kind in ("Confirmed", "Renewed", "Resized", "Transferred"):
            unheld = broken._replace(type=kind, data={**broken.data, "allocation_id": "b"})
            expected = f"failed on {kind} at position 3: LookupError: allocation 'b' holds nothing of pool 'gpu'"
            with pytest.raises(HandlerFailed, match=expected):
                fold(
                    CURRENT_ALLOCATIONS,
                    [*facts_of(history.records), unheld],
                    KnownRows(CURRENT_ALLOCATIONS),
                    Tables(CURRENT_ALLOCATIONS).load,
                )


class TestWholeFold:
    """The plain fold that generations are compared with."""

    def folded(self, *events: ViewEvent) -> WholeFold:
        """Fold made-up events."""
        whole = WholeFold(MARKING)
        assert whole.fold(events) == []
        return whole

    def test_rows(self) -> None:
        """It gives the rows of each table by key, without dropped ones; events of other types do nothing."""
        whole = self.folded(put(1, 5), put(2, 3), event(3, "Other"), event(4, "Change", number=3), event(5, "Forget"))
        assert whole.rows == {
            MARKS: {
                ("gpu", 5): {"pool": "gpu", "number": 5, "before": None},
                ("gpu", 3): {"pool": "gpu", "number": 3, "before": 99},
            },
            SEEN: {},
            DIARY: {(1,): {"position": 1, "pool": "gpu"}, (2,): {"position": 2, "pool": "gpu"}},
        }

    def test_the_last_is_found(self) -> None:
        """A handler finds the last row by key, and none that was dropped."""
        whole = self.folded(put(1, 5), put(2, 3), event(3, "Forget"), put(4, 7))
        assert [row["before"] for row in whole.rows[MARKS].values()] == [None, 5, 5]
        assert whole.rows[SEEN] == {("gpu",): {"pool": "gpu", "times": 1}}

    def test_what_fails_is_left_out(self) -> None:
        """An event on which a handler fails is reported and changes nothing; the later ones are folded."""
        whole = WholeFold(MARKING)
        (first, second) = whole.fold([put(1, 5), event(2, "Put"), put(3, 6), event(4, "Change")])
        assert [(one.position, one.event_type) for one in (first, second)] == [(2, "Put"), (4, "Change")]
        assert list(whole.rows[MARKS]) == [("gpu", 5), ("gpu", 6)]
        assert whole.rows[SEEN] == {("gpu",): {"pool": "gpu", "times": 2}}

    def test_what_was_compared_is_forgotten(self) -> None:
        """The rows of one table, or of all tables that only grow, can be forgotten; others are still found."""
        whole = self.folded(put(1, 5))
        whole.clear_growing()
        assert (list(whole.rows[MARKS]), list(whole.rows[SEEN]), list(whole.rows[DIARY])) == (
            [("gpu", 5)], [("gpu",)], [],
        )  # fmt: skip
        assert whole.fold([put(2, 6)]) == []
        assert (whole.rows[SEEN]["gpu",]["times"], list(whole.rows[DIARY])) == (2, [(2,)])
        whole.clear(DIARY)
        assert whole.rows[DIARY] == {}


def test_garbage_collection_is_as_it_was() -> None:
    """Garbage collection is off during a batch, and on again after it if it was on before."""
    assert gc.isenabled()
    with no_collections():
        assert not gc.isenabled()
        with no_collections():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), no_collections():
        raise KeyError
    assert gc.isenabled()


def test_pool_usage_finds_a_pool_by_its_last_bucket() -> None:
    """Of a pool's rows, only the last one is loaded."""
    history = History().given(opened(), allocated("a", gpu=2))
    tables = Tables(POOL_USAGE)
    tables.write(fold(POOL_USAGE, facts_of(history.records), KnownRows(POOL_USAGE), tables.load))
    later = history.given(allocated("b", gpu=1), at=7200).given(allocated("c", gpu=1), at=9000)
    events = facts_of(later.records)
    for after in (2, 3):
        tables.write(fold(POOL_USAGE, events[after : after + 1], KnownRows(POOL_USAGE), tables.load))
    rows = tables.rows[POOL_USAGE.published]
    assert [(key[1][11:13], row["used"], row["peak"]) for key, row in rows.items()] == [("00", 2, 2), ("02", 4, 4)]
