"""Workers on views, in processes of their own: each can stand still at a given moment, to be killed there.

Run them with `support.processes.running`; what they send is read with `until`.
"""

from __future__ import annotations

from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import event

from holdbook import Allocate, Ledger, Release
from support.logs import raw_connection
from support.projecting import keeper, log_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from sqlalchemy import Engine

    from support.processes import Peer


class Moment(StrEnum):
    """What a worker is doing."""

    POSITION_SET = "the position is set, its rows are not written"
    ROWS_WRITTEN = "rows and position are written, and not committed"
    BATCH_DONE = "a batch is committed"
    COMPARING = "a generation is about to be compared with the fold"
    SWITCHING = "the published name is switched, and that is not committed"


class Halt(NamedTuple):
    """Where a worker stands still, once, until it is told to go on."""

    moment: Moment
    share: float = 0.0
    """Not before so much of the log is done."""


class _Halting:
    """Watches what a worker does, and stands still in the middle of it."""

    def __init__(self, connection: Connection, halt: Halt | None) -> None:
        self._connection = connection
        self._halt = halt
        self._share = 0.0
        self._doing: Moment | None = None

    def watch(self, engine: Engine) -> None:
        event.listen(engine, "after_cursor_execute", self._executed)
        event.listen(engine, "commit", self._committing)

    def progress(self, done: int, total: int) -> None:
        if done / total >= self._share + 0.01:
            self._connection.send(("at", done))
        self._share = done / total
        self._meet(Moment.BATCH_DONE)

    def say(self, text: str) -> None:
        self._connection.send(("said", text))
        if text.startswith("comparing with a fold"):
            self._meet(Moment.COMPARING)

    def _executed(self, *context: Any) -> None:  # noqa: ANN401 - as SQLAlchemy tells it
        statement, parameters = context[2:4]
        if statement.startswith("UPDATE generations SET position"):
            self._doing = Moment.ROWS_WRITTEN
            self._meet(Moment.POSITION_SET)
        elif statement.startswith("UPDATE generations SET state") and "live" in str(parameters):
            self._doing = Moment.SWITCHING

    def _committing(self, _connection: object) -> None:
        doing, self._doing = self._doing, None
        if doing is not None:
            self._meet(doing)

    def _meet(self, moment: Moment) -> None:
        if self._halt is not None and moment is self._halt.moment and self._share >= self._halt.share:
            self._halt = None
            self._connection.send(("halted", moment))
            self._connection.recv()


def keep_views(
    connection: Connection, url: str, names: Sequence[str] | None, batch_events: int, halt: Halt | None = None
) -> None:
    """Rebuild views, all of them if none is named; without names, catch up. Sends what it says, and what came of it."""
    halting = _Halting(connection, halt)
    with Ledger.open(url, create=False) as ledger:
        halting.watch(log_of(ledger).database.engine)
        projector = keeper(ledger, batch_events=batch_events, tell=halting.say)
        if names is None:
            projector.catch_up(halting.progress)
            connection.send(("done", projector.status()))
        else:
            connection.send(("done", projector.rebuild(*names, progress=halting.progress)))


def until(peer: Peer, wanted: str) -> tuple[list[str], Any]:
    """Wait until a worker is ``halted`` or ``done``; give what it said before that, and what it sent."""
    said = []
    while True:
        kind, value = peer.receive()
        if kind == "said":
            said.append(value)
        elif kind != "at":
            assert kind == wanted, (kind, value, said)
            return said, value


class Lap(NamedTuple):
    """What a writer did since it was asked last."""

    commands: int
    """Commands that were acknowledged."""
    seconds: list[float]
    """How long each took, in order of length."""

    def percentile(self, share: float) -> float:
        """Tell within how many milliseconds so many of its commands were acknowledged."""
        return 1000 * self.seconds[min(int(share * len(self.seconds)), len(self.seconds) - 1)]


def write_steadily(connection: Connection, url: str, pool: str, per_second: float) -> None:
    """Take a unit and give it back, so often a second; asked for a lap, answer it, and stop after ``stop``."""
    seconds: list[float] = []
    order, number, begun = "", 0, monotonic()
    with Ledger.open(url, create=False, actor="writer") as ledger:
        while order != "stop":
            held, command_id = f"written-{number // 2}", f"writer-{number}"
            command = (Release if number % 2 else Allocate)(
                allocation_id=held,
                command_id=command_id,
                **({} if number % 2 else {"quantities": {pool: 1}, "owner": "writer"}),
            )
            before = monotonic()
            ledger.submit(command).result()
            seconds.append(monotonic() - before)
            number += 1
            if connection.poll(max(begun + number / per_second - monotonic(), 0)):
                order = connection.recv()
                connection.send(Lap(len(seconds), sorted(seconds)))
                seconds.clear()


_READS = {
    "current_allocations": "SELECT 0 * count(*) FROM current_allocations",
    "pool_usage": "SELECT count(*) FROM pool_usage",
    "allocation_history": "SELECT max(position) FROM allocation_history",
    "validation_failures": "SELECT coalesce(max(position), 0) FROM validation_failures",
    "metrics": "SELECT sum(count) FROM metrics",
}
"""What is read of each view: a number that never goes down, but for what is held, which does."""


def poll_views(connection: Connection, url: str) -> None:
    """Read every published name with plain SQL until told to stop; answer how often, and what was wrong."""
    wrong: list[str] = []
    seen = dict.fromkeys(_READS, 0)
    rounds = 0
    with raw_connection(url) as reader:
        while not connection.poll(0.002):
            rounds += 1
            for name, statement in _READS.items():
                try:
                    (value,) = reader.execute(statement).fetchone() or (None,)
                except Exception as error:  # noqa: BLE001 - what a reader meets is the test's to judge
                    wrong.append(f"{name}: {error}")
                    continue
                if value is None or int(value) < seen[name]:
                    wrong.append(f"{name} went from {seen[name]} to {value}")
                seen[name] = int(value or 0)
    connection.recv()
    connection.send((rounds, wrong))
