"""Real processes for the tests: started with ``spawn``, talked to over pipes, killed without mercy.

What runs in a process is a function of this module: a test's own module cannot be imported there.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import traceback
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdbook import Allocate, Expire, Ledger, Limits, Refused, Release, UnifiedResourceManager
from holdbook.domain.commands import command_from
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.interchange.adoption import adopt
from holdbook.infrastructure.interchange.old_form import read_old_form
from holdbook.infrastructure.log.sql_log import SQLWriter
from holdbook.infrastructure.seals import sealer as sealing
from support.providers import Scripted, hang

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from multiprocessing.synchronize import Barrier

    from holdbook import Command, Outcome
    from holdbook.domain.records import LogPosition, Recorded

_context = multiprocessing.get_context("spawn")

ANSWER_SECONDS_MAX = 120.0
"""How long a test waits for a process before it fails."""

CLIENT_POOLS = ("cpu", "gpu", "ram")
"""The pools of `client_command`."""

_FAILED = "failed in its process:\n"


class Peer:
    """One process, from the test's side."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self._process = process
        self._connection = connection

    def send(self, value: object) -> None:
        """Give the process something to work on."""
        self._connection.send(value)

    def receive(self) -> Any:  # noqa: ANN401 - whatever the process sends
        """Wait for what the process sends next; its own failure fails the test."""
        assert self._connection.poll(ANSWER_SECONDS_MAX), "the process does not answer"
        answer = self._connection.recv()
        assert not (isinstance(answer, str) and answer.startswith(_FAILED)), answer
        return answer

    def ask(self, value: object) -> Any:  # noqa: ANN401 - whatever the process sends
        """Send and receive."""
        self.send(value)
        return self.receive()

    def has_sent(self, seconds: float = 0) -> bool:
        """Wait so long at most for the process to send something."""
        return self._connection.poll(seconds)

    def kill(self) -> list[Any]:
        """Kill the process as ``kill -9`` does; give what it had sent and nobody had received."""
        self._process.kill()
        self._process.join()
        rest = []
        with contextlib.suppress(EOFError, OSError):
            while self._connection.poll():
                rest.append(self._connection.recv())
        return rest


@contextlib.contextmanager
def running(function: Callable[..., None], arguments: Sequence[tuple[object, ...]]) -> Iterator[list[Peer]]:
    """Run a function of this module in processes, one for each tuple of arguments; they end with the block."""
    pipes = [_context.Pipe() for _ in arguments]
    processes = [
        _context.Process(target=_run, args=(function, theirs, *some), daemon=True)
        for (_, theirs), some in zip(pipes, arguments, strict=True)
    ]
    for process in processes:
        process.start()
    for _, theirs in pipes:
        theirs.close()
    try:
        yield [Peer(process, ours) for process, (ours, _) in zip(processes, pipes, strict=True)]
    finally:
        for (ours, _), process in zip(pipes, processes, strict=True):
            ours.close()  # a process that waits for us ends by itself
            process.join(ANSWER_SECONDS_MAX)
            process.kill()
            process.join()
            process.close()


def barrier(parties: int) -> Barrier:
    """Make a barrier that processes can wait at together."""
    return _context.Barrier(parties, timeout=ANSWER_SECONDS_MAX)


