"""The projector: follow, rebuild, roll back and repair views, for maintainers and services."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.errors import HoldbookError, LogUnavailable, Malformed, NotFound
from holdbook.projections.engine import BATCH_EVENTS, Build, Engine, no_progress
from holdbook.projections.generations import GenerationState, live_generations
from holdbook.projections.rebuild import Rebuild
from holdbook.projections.views.catalogue import VIEWS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from threading import Event

    from holdbook.domain.ports import Clock
    from holdbook.projections.definition import View
    from holdbook.projections.engine import Progress
    from holdbook.projections.generations import Generation, Source, Store
    from holdbook.projections.rebuild import Checker, Rebuilt, Tell

WATCH_SECONDS: Final = 1.0
"""How many seconds a follower waits for commits before it looks whether it should stop."""

_WAIT_SECONDS: Final = 0.002
_WAIT_SECONDS_MAX: Final = 0.05
"""How many seconds `Projector.wait_for` sleeps between two looks, at first and in the end."""

RETRY_SECONDS: Final = 1.0
"""How many seconds a follower waits before it tries again to use a database that it could not use."""


class ViewStopped(HoldbookError):
    """A view's handler failed on an event; the view stays at the position before it."""

    def __init__(self, generation: Generation) -> None:
        self.view = generation.view
        self.position = generation.stopped_at
        """The position of the event."""
        self.event_type = generation.stopped_type
        super().__init__(
            f"the view {generation.view} stopped at position {generation.stopped_at}, on {generation.stopped_type}: "
            f"{generation.error}; mend it and run `holdbook projections retry {generation.view}`, or leave the "
            f"event out with `holdbook projections skip {generation.view} {generation.stopped_at} --reason …`"
        )


