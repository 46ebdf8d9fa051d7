"""Compare generations with an independent fold of the whole log, as a rebuild does before it publishes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdbook.infrastructure.verification.view_checks import SQLView
from holdbook.infrastructure.views.view_events import SQLViewEvents
from holdbook.projections.fold import no_collections
from holdbook.replay.verification.view_check import ViewCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from holdbook.infrastructure.log.sql_log import SQLEventLog
    from holdbook.projections.definition import Table, View, ViewEvent
    from holdbook.projections.generations import Generation

PAGE_EVENTS: Final = 5000
"""How many events are read at a time."""


class FoldCheck:
    """Compares generations with an independent fold of the log: implements the projections' port."""

    def __init__(self, log: SQLEventLog) -> None:
        self._log = log

    def __call__(
        self, found: Sequence[tuple[View, Generation]], progress: Callable[[int, int], None]
    ) -> Mapping[str, Sequence[str]]:
        """Read the log from its first event; give, by view, descriptions of the first rows that differ.

        ``progress`` is called with the number of events done and of all events.
        """
        differences: dict[str, list[str]] = {view.name: [] for view, _ in found}

        def check_of(view: View, generation: Generation) -> ViewCheck[Table]:
            lines = differences[view.name]
            return ViewCheck(
                SQLView(self._log.database, view, generation), lambda message, _harm: lines.append(message)
            )

        checks = [check_of(view, one) for view, one in found]
        source = SQLViewEvents(self._log)

        def read(after: int, upto: int) -> Iterator[tuple[Sequence[ViewEvent], int]]:
            while after < upto and (events := source.read_events(after, PAGE_EVENTS, upto)):
                after = events[-1].position
                yield events, after

        head = source.head()
        for page, position in read(0, head):
            with no_collections():
                for check in checks:
                    check.fold(page, position)
            progress(position, head)
        for check in checks:
            check.settle(read, head)
        return differences
