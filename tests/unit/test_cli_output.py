"""What people see."""

import io

from rich.console import Console

from bursar.infrastructure.cli.output import PROGRESS_AFTER_SECONDS, Bar, brief, table


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


def test_a_bar_waits_until_the_work_takes_long() -> None:
    """What is over at once shows nothing."""
    now, text = [0.0], io.StringIO()
    bar = Bar(Console(file=text, force_terminal=True, width=80), "working", clock=lambda: now[0])
    bar(1, 2)
    assert text.getvalue() == ""
    now[0] = PROGRESS_AFTER_SECONDS
    bar(1, 2)
    bar(2, 2)
    bar.close()
    assert "working" in text.getvalue()


def test_no_bar_where_there_is_no_terminal() -> None:
    """A file gets no bar, however long the work takes."""
    now, text = [0.0], io.StringIO()
    bar = Bar(Console(file=text), "working", clock=lambda: now[0])
    now[0] = 100.0
    bar(1, 2)
    bar.close()
    assert text.getvalue() == ""
