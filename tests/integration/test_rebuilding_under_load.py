"""All views rebuilt while one process writes, another reads and a third follows; killed with kill -9 three times.

A short log is made up for it. With ``HOLDBOOK_REBUILD_WORKLOAD``, which ``make soak REBUILD_WORKLOAD=file`` sets, that
workload is imported instead, and the figures that are printed say something.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from holdbook import Ledger, Limits
from holdbook.infrastructure.interchange.workload import read_lines, run_workload
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from support.logs import query
from support.processes import running
from support.projecting import NAMES, check_right, head_of, run_made_up, store_of
from support.workers import Halt, Moment, keep_views, poll_views, until, write_steadily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdbook.projections.rebuild import Rebuilt
    from support.processes import Peer
    from support.workers import Lap

WORKLOAD = os.environ.get("HOLDBOOK_REBUILD_WORKLOAD")
COMMANDS = 2000
"""How long the log is that is made up."""

BATCH_EVENTS = 10_000 if WORKLOAD else 200
LAP_COMMANDS = 3000 if WORKLOAD else 60
"""How much is written before the rebuild, to compare with."""

PER_SECOND = 200
"""How much the writer writes."""

HALTS = (Halt(Moment.ROWS_WRITTEN, 0.2), Halt(Moment.BATCH_DONE, 0.6), Halt(Moment.COMPARING))
"""Where the rebuild is killed: in the middle of a transaction, between two, and with all but the comparison done."""

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.untraced]


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger with a long log, its views up to date, and a pool for those who write."""
    with Ledger.open(database_url) as ledger:
        if WORKLOAD:
            with Path(WORKLOAD).open("rb") as file:
                run_workload(ledger, read_lines(file, WORKLOAD), WORKLOAD)
        else:
            run_made_up(ledger, COMMANDS)
        ledger.open_pool("written", resource_type="thing", limits=Limits(total=10))
        ledger.projector().catch_up()
        yield ledger


@contextmanager
def following(ledger: Ledger) -> Iterator[None]:
    """Follow the log in a thread; what it could not do fails the test."""
    stop, told = Event(), list[object]()
    thread = Thread(target=ledger.projector().follow, args=(stop, told.append))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert told == []


class Found(NamedTuple):
    """What a rebuild with its kills came to."""

    built: list[Rebuilt]
    resumed: list[int]
    """Position from which each attempt but the first went on, of the view that was least far."""
    seconds: float


def rebuild_with_kills(ledger: Ledger, url: str) -> Found:
    """Rebuild every view, killed at each of the moments; each attempt says that it goes on where the last one was."""
    begun, resumed = monotonic(), []
    for halt in (*HALTS, None):
        stands = {one.view: one.position for one in store_of(ledger).generations() if one.number == 2}
        with running(keep_views, [(url, (), BATCH_EVENTS, halt)]) as [peer]:
            said, value = until(peer, "halted" if halt else "done")
            if halt:
                peer.kill()
        for name, words in zip(NAMES, said, strict=False):
            position = stands.get(name, 0)
            going = f"going on from position {position:,}" if position else "beginning"
            assert words == f"{name}: {going} with generation 2"
        if stands:
            resumed.append(min(stands.values()))
    return Found(value, resumed, monotonic() - begun)


def test_all_views(ledger: Ledger, database_url: str) -> None:
    """No read fails or goes back, no command is lost, each attempt goes on, and at the end the views are the fold."""
    at_first = head_of(ledger)
    with (
        running(poll_views, [(database_url,)]) as [reader],
        running(write_steadily, [(database_url, "written", PER_SECOND)]) as [writer],
        following(ledger),
    ):
        alone = lap(writer, lambda: written(database_url) >= LAP_COMMANDS)
        found = rebuild_with_kills(ledger, database_url)
        beside = writer.ask("stop")
        rounds, wrong = reader.ask("stop")
    assert wrong == []
    assert rounds > 0
    assert written(database_url) == alone.commands + beside.commands
    assert [(one.generation, one.published, one.differences, one.faults) for one in found.built] == [
        (2, True, (), ())
    ] * len(NAMES)
    assert min(one.position for one in found.built) >= at_first
    assert found.resumed == sorted(found.resumed)
    assert found.resumed[0] > 0
    assert [one.resumed_from for one in found.built] >= [found.resumed[-1]] * len(NAMES)
    ledger.projector().catch_up()
    if WORKLOAD:  # the plain folds of the other one take all rows into memory
        assert verify_ledger(ledger).findings == ()
    else:
        check_right(ledger, database_url)
    report(database_url, found, alone, beside)


def lap(writer: Peer, is_enough: Callable[[], bool]) -> Lap:
    """Have a writer go on until it is enough, and ask how it went."""
    while not is_enough():
        assert not writer.has_sent(0.02), writer.receive()
    answer: Any = writer.ask("lap")
    return answer  # type: ignore[no-any-return]  # what the writer sends


def written(url: str) -> int:
    """Count the writer's commands in the log."""
    [(count,)] = query(url, "SELECT count(DISTINCT command_id) FROM events WHERE actor = 'writer'")
    return int(count)


def report(url: str, found: Found, alone: Lap, beside: Lap) -> None:
    """Print what it took; nothing fails for being slow."""
    events = found.built[0].position
    writers = (f"p50 {one.percentile(0.5):.1f} ms, p99 {one.percentile(0.99):.1f} ms" for one in (alone, beside))
    backend = url.partition(":")[0].partition("+")[0]
    print(  # noqa: T201 - the report of a soak
        f"{backend}: {events:,} events into {len(NAMES)} views in {found.seconds:.1f} s, "
        f"killed three times, {events / found.seconds:,.0f} events/s; a writer of {PER_SECOND} commands/s: "
        "without {}; with the rebuild {}; went on from {}".format(
            *writers, ", ".join(f"{one:,}" for one in found.resumed)
        )
    )