class ViewBehind(HoldbookError):
    """A view did not reach a position in the time given."""

    def __init__(self, status: ViewStatus, wanted: int, seconds: float) -> None:
        self.view = status.name
        self.position = status.position
        """The position that the view has reached."""
        self.wanted = wanted
        way_out = (
            f"it was built by other code and stays where it is: run `holdbook projections rebuild {status.name}`"
            if status.outdated
            else "a worker moves it: `holdbook projections follow`, or `ledger.projector().follow(…)` in a service"
        )
        super().__init__(
            f"the view {status.name} is at position {status.position}, and did not come to {wanted} in {seconds:g} s; "
            f"{way_out}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewStatus:
    """How far a view has come, and what keeps it from going on."""

    name: str
    generation: int
    """The number of the live generation; 0 if there is none."""
    version: int
    """The version of the code that built it; 0 if there is none."""
    outdated: bool
    """Whether it was built by code with another fingerprint than the present code's; only a rebuild moves it on."""
    position: int
    """The position in the log up to which the view is true."""
    behind: int
    """How many events of the log come after that position."""
    behind_seconds: float
    """How many seconds ago the first of them was recorded; 0 if there are none."""
    rate: int | None
    """How many events a second were folded when the view last moved."""
    moved_at: datetime | None
    """When the view last moved."""
    stopped_at: int | None
    """The position of the event on which a handler failed; None if none did."""
    error: str | None
    """The error on that event."""
    skipped: tuple[int, ...]
    """The positions of the events that the live generation was told to leave out."""
    building: int | None
    """The number of the generation that is being built beside it; None if there is none."""
    building_position: int | None
    building_error: str | None
    kept: tuple[int, ...]
    """The numbers of the generations that can be put back or pruned."""


class Projector:
    """Keeps the views of one database in step with its log."""

    def __init__(  # noqa: PLR0913 - all by name but three
        self,
        source: Source,
        store: Store,
        check: Checker,
        *,
        clock: Clock,
        views: Sequence[View] = VIEWS,
        batch_events: int = BATCH_EVENTS,
        tell: Tell = str,
    ) -> None:
        self._source = source
        self._store = store
        self._check = check
        self._clock = clock
        self._tell = tell
        self._announced: set[tuple[str, int]] = set()
        self._engine = Engine(source, store, batch_events=batch_events, on_wait=self._announce_waiting)
        self._builds: dict[str, Build] = {}
        self.views: Mapping[str, View] = {view.name: view for view in views}

    def _announce_waiting(self, generation: Generation) -> None:
        if (generation.view, generation.number) not in self._announced:
            self._announced.add((generation.view, generation.number))
            self._tell(f"{generation.view}: another worker moves generation {generation.number}: waiting for it")

    def view(self, name: str) -> View:
        """Find a view by its published name; raises `NotFound`."""
        if name not in self.views:
            raise NotFound("view", name)
        return self.views[name]

    def _views_named(self, names: Sequence[str]) -> list[View]:
        """Find the views of these names, or every view if no name is given; raises `NotFound`."""
        return [self.view(name) for name in names] or list(self.views.values())

    # Looking

    def status(self) -> list[ViewStatus]:
        """Tell how far each view has come. Raises `LogUnavailable`."""
        found, head = self._store.generations(), self._source.head()
        return [
            self._status(view, [one for one in found if one.view == view.name], head) for view in self.views.values()
        ]

    def _status(self, view: View, found: Sequence[Generation], head: int) -> ViewStatus:
        live = live_generations(found).get(view.name)
        building = next((one for one in found if one.state is GenerationState.BUILDING), None)
        position = live.position if live else 0
        missed = self._source.recorded_at(position + 1) if position < head else None
        return ViewStatus(
            name=view.name,
            generation=live.number if live else 0,
            version=live.version if live else 0,
            outdated=live is not None and live.fingerprint != view.fingerprint,
            position=position,
            behind=max(head - position, 0),
            behind_seconds=max((self._clock() - missed).total_seconds(), 0.0) if missed else 0.0,
            rate=live.rate if live else None,
            moved_at=live.moved_at if live else None,
            stopped_at=live.stopped_at if live else None,
            error=live.error if live else None,
            skipped=tuple(sorted(live.skipped)) if live else (),
            building=building.number if building else None,
            building_position=building.position if building else None,
            building_error=building.error if building else None,
            kept=tuple(one.number for one in found if one.state is GenerationState.KEPT),
        )

    def wait_for(self, name: str, position: int, timeout: float) -> ViewStatus:
        """Wait until a view has seen the event at a position, for at most ``timeout`` seconds; any process may move it.

        Raises `ViewBehind` when the time is over, `ViewStopped` if the view fails on an event before that position, and
        `NotFound` for a name that is not a view's.
        """
        view = self.view(name)
        until, pause = monotonic() + timeout, _WAIT_SECONDS
        while True:
            live = live_generations(self._store.generations()).get(view.name)
            if live is not None and live.position >= position:
                break
            if live is not None and live.stopped_at is not None:
                raise ViewStopped(live)
            if monotonic() >= until:
                raise ViewBehind(self._status_of(name), position, timeout)
            sleep(max(min(pause, until - monotonic()), 0.0))
            pause = min(2 * pause, _WAIT_SECONDS_MAX)
        return self._status_of(name)

    def _status_of(self, name: str) -> ViewStatus:
        return next(one for one in self.status() if one.name == name)

    # Following

    def catch_up(self, progress: Progress = no_progress) -> None:
        """Move every view to the log's present end; ``progress`` is called with events done and events in all.

        A view that failed on an event stays where it is, and so does one whose live generation was built by other code;
        `status` tells which. Raises `LogUnavailable`.
        """
        self._engine.move(self._live_builds(), self._source.head(), progress)

    def _live_builds(self) -> list[Build]:
        """Give the live generations that this code can move; the rows that handlers have found stay in memory."""
        for name, live in live_generations(self._store.generations()).items():
            view = self.views.get(name)
            if view is None:
                continue
            build = self._builds.get(view.name)
            if live.fingerprint != view.fingerprint:
                self._builds.pop(view.name, None)
            elif build is None or build.generation.number != live.number:
                self._builds[view.name] = Build.of(view, live)
            else:
                build.refresh(live)
        return list(self._builds.values())

    def follow(self, stop: Event, heed: Callable[[HoldbookError], object] = str) -> None:
        """Keep every view up to date until ``stop`` is set; commits of this and of other processes wake it.

        It returns within about `WATCH_SECONDS` after ``stop`` is set. While the database cannot be used, it tries
        again; ``heed`` is called with that error, and once with `ViewStopped` for each event on which a view fails.
        """
        stopped: set[tuple[str, int | None]] = set()
        while not stop.is_set():
            try:
                with self._source.watching() as news:
                    while not stop.is_set():
                        self.catch_up()
                        for generation in (one.generation for one in self._builds.values()):
                            if generation.stopped_at and (generation.view, generation.stopped_at) not in stopped:
                                stopped.add((generation.view, generation.stopped_at))
                                heed(ViewStopped(generation))
                        news(WATCH_SECONDS)
            except LogUnavailable as error:
                heed(error)
                stop.wait(RETRY_SECONDS)

    # Rebuilding

    def rebuild(self, *names: str, accept_differences: bool = False, progress: Progress = no_progress) -> list[Rebuilt]:
        """Build the next generation of views, every view if no name is given, beside the live ones, and publish it.

        Each new generation is compared, row by row, with the live one in the columns that both have, and with an
        independent fold of the log. If rows differ, it is not published, and the result says which rows. With
        ``accept_differences``, it may differ from the live one, as it must if that was wrong. An interrupted rebuild
        goes on where it stopped. Readers and writers go on meanwhile. Raises `NotFound` for a name that is not a
        view's.
        """
        rebuild = Rebuild(self._engine, self._check, accept_differences=accept_differences, tell=self._tell)
        return rebuild.run(self._views_named(names), progress)

    def roll_back(self, name: str) -> Generation:
        """Put back the generation that was live before, in one transaction; raises `NotFound` if none is kept."""
        return self._store.put_back(self.view(name).name)

    def prune(self, *names: str) -> dict[str, list[int]]:
        """Remove the kept and discarded generations of views, of all if none is named; gives their numbers by view."""
        return {view.name: self._store.prune(view.name) for view in self._views_named(names)}

    # Events on which a view failed

    def retry(self, name: str) -> ViewStatus:
        """Let a view try again the event on which it failed, and bring it up to date.

        Raises `ViewStopped` if it fails again, and `NotFound` for a name that is not a view's.
        """
        for generation in self._stopped(name):
            self._store.resume(generation)
        return self._go_on(name)

    def skip(self, name: str, position: int, *, reason: str, actor: str) -> ViewStatus:
        """Let a view leave out the event on which it failed, bring it up to date, and record who decided so and why.

        Raises `NotFound` if it did not fail at this position, `Malformed` for a blank reason, and `ViewStopped` if it
        fails on a later event.
        """
        stopped = [one for one in self._stopped(name) if one.stopped_at == position]
        if not stopped:
            raise NotFound(f"view stopped at position {position}, named", name)
        if not reason.strip():
            raise Malformed("reason", reason, "expected why the event is left out")
        for generation in stopped:
            self._store.skip(generation, reason=reason, actor=actor)
        return self._go_on(name)

    def skips(self) -> list[dict[str, Any]]:
        """List the events that generations left out, why, by whose decision and when; no entry is ever removed."""
        return self._store.skips()

    def _stopped(self, name: str) -> list[Generation]:
        view = self.view(name)
        return [one for one in self._store.generations() if one.view == view.name and one.stopped_at is not None]

    def _go_on(self, name: str) -> ViewStatus:
        self.catch_up()
        build = self._builds.get(name)
        if build is not None and build.generation.stopped_at is not None:
            raise ViewStopped(build.generation)
        return self._status_of(name)