def forked(function: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the function returns
    """Run a function in a forked child, with all that this process has open, and give what it returns."""
    ours, theirs = _context.Pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # newer Pythons warn of forks beside threads: it is the point
        child = os.fork()
    if not child:
        try:
            theirs.send(function())
        except BaseException:  # noqa: BLE001 - sent to the test, which fails with it
            theirs.send(_FAILED + traceback.format_exc())
        finally:
            os._exit(0)  # nothing of the parent's is cleaned up here
    try:
        theirs.close()
        assert ours.poll(ANSWER_SECONDS_MAX), "the child does not answer"
        answer = ours.recv()
        assert not (isinstance(answer, str) and answer.startswith(_FAILED)), answer
        return answer
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        ours.close()


def _run(function: Callable[..., None], connection: Connection, *arguments: object) -> None:
    try:
        function(connection, *arguments)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the test has ended
    except BaseException:  # noqa: BLE001 - sent to the test, which fails with it
        connection.send(_FAILED + traceback.format_exc())


def serve(connection: Connection, url: str) -> None:
    """Execute commands given as the fields of a workload; answer what became of each."""
    with Ledger.open(url, create=False) as ledger:
        connection.send("ready")
        while True:
            connection.send(_answer(ledger, connection.recv()))


def _answer(ledger: Ledger, fields: dict[str, Any]) -> dict[str, Any]:
    outcome = ledger.submit(command_from(fields)).result()
    return {
        "position": outcome.position,
        "repeated": outcome.repeated,
        "code": outcome.refusal and outcome.refusal.code.value,
        "free": outcome.refusal and outcome.refusal.data.get("free"),
        "allocation_id": outcome.allocation and outcome.allocation.id,
    }


def open_together(connection: Connection, start: Barrier, url: str) -> None:
    """Open a database at the same moment as others; answer whose ledger it is."""
    start.wait()
    with Ledger.open(url) as ledger:
        connection.send(ledger.log.ledger_id)


def race(connection: Connection, start: Barrier, url: str, pools: Sequence[str]) -> None:
    """Take single units of each pool in turn until there is none; answer how many were had of each."""
    with Ledger.open(url, create=False) as ledger:
        taken = []
        for pool in pools:
            start.wait()
            taken.append(_take_all(ledger, pool))
        connection.send(taken)


def _take_all(ledger: Ledger, pool: str) -> int:
    taken = 0
    with contextlib.suppress(Refused):
        while True:
            ledger.allocate({pool: 1}, owner="racer")
            taken += 1
    return taken


def write_for_ever(connection: Connection, url: str, name: str, pools: Sequence[str], threads: int) -> None:
    """Allocate from all the pools at once, from several threads; send each command id that was acknowledged."""
    lock = threading.Lock()

    def write(ledger: Ledger, thread: int) -> None:
        number = 0
        while True:
            command_id = f"{name}-{thread}-{number}"
            ledger.execute(Allocate(quantities=dict.fromkeys(pools, 1), owner=name, command_id=command_id))
            with lock:
                connection.send(command_id)
            number += 1

    ledger = Ledger.open(url, create=False)
    for thread in range(threads):
        threading.Thread(target=write, args=(ledger, thread), daemon=True).start()
    connection.recv()  # never comes: the process is killed


def client_command(client: str, number: int) -> Command:
    """Make a client's n-th command up: grants of all pools and of one, refusals, releases; always the same ones."""
    command_id = f"{client}-{number}"
    match number % 4:
        case 0:
            return Allocate(quantities=dict.fromkeys(CLIENT_POOLS, 1), owner=client, command_id=command_id)
        case 1:
            return Allocate(quantities={"gpu": 10**12}, owner=client, command_id=command_id)
        case 2:
            held = f"held-{client}-{number}"
            return Allocate(quantities={"cpu": 1}, owner=client, allocation_id=held, command_id=command_id)
        case _:
            return Release(allocation_id=f"held-{client}-{number - 1}", command_id=command_id)


def clients_for_ever(connection: Connection, url: str, names: Sequence[str], tasks: Sequence[str]) -> None:
    """Send each client's commands, one by one, from threads and from tasks of asyncio; tell what came of each."""
    lock = threading.Lock()
    ledger = Ledger.open(url, create=False)

    def tell(outcome: Outcome) -> None:
        with lock:
            connection.send((outcome.command_id, outcome.position, outcome.refusal is None))

    def in_thread(client: str) -> None:
        for number in itertools.count():
            tell(ledger.submit(client_command(client, number)).result())

    async def in_task(client: str) -> None:
        for number in itertools.count():
            tell(await asyncio.wrap_future(ledger.submit(client_command(client, number))))

    async def in_tasks() -> None:
        await asyncio.gather(*map(in_task, tasks))

    for name in names:
        threading.Thread(target=in_thread, args=(name,), daemon=True).start()
    threading.Thread(target=asyncio.run, args=(in_tasks(),), daemon=True).start()
    connection.recv()  # never comes: the process is killed


def obey(connection: Connection, start: Barrier, url: str) -> None:
    """Carry out orders, each at the same moment as other processes do theirs, and answer what came of them."""
    with Ledger.open(url, create=False) as ledger:
        while True:
            order: Callable[[Ledger], object] = connection.recv()
            start.wait()
            connection.send(order(ledger))


def catch_up_together(connection: Connection, start: Barrier, url: str) -> None:
    """Bring the views up to date at the same moment as others."""
    with Ledger.open(url, create=False) as ledger:
        projector = ledger.projector()
        start.wait()
        projector.catch_up()
        connection.send("done")


def acquire_forever(connection: Connection, url: str) -> None:
    """Have a manager allocate the only slot from a provider that says so and never ends."""

    async def acquire() -> None:
        connection.send("acquiring")
        await hang()

    with Ledger.open(url, create=False) as ledger:
        manager, provider = UnifiedResourceManager(ledger), Scripted(Limits(total=1))
        provider.steps["allocate"] = acquire
        manager.register_provider("slot", provider)
        asyncio.run(manager.allocate("slot"))


def wait_in_line(connection: Connection, url: str, names: Sequence[str]) -> None:
    """Wait for a unit under each name at once, and give each back as soon as it is had; answer what each outcome was.

    Says first when all of them wait.
    """

    async def take(ledger: Ledger, name: str) -> tuple[str, bool, int | None]:
        command = Allocate(
            quantities={"gpu": 1}, owner="ann", allocation_id=name, command_id=name, wait=timedelta(minutes=5)
        )
        outcome = await ledger.submit(command)
        if outcome.refusal is None:
            await ledger.submit(Release(allocation_id=name))
        return name, outcome.refusal is None, outcome.position

    async def take_all(ledger: Ledger) -> list[tuple[str, bool, int | None]]:
        tasks = [asyncio.create_task(take(ledger, name)) for name in names]
        await asyncio.sleep(0)  # each has sent its command
        await ledger.submit(Expire())
        connection.send("all wait")
        return list(await asyncio.gather(*tasks))

    with Ledger.open(url, create=False) as ledger:
        connection.send(asyncio.run(take_all(ledger)))


def keep_for_ever(connection: Connection, url: str, allocation_id: str, seconds: float) -> None:
    """Hold the only slot for so many seconds and keep it alive; the process says that it has it."""
    with Ledger.open(url, create=False) as ledger:
        ttl = timedelta(seconds=seconds)
        held = ledger.allocate({"slot": 1}, owner="holder", ttl=ttl, allocation_id=allocation_id)
        with held.keep_alive():
            connection.send("held")
            connection.recv()  # never comes: the process is killed


def allocate_ahead(connection: Connection, url: str, ahead: timedelta) -> None:
    """Take the only slot in a process whose clock is so far ahead; answer the grant's token."""
    with Ledger.open(url, create=False, clock=lambda: system_clock() + ahead) as ledger:
        held = ledger.allocate({"slot": 1}, owner="hurried", allocation_id="early", ttl=timedelta(minutes=10))
        connection.send(held.token)
        connection.recv()  # its end: the test has seen what it wanted


def build_tree(connection: Connection, url: str, rows: int) -> None:
    """Build the tree over a log in portions, and wait after each to be told to go on; answer how far it is."""
    sealing.BATCH_ROWS = rows  # type: ignore[misc]  # a process of its own

    def stop(done: int, total: int) -> None:
        connection.send((done, total))
        connection.recv()

    with Ledger.open(url, create=False) as ledger:
        sealing.Sealer(ledger).build(stop)


def adopt_halfway(connection: Connection, url: str, file: str) -> None:
    """Adopt a file up to where every row is sent and none is committed; tell how many, and go no further."""
    append = SQLWriter.append

    def halt(writer: SQLWriter, records: Sequence[Recorded]) -> LogPosition:
        place = append(writer, records)
        connection.send(len(records))
        connection.recv()  # never comes: the process is killed
        return place

    SQLWriter.append = halt  # type: ignore[method-assign, assignment]  # a process of its own
    with Ledger.open(url, create=False) as ledger, Path(file).open("rb") as source:
        adopt(ledger, read_old_form(source, file), datetime.now(UTC))
