"""The engine reads the log in batches of whole commands, folds them in memory, and writes rows and position at once."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, Self

from holdbook.domain.errors import LogCorrupt
from holdbook.projections.fold import HandlerFailed, KnownRows, fold, no_collections
from holdbook.projections.generations import GenerationState, Moved, RowsRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdbook.projections.definition import View, ViewEvent
    from holdbook.projections.generations import Generation, Source, Store

    Progress = Callable[[int, int], None]
    """Is called with the position reached and the position to reach; with several views, the first is their average."""

BATCH_EVENTS: Final = 10_000
"""The most events that are folded and written in one transaction."""

_BATCH_EVENTS_FIRST: Final = 1000
_BATCH_EVENTS_LEAST: Final = 50
"""How many events the first transaction has, and the fewest one is cut down to where transactions must be short."""

_LOOK_SECONDS: Final = 0.02
"""How many seconds pass before a worker looks again how far another worker has come."""

_QUIET_SECONDS: Final = 1.0
"""How many seconds another worker may make no progress before its work is taken over."""


def no_progress(_done: int, _total: int) -> None:
    """Report progress to nobody."""


@dataclass(slots=True, eq=False)
class Build:
    """A generation that is being moved along the log, with the rows that its handlers have found so far."""

    view: View
    generation: Generation
    known: KnownRows
    limit: int | None = None
    """The position at which the generation is to stop for now; None if it goes as far as it can."""

    @classmethod
    def of(cls, view: View, generation: Generation) -> Build:
        """Start from the position that a generation has reached."""
        return cls(view, generation, KnownRows(view))

    @property
    def position(self) -> int:
        """The position that the generation has reached."""
        return self.generation.position

    def target(self, upto: int) -> int:
        """Give the position to move to: ``upto``, or the limit if that comes first."""
        return upto if self.limit is None else min(upto, self.limit)

    def refresh(self, stored: Generation | None) -> None:
        """Take over the generation as the database has it now; None means that it was removed.

        If another worker has moved it, the rows that are known are forgotten.
        """
        if stored is None or stored.position != self.generation.position:
            self.known.clear()
        self.generation = stored or replace(self.generation, state=GenerationState.DISCARDED)


class _Reader:
    """Reads the log ahead: while one batch is folded and written, a thread reads the next one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._thread = ThreadPoolExecutor(1, "holdbook-views")
        self._prefetched: tuple[int, int, Future[Sequence[ViewEvent]]] | None = None
        """The position after which the thread reads, the position up to which it may, and the events to come."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def read(self, after: int, limit: int, end: int) -> Sequence[ViewEvent]:
        """Read about ``limit`` events after a position, none beyond ``end``; raises `LogCorrupt` if there are none."""
        expected, self._prefetched = self._prefetched, None
        if expected is not None and expected[:2] == (after, end):
            events = expected[2].result()
        else:
            events = self._source.read_events(after, limit, end)
        if not events:
            raise LogCorrupt(f"the log has no event after position {after}, and a view wants to go to {end}")
        last = events[-1].position
        if last < end:
            self._prefetched = last, end, self._thread.submit(self._source.read_events, last, limit, end)
        return events


class Engine:
    """Moves generations along the log; those that are at the same position share one reading of it."""

    def __init__(
        self,
        source: Source,
        store: Store,
        *,
        batch_events: int = BATCH_EVENTS,
        on_wait: Callable[[Generation], object] = str,
    ) -> None:
        self.source = source
        self.store = store
        self._batch_events_max = batch_events
        self._batch_events = min(batch_events, _BATCH_EVENTS_FIRST)
        """How many events the next batch has."""
        self._on_wait = on_wait

    def move(self, builds: Sequence[Build], upto: int, progress: Progress = no_progress) -> None:
        """Move builds up to a position, each as far as it may go; one that fails on an event is stopped before it.

        The progress reported is that of the generations being built, if there are any, because live ones have little
        left to do. Raises `LogUnavailable`, and `LogCorrupt` or `UnknownEvent` for events that cannot be read.
        """
        shown = [one for one in builds if one.generation.state is GenerationState.BUILDING] or builds
        with _Reader(self.source) as reader:
            self._move(builds, upto, reader, lambda: progress(sum(one.position for one in shown) // len(shown), upto))

    def _move(self, builds: Sequence[Build], upto: int, reader: _Reader, tell: Callable[[], None]) -> None:
        while behind := [one for one in builds if one.generation.is_open and one.position < one.target(upto)]:
            after = min(one.position for one in behind)
            together = [one for one in behind if one.position == after]
            ends = [one.position for one in behind if one.position > after] + [one.target(upto) for one in together]
            with no_collections():
                self._batch(together, reader.read(after, self._batch_events, min(ends)), upto)
            tell()

    def _batch(self, together: Sequence[Build], events: Sequence[ViewEvent], upto: int) -> None:
        """Move builds that are at the same position over a batch of events."""
        self._adapt(max(self._advance(one, events, upto) for one in together))

    def _adapt(self, seconds: float) -> None:
        """Fit the next batch's size to how long a transaction may take, given the seconds that the last one took."""
        if seconds > 0.8 * self.store.batch_seconds_max:
            self._batch_events = max(self._batch_events // 2, min(_BATCH_EVENTS_LEAST, self._batch_events_max))
        elif seconds < 0.4 * self.store.batch_seconds_max:
            self._batch_events = min(self._batch_events * 2, self._batch_events_max)

    def _advance(self, build: Build, events: Sequence[ViewEvent], upto: int) -> float:
        """Move one build over a batch; gives the seconds its transaction took, 0 if another worker has moved it."""
        try:
            build.known.trim()
            return self._write(build, events, monotonic())
        except Moved:
            self._wait(build, upto)
            return 0.0

    def _write(self, build: Build, events: Sequence[ViewEvent], began: float) -> float:
        generation, last = build.generation, events[-1].position
        kept = [one for one in events if one.position not in generation.skipped] if generation.skipped else events
        try:
            changes = fold(build.view, kept, build.known, partial(self.store.load, generation))
            rate = int(len(events) / max(monotonic() - began, 1e-6))
            seconds = self.store.advance(generation, changes, last, rate)
        except (HandlerFailed, RowsRefused) as error:
            build.known.clear()
            return self._write_up_to_failure(build, events, began, error)
        except BaseException:
            build.known.clear()
            raise
        build.generation = replace(generation, position=last)
        return seconds

    def _write_up_to_failure(
        self, build: Build, events: Sequence[ViewEvent], began: float, error: HandlerFailed | RowsRefused
    ) -> float:
        """Halve the batch, by whole commands, until all before the command at fault is written; stop the view there."""
        commands = [list(command) for _, command in groupby(events, key=lambda event: event.command_id)]
        if len(commands) > 1:
            half = len(commands) // 2
            first, second = ([event for one in part for event in one] for part in (commands[:half], commands[half:]))
            seconds = self._write(build, first, began)
            return max(seconds, self._write(build, second, began)) if build.generation.is_open else seconds
        position = error.position if isinstance(error, HandlerFailed) else events[0].position
        kind = next(event.type for event in events if event.position == position)
        self.store.stop(build.generation, position, kind, str(error))
        self.refresh(build)
        if build.generation.is_open:  # another worker has moved it, and did not fail here
            raise Moved
        return 0.0

    def refresh(self, build: Build) -> None:
        """Read from the database where a generation is now."""
        name, number = build.generation.view, build.generation.number
        found = (one for one in self.store.generations() if (one.view, one.number) == (name, number))
        build.refresh(next(found, None))

    def _wait(self, build: Build, upto: int) -> None:
        """Wait while another worker moves the generation, until it arrives, is stopped, or makes no more progress."""
        self._on_wait(build.generation)
        quiet_since = monotonic()
        while monotonic() - quiet_since < _QUIET_SECONDS:
            before = build.position
            self.refresh(build)
            if not build.generation.is_open or build.position >= build.target(upto):
                return
            if build.position != before:
                quiet_since = monotonic()
            sleep(_LOOK_SECONDS)
