"""Prints for people and programs: JSON, CSV, sentences, tables, and a progress bar."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from holdbook.infrastructure.presentation.shapes.ledger import passing_error_shape
from holdbook.infrastructure.presentation.wording.tones import Sentence, Tone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rich.table import Table

PROGRESS_AFTER_SECONDS: Final = 1.0
"""Seconds that work takes before its progress is shown."""

TONE_STYLES: Final = {
    Tone.PLAIN: "",
    Tone.GOOD: "green",
    Tone.CAUTION: "yellow",
    Tone.BAD: "red",
    Tone.ALARM: "bold red",
    Tone.NEW: "bold",
}
"""The style in which the terminal shows each tone."""

_PIPE_COLUMNS: Final = 200
"""Width in characters of a table that is not written to a terminal."""


class Screen(Console):
    """A console that raises `BrokenPipeError` when nobody reads its output any more; Rich itself would exit."""

    def on_broken_pipe(self) -> None:
        """Raise the error that was caught."""
        raise BrokenPipeError


def screen(*, errors: bool = False) -> Console:
    """Give a console on the standard output, or on the standard error.

    It shows text as it is: nothing in a name is taken for markup, an emoji's name, or a number to highlight.
    """
    stream = sys.stderr if errors else sys.stdout
    width = None if stream.isatty() else _PIPE_COLUMNS
    return Screen(stderr=errors, width=width, markup=False, highlight=False, emoji=False)


def emit(value: object, *, errors: bool = False) -> None:
    """Print one JSON document on one line."""
    emit_line(json.dumps(value, ensure_ascii=False, default=str), errors=errors)


def emit_line(line: str, *, errors: bool = False) -> None:
    """Print a line of text that is ready for programs."""
    print(line, file=sys.stderr if errors else sys.stdout)


def emit_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Print a header and rows as CSV; None becomes an empty field."""
    writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def say(text: str | Text | Sentence, *, errors: bool = False) -> None:
    """Print a sentence on one line, however long it is."""
    screen(errors=errors).print(styled(text) if isinstance(text, Sentence) else text, soft_wrap=True)


def say_all(lines: Iterable[str | Sentence]) -> None:
    """Print sentences, a line each."""
    for line in lines:
        say(line)


def styled(sentence: Sentence) -> Text:
    """Give each part of a sentence the style of its tone."""
    return Text.assemble(*((part.text, TONE_STYLES[part.tone]) for part in sentence.parts))


def tell_failure(error: Exception, *, as_json: bool) -> None:
    """Print an error after which the work goes on."""
    if as_json:
        emit(passing_error_shape(error), errors=True)
    else:
        say(Text(str(error), style="red"), errors=True)


def show(shown: Table) -> None:
    """Print a table."""
    screen().print(shown)


class ProgressBar:
    """A progress bar, shown once the work has taken `PROGRESS_AFTER_SECONDS`, and on a terminal only.

    With a unit it also shows how much is done, and how much in a second.
    """

    def __init__(self, console: Console, title: str, unit: str = "", clock: Callable[[], float] = monotonic) -> None:
        counts = [TextColumn("{task.fields[counts]}")] if unit else []
        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), *counts
        self._progress = Progress(*columns, console=console, transient=True)
        self._task = self._progress.add_task(title, total=None, counts="")
        self._unit = unit
        self._clock = clock
        self._since = clock()
        self._first: tuple[float, int] | None = None
        """When it was first told how much is done, and how much that was; the rate is counted from there."""
        self._console = console
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Note how much is done of a total."""
        if not self._console.is_terminal:
            return
        now = self._clock()
        if self._first is None or done < self._first[1]:
            self._first = now, done
        if now - self._since < PROGRESS_AFTER_SECONDS:
            return
        if not self._shown:
            self._shown = True
            self._progress.start()
        rate = (done - self._first[1]) / max(now - self._first[0], 1e-3)
        counts = f"{done:,} of {total:,} {self._unit}, {rate:,.0f}/s"
        self._progress.update(self._task, completed=done, total=total, counts=counts)

    def close(self) -> None:
        """Take the bar away."""
        if self._shown:
            self._progress.stop()


@contextmanager
def progress(title: str, *, silent: bool = False, unit: str = "") -> Iterator[Callable[[int, int], Any]]:
    """Give a function that takes how much is done and the total, and shows both as a `ProgressBar` unless silent."""
    if silent:
        yield lambda *_: None
        return
    bar = ProgressBar(screen(errors=True), title, unit)
    try:
        yield bar
    finally:
        bar.close()
