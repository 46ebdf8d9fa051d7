"""The definition of a view: the names of its tables, and the fingerprint of the code that builds it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdbook.projections.definition import Add, Table, View
from holdbook.projections.views.allocation_history import ALLOCATION_HISTORY
from holdbook.projections.views.catalogue import VIEWS
from holdbook.projections.views.metrics import METRICS

TABLE = Table(
    name="totals", columns={"name": str, "kind": str, "count": int}, key=("name", "kind"), found_by=("name", "kind")
)
INNER = Table(name="totals_inner", columns={"name": str}, key=("name",), found_by=("name",))
VIEW = View(name="totals", version=1, tables=(TABLE, INNER), handlers={})


def of(table: Table) -> View:
    """Give the view another published table."""
    return replace(VIEW, tables=(table, INNER))


@pytest.mark.parametrize(
    "other",
    [
        replace(VIEW, version=2),
        replace(VIEW, tables=(TABLE,)),
        replace(VIEW, tables=(INNER, TABLE)),
        of(replace(TABLE, name="sums")),
        of(replace(TABLE, columns={**TABLE.columns, "more": int})),
        of(replace(TABLE, columns={"name": str, "kind": str, "number": int})),
        of(replace(TABLE, columns={"name": str, "kind": str, "count": str})),
        of(replace(TABLE, columns={"name": str, "count": int, "kind": str})),
        of(replace(TABLE, key=("name",))),
        of(replace(TABLE, key=("kind", "name"))),
        of(replace(TABLE, indexed=(("kind",),))),
    ],
    ids=[
        *("version", "table gone", "tables' order", "table's name", "column more", "column's name", "column's type"),
        *("columns' order", "key", "key's order", "index"),
    ],
)
def test_another_view_has_another_fingerprint(other: View) -> None:
    """Every difference in the tables changes the fingerprint without a new version; so does a new version alone."""
    assert other.fingerprint != VIEW.fingerprint


@pytest.mark.parametrize(
    "same",
    [
        replace(VIEW),
        replace(VIEW, handlers={"Allocated": lambda *_: (Add({}),)}),
        of(replace(TABLE, found_by=("name",))),
    ],
    ids=["again", "handlers", "how rows are found"],
)
def test_a_fingerprint_is_of_tables_and_version_alone(same: View) -> None:
    """Two views with the same tables and the same version have the same fingerprint, however the code is written."""
    assert same.fingerprint == VIEW.fingerprint


def test_fingerprints_are_told_apart_and_stay() -> None:
    """Each published view has a fingerprint of its own, the same in every process: these have been released."""
    assert VIEW.fingerprint == "cdb22493220d3f19"
    assert len({view.fingerprint for view in VIEWS}) == len(VIEWS)


def test_tables_are_named_after_the_view() -> None:
    """The published table has the view's name, and others begin with it; physical names end with the generation."""
    for view in VIEWS:
        assert view.published.name == view.name
        assert all(table.name.startswith(f"{view.name}_") for table in view.tables[1:])
    assert [table.physical(3) for table in METRICS.tables] == ["gen_metrics_3", "gen_metrics_holds_3"]


def test_rows_are_found_by_how_their_keys_begin() -> None:
    """Handlers find rows by the whole key or by all but its last column; in tables that only grow they find nothing."""
    for table in (table for view in VIEWS for table in view.tables if table.found_by):
        assert table.found_by == table.key[: len(table.found_by)]
        assert len(table.key) - len(table.found_by) <= 1
    growing = [table.name for view in VIEWS for table in view.tables if table.grows]
    assert growing == ["allocation_history", "validation_failures"]
    assert ALLOCATION_HISTORY.published.found_by == ()


def test_keys_are_read_from_rows() -> None:
    """A key is a tuple, even if it has only one column."""
    row = {"count": 1, "kind": "b", "name": "a"}
    assert (TABLE.key_getter()(row), INNER.key_getter()(row)) == (("a", "b"), ("a",))
    assert replace(TABLE, found_by=("name",)).find_getter()(row) == ("a",)
