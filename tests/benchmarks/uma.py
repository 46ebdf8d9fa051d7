"""Baseline: UmaDB, an event store with append conditions, server and client from its wheel.

Each client appends one event on the condition that nothing was appended within its boundary since the position that it
knows. With a boundary of its own nobody is ever in its way: what the store can do at best. On one boundary, as on one
hot pool, all but one of those who ask at once lose, and try again.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from benchmarks.case import Case, NotAvailable, for_clients
from benchmarks.measure import Sample, Span, in_threads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from benchmarks.plan import Plan

SYSTEM: Final = "UmaDB"
DATABASE: Final = "its own"
OWN: Final = "a boundary for each client"
SHARED: Final = "one boundary"

_SERVE: Final = "import sys; sys.argv[0] = 'umadb'; from umadb.umadb_server_cli import main; main()"
_START_SECONDS_MAX: Final = 15.0
_TYPES: Final = ["Allocated", "Released"]


def library() -> ModuleType:
    """Import UmaDB, or say that it cannot be had here."""
    before = signal.getsignal(signal.SIGINT)
    try:
        import umadb  # noqa: PLC0415 - its wheel cannot be had everywhere, and it takes over the interrupt
    except ImportError as error:
        message = f"the wheel of UmaDB cannot be imported here: {error}"
        raise NotAvailable(message) from error
    if signal.getsignal(signal.SIGINT) is not before:
        signal.signal(signal.SIGINT, before)
    return umadb


@contextmanager
def server() -> Iterator[str]:
    """Run a server on an empty store for the time of a block, and give its address."""
    library()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with tempfile.TemporaryDirectory(prefix="holdbook-bench-uma-") as folder, (Path(folder) / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, "--listen", address, "--db-path", f"{folder}/uma.db"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_ready(process, f"http://{address}", Path(log.name))
            yield f"http://{address}"
        finally:
            process.kill()  # its data are of no more use
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    umadb, end = library(), monotonic() + _START_SECONDS_MAX
    while True:
        try:
            umadb.Client(address).head()
        except umadb.TransportError as error:
            if process.poll() is not None or monotonic() > end:
                message = f"the server of UmaDB did not start: {log.read_text()[-1000:]}"
                raise RuntimeError(message) from error
            sleep(0.02)
        else:
            return


class Client:
    """Appends one event after another within a boundary."""

    def __init__(self, address: str, boundary: str) -> None:
        self._uma: Any = library()
        self._client = self._uma.Client(address)
        self._tags = [f"pool:{boundary}"]
        self._query = self._uma.Query(items=[self._uma.QueryItem(types=_TYPES, tags=self._tags)])
        self._known: int | None = self._client.head()
        self._turn = 0
        self.conflicts = 0

    def step(self) -> None:
        """Append one event, again and again until the condition holds."""
        self._turn += 1
        payload = {"allocation_id": str(uuid7()), "owner": "owner", "quantity": 1, "tags": {}, "deadline": None}
        data = json.dumps(payload).encode()
        event = self._uma.Event(event_type=_TYPES[self._turn % 2], tags=self._tags, data=data)
        while True:
            condition = self._uma.AppendCondition(fail_if_events_match=self._query, after=self._known)
            try:
                self._known = self._client.append([event], condition=condition)
            except self._uma.IntegrityError:
                self.conflicts += 1
                self._known = self._client.head()
            else:
                return


def run(work: str, clients: int, span: Span) -> Sample:
    """Measure one round of so many clients, each with a connection and a thread of its own."""
    with server() as address:
        callers = [Client(address, "hot" if work == SHARED else str(number)) for number in range(clients)]
        window = in_threads([caller.step for caller in callers], span)
        return Sample.of([window], conflicts=sum(caller.conflicts for caller in callers))


def cases(plan: Plan) -> Iterator[Case]:
    """List the cases."""
    for work in (OWN, SHARED):
        yield from for_clients(
            system=SYSTEM, database=DATABASE, work=work, clients=plan.baseline_clients, run=partial(run, work)
        )
