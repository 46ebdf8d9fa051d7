"""What people see."""

import io

from rich.console import Console

from holdbook.infrastructure.cli.terminal.output import PROGRESS_AFTER_SECONDS, ProgressBar


def test_a_bar_waits_until_the_work_takes_long() -> None:
    """What is over at once shows nothing."""
    now, text = [0.0], io.StringIO()
    bar = ProgressBar(Console(file=text, force_terminal=True, width=80), "working", clock=lambda: now[0])
    bar(1, 2)
    assert text.getvalue() == ""
    now[0] = PROGRESS_AFTER_SECONDS
    bar(1, 2)
    bar(2, 2)
    bar.close()
    assert "working" in text.getvalue()


def test_a_bar_tells_how_much_and_how_fast() -> None:
    """With a unit, it shows how much is done and in all, and the rate since it was first told of this work."""
    now, text = [0.0], io.StringIO()
    bar = ProgressBar(Console(file=text, force_terminal=True, width=100), "rebuilding", "events", clock=lambda: now[0])
    bar(1000, 9000)
    now[0] = 2.0
    bar(5000, 9000)
    bar.close()
    assert "5,000 of 9,000 events, 2,000/s" in text.getvalue()
    text.truncate(0)
    again = ProgressBar(
        Console(file=text, force_terminal=True, width=100), "rebuilding", "events", clock=lambda: now[0]
    )
    again(9000, 9000)
    now[0] = 12.0
    again(0, 9000)  # the next thing to do has as much before it
    now[0] = 14.0
    again(3000, 9000)
    again.close()
    assert "3,000 of 9,000 events, 1,500/s" in text.getvalue()


def test_no_bar_where_there_is_no_terminal() -> None:
    """A file gets no bar, however long the work takes."""
    now, text = [0.0], io.StringIO()
    bar = ProgressBar(Console(file=text), "working", clock=lambda: now[0])
    now[0] = 100.0
    bar(1, 2)
    bar.close()
    assert text.getvalue() == ""
