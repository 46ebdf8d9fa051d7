"""Tables for people."""

import io

from rich.console import Console

from holdbook.infrastructure.cli.terminal.tables import brief, table


def printed(thing: object) -> str:
    """Print to a text."""
    text = io.StringIO()
    Console(file=text, width=60).print(thing)
    return text.getvalue()


def test_a_column_that_is_empty_is_left_out() -> None:
    """Room goes to what is there."""
    said = printed(table(("name", "nothing", "size"), [("a", "", "1"), ("b", "", "22")], right=("size",)))
    assert "nothing" not in said
    assert said.splitlines()[-2].split() == ["a", "1"]


def test_a_long_cell_is_folded_not_cut() -> None:
    """An id can be read whole."""
    said = printed(table(("id",), [("x" * 100,)]))
    assert said.count("x") == 100


def test_long_ids_are_cut_for_people() -> None:
    """Short ones are not."""
    assert brief("0123456789ab") == "0123456789ab"
    assert brief("0123456789abc") == "…23456789abc"
