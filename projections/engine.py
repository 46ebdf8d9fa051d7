"""The engine: reads the log in batches of whole commands, folds in memory, writes rows and position together."""

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
    """Is told events done and events in all, on an average over the views at work."""

BATCH_EVENTS: Final = 10_000
"""The most events that are folded and written in one transaction."""

_BATCH_EVENTS_FIRST: Final = 1000
_BATCH_EVENTS_LEAST: Final = 50
"""With how many events a transaction begins, and the least to which it shrinks, where it must not take long."""

_LOOK_SECONDS: Final = 0.02
"""How often a worker looks how far another one has come."""

_QUIET_SECONDS: Final = 1.0
"""How long another worker may stand still before its work is taken over."""


def no_progress(_done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(slots=True, eq=False)
class Build:
    """A generation on its way."""

    view: View
    generation: Generation
    known: KnownRows
    limit: int | None = None
    """Position at which it waits, if it does."""

    @classmethod
    def of(cls, view: View, generation: Generation) -> Build:
        """Begin where a generation stands."""
        return cls(view, generation, KnownRows(view))

    @property
    def position(self) -> int:
        """Where it stands."""
        return self.generation.position

    def target(self, upto: int) -> int:
        """Tell how far it goes of a way."""
        return upto if self.limit is None else min(upto, self.limit)

    def refresh(self, stored: Generation | None) -> None:
        """Take note of the generation as the database has it; None if it is gone."""
        if stored is None or stored.position != self.generation.position:
            self.known.clear()
        self.generation = stored or replace(self.generation, state=GenerationState.DISCARDED)


class _Reader:
    """Reads the log for a run of batches: while one is folded and written, the next is read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._thread = ThreadPoolExecutor(1, "holdbook-views")
        self._prefetched: tuple[int, int, Future[Sequence[ViewEvent]]] | None = None
        """After which position, and up to which, the next events are read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def read(self, after: int, limit: int, end: int) -> Sequence[ViewEvent]:
        """Read the events after a position, about ``limit``, none after ``end``; raises `LogCorrupt` for none."""
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
    """Moves generations along the log, reading it once for all that stand at the same place."""

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
        """Move builds up to a position, as far as each may go; one that fails on an event is stopped there.

        Progress is that of generations that are built, if any are: live ones beside them are almost there.
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
        """Move builds that stand at the same place over a batch of events."""
        self._adapt(max(self._advance(one, events, upto) for one in together))

    def _adapt(self, seconds: float) -> None:
        """Have the next transactions take as long as they may."""
        if seconds > 0.8 * self.store.batch_seconds_max:
            self._batch_events = max(self._batch_events // 2, min(_BATCH_EVENTS_LEAST, self._batch_events_max))
        elif seconds < 0.4 * self.store.batch_seconds_max:
            self._batch_events = min(self._batch_events * 2, self._batch_events_max)

    def _advance(self, build: Build, events: Sequence[ViewEvent], upto: int) -> float:
        """Move one build over events; the seconds that its transaction took."""
        try:
            build.known.trim()
            return self._write(build, events, monotonic())
        except Moved:
            self._wait(build, upto)
            return 0.0

    def _write(self, build: Build, events: Sequence[ViewEvent], began: float) -> float:
        generation, last = build.generation, events[-1].position
        wanted = [one for one in events if one.position not in generation.skipped] if generation.skipped else events
        try:
            changes = fold(build.view, wanted, build.known, partial(self.store.load, generation))
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
        """Write what can be written before the command at fault, and stop there."""
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
        if build.generation.is_open:  # it was elsewhere already, and did not fail there
            raise Moved
        return 0.0

    def refresh(self, build: Build) -> None:
        """See where a generation stands now."""
        name, number = build.generation.view, build.generation.number
        found = (one for one in self.store.generations() if (one.view, one.number) == (name, number))
        build.refresh(next(found, None))

    def _wait(self, build: Build, upto: int) -> None:
        """Let another worker do it, as long as it moves."""
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
