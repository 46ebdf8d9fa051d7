"""Rebuilding: build the next generation beside the live one, compare it, and only then publish it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from holdbook.projections.engine import Build, no_progress
from holdbook.projections.generations import GenerationState, Moved, live_generations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from holdbook.projections.definition import View
    from holdbook.projections.engine import Engine, Progress
    from holdbook.projections.generations import Generation, GenerationComparison

    Tell = Callable[[str], object]


class Checker(Protocol):
    """Compares generations with an independent fold of the log."""

    def __call__(self, found: Sequence[tuple[View, Generation]], progress: Progress) -> Mapping[str, Sequence[str]]:
        """Read the log from its first event; gives, by view, the first rows that differ, described in words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """The result of the rebuild of one view."""

    name: str
    generation: int
    position: int
    """The position in the log up to which the new generation is true."""
    resumed_from: int
    """The position from which an interrupted rebuild went on; 0 if this one began it."""
    published: bool
    """Whether the new generation is live now."""
    compared_at: int | None
    """The position at which it was compared with the live generation; None if it was not."""
    compared_rows: int
    """How many rows the new generation had at that position; 0 if this run did not compare them."""
    differences: tuple[str, ...]
    """The first rows that differ from the live generation's, described in words."""
    faults: tuple[str, ...]
    """The first rows that differ from those of an independent fold of the log, described in words."""
    stopped_at: int | None
    """The position of the event on which a handler failed; None if none did."""
    error: str | None


class Rebuild:
    """Rebuilds several views at once with one reading of the log."""

    def __init__(self, engine: Engine, check: Checker, *, accept_differences: bool, tell: Tell) -> None:
        self._engine = engine
        self._check = check
        self._accept_differences = accept_differences
        self._tell = tell

    def run(self, views: Sequence[View], progress: Progress = no_progress) -> list[Rebuilt]:
        """Rebuild views, or go on with interrupted rebuilds, and publish each view that passes every comparison."""
        rebuilds = [_ViewRebuild(self._engine, view, self._tell) for view in views]
        self._build(rebuilds, progress)
        for one in _unfinished(rebuilds):
            one.compare(accept_differences=self._accept_differences)
        self._build(rebuilds, progress)
        going = _unfinished(rebuilds)
        if going:
            self._tell("comparing with a fold of the whole log")
            faults = self._check([(one.view, one.build.generation) for one in going], progress)
            for one in going:
                one.note_faults(faults[one.view.name])
        for one in _unfinished(rebuilds):
            one.publish()
        return [one.result() for one in rebuilds]

    def _build(self, rebuilds: Sequence[_ViewRebuild], progress: Progress) -> None:
        self._engine.move(
            [build for one in _unfinished(rebuilds) for build in one.builds], self._engine.source.head(), progress
        )
        for one in _unfinished(rebuilds):
            self._engine.store.finish(one.view, one.build.generation)


class _ViewRebuild:
    """The rebuild of one view: its new generation, and the live one that it is compared with."""

    def __init__(self, engine: Engine, view: View, tell: Tell) -> None:
        self._engine = engine
        self._store = engine.store
        self._tell = tell
        self.view = view
        live = live_generations(self._store.generations()).get(view.name)
        self._live = None if live is None else Build.of(view, live)
        self._live_stands_still = live is not None and (
            live.fingerprint != view.fingerprint or live.stopped_at is not None
        )
        """Whether nothing moves the live generation any more, so that the new one is compared at its position."""
        self.build = self._begin()
        self._resumed_from = self.build.position
        self._compared: GenerationComparison | None = None
        self._faults: tuple[str, ...] = ()
        if self._live is not None and self._live_stands_still and self.build.generation.compared_at is None:
            self.build.limit = self._live.position

    def _begin(self) -> Build:
        generation = self._store.begin(self.view)
        if self._passed_live_uncompared(generation):
            self._tell(f"{self.view.name}: generation {generation.number} went past the live one uncompared: once more")
            self._store.discard(generation)
            generation = self._store.begin(self.view)
        self._store.resume(generation)
        build = Build.of(self.view, generation)
        self._engine.refresh(build)
        begun = f"going on from position {build.position:,}" if build.position else "beginning"
        self._tell(f"{self.view.name}: {begun} with generation {generation.number}")
        return build

    def _passed_live_uncompared(self, generation: Generation) -> bool:
        """Tell whether a generation, not compared yet, is already beyond a live one that stands still."""
        if self._live is None or not self._live_stands_still or generation.compared_at is not None:
            return False
        return generation.position > self._live.position

    @property
    def builds(self) -> list[Build]:
        """The generations to move: the new one, and the live one if it still moves, so that the two can be compared."""
        return [self.build] if self._live is None or self._live_stands_still else [self.build, self._live]

    @property
    def is_unfinished(self) -> bool:
        """Tell whether the new generation is still being built: it has not failed, been published or been discarded."""
        return self.build.generation.is_open and self.build.generation.state is GenerationState.BUILDING

    def compare(self, *, accept_differences: bool) -> None:
        """Compare the new generation with the live one; discard it if they differ and differences are not accepted."""
        if self._live is None or self.build.generation.compared_at is not None:
            self.build.limit = None
            return
        self._tell(f"{self.view.name}: comparing with generation {self._live.generation.number}")
        while self.is_unfinished and self._compared is None:
            for one in self.builds:
                self._engine.refresh(one)
            self._engine.move(self.builds, max(one.position for one in self.builds))
            self._compared = self._store.compare(self.view, self._live.generation, self.build.generation)
        if self._compared is None:
            return
        if self._compared.differences and not accept_differences:
            self._give_up()
            return
        self._store.note_compared(self.build.generation, self._compared.position)
        self.build.limit = None

    def note_faults(self, faults: Sequence[str]) -> None:
        """Note what the comparison with a fold of the log found; discard the generation if anything differs."""
        self._faults = tuple(faults)
        if faults:
            self._give_up()

    def _give_up(self) -> None:
        self._store.discard(self.build.generation)
        self._engine.refresh(self.build)

    def publish(self) -> None:
        """Publish the generation as soon as the live one is no longer ahead of it."""
        try:
            while self.is_unfinished and not self._store.publish(self.view, self.build.generation):
                self._engine.move([self.build], self._engine.source.head())
        except Moved:  # another worker has published or discarded it
            pass
        self._engine.refresh(self.build)

    def result(self) -> Rebuilt:
        """Say what became of the rebuild."""
        generation, compared = self.build.generation, self._compared
        return Rebuilt(
            name=self.view.name,
            generation=generation.number,
            position=generation.position,
            resumed_from=self._resumed_from,
            published=generation.is_live,
            compared_at=generation.compared_at if compared is None else compared.position,
            compared_rows=0 if compared is None else compared.rows,
            differences=() if compared is None else compared.differences,
            faults=self._faults,
            stopped_at=generation.stopped_at,
            error=generation.error,
        )


def _unfinished(rebuilds: Sequence[_ViewRebuild]) -> list[_ViewRebuild]:
    return [one for one in rebuilds if one.is_unfinished]
