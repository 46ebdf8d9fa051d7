"""What people and programs see: JSON, tables, sentences, a progress bar."""

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
"""How long something takes before its progress is shown."""

TONE_STYLES: Final = {
    Tone.PLAIN: "",
    Tone.GOOD: "green",
    Tone.CAUTION: "yellow",
    Tone.BAD: "red",
    Tone.ALARM: "bold red",
    Tone.NEW: "bold",
}
"""How a terminal shows each tone."""

_PIPE_COLUMNS: Final = 200
"""Width of a table that is not written to a terminal."""


class Screen(Console):
    """A console that leaves it to the program what becomes of a reader that has gone."""

    def on_broken_pipe(self) -> None:
        """Raise the error that Rich would make an exit."""
        raise BrokenPipeError


def screen(*, errors: bool = False) -> Console:
    """Give the standard output, or the standard error, for people; names are shown as they are."""
    stream = sys.stderr if errors else sys.stdout
    width = None if stream.isatty() else _PIPE_COLUMNS
    return Screen(stderr=errors, width=width, markup=False, highlight=False, emoji=False)


def emit(value: object, *, errors: bool = False) -> None:
    """Print one JSON document on one line."""
    emit_line(json.dumps(value, ensure_ascii=False, default=str), errors=errors)


def emit_line(line: str, *, errors: bool = False) -> None:
    """Print a line that is JSON already."""
    print(line, file=sys.stderr if errors else sys.stdout)


def emit_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Print a header and rows as CSV; what is null is empty."""
    writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def say(text: str | Text | Sentence, *, errors: bool = False) -> None:
    """Print a sentence, as long as it is."""
    screen(errors=errors).print(styled(text) if isinstance(text, Sentence) else text, soft_wrap=True)


def say_all(lines: Iterable[str | Sentence]) -> None:
    """Print sentences, a line each."""
    for line in lines:
        say(line)


def styled(sentence: Sentence) -> Text:
    """Give a sentence the colours of its tones."""
    return Text.assemble(*((part.text, TONE_STYLES[part.tone]) for part in sentence.parts))


def tell_failure(error: Exception, *, as_json: bool) -> None:
    """Say what failed, where the work goes on."""
    if as_json:
        emit(passing_error_shape(error), errors=True)
    else:
        say(Text(str(error), style="red"), errors=True)


def show(thing: Table) -> None:
    """Print a table."""
    screen().print(thing)


# Progress


class ProgressBar:
    """A progress bar on the standard error, shown once the work has taken a while."""

    def __init__(self, console: Console, title: str, unit: str = "", clock: Callable[[], float] = monotonic) -> None:
        counts = [TextColumn("{task.fields[counts]}")] if unit else []
        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), *counts
        self._progress = Progress(*columns, console=console, transient=True)
        self._task = self._progress.add_task(title, total=None, counts="")
        self._unit = unit
        self._clock = clock
        self._since = clock()
        self._first: tuple[float, int] | None = None
        """When it was first told how much is done, and how much that was."""
        self._console = console
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Note how much is done."""
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
    """Give a function to tell of progress, shown to people at a terminal; with a unit, also how much, and how fast."""
    if silent:
        yield lambda *_: None
        return
    bar = ProgressBar(screen(errors=True), title, unit)
    try:
        yield bar
    finally:
        bar.close()
