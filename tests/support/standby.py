"""A PostgreSQL server and its synchronous standby, which has what the first acknowledges, unless somebody cheats."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Final, Self

import psutil

from support.logs import execute, query
from support.postgres import START_SECONDS_MAX, PostgresServer, PostgresUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STANDBY: Final = "standby"
"""The standby's name, as the primary knows it."""

REPLICATED: Final = {"fsync": "off", "wal_level": "replica", "synchronous_commit": "on", "max_wal_size": "128MB"}
"""Two servers that lose nothing as long as one of them lives; nobody cuts the power in these tests."""


class StandbyServer(PostgresServer):
    """A server whose data are a copy of another's, and which follows it until it is promoted."""

    def __init__(self, primary: PostgresServer) -> None:
        conninfo = f"host=127.0.0.1 port={primary.port} user=postgres application_name={STANDBY}"
        super().__init__({**REPLICATED, "primary_conninfo": conninfo})
        self._primary = primary

    def _initialise(self) -> None:
        """Copy the primary; needs ``pg_basebackup``, which the wheels and the systems' packages have."""
        done = subprocess.run(
            [
                *self._command("pg_basebackup"),
                *("--host=127.0.0.1", f"--port={self._primary.port}", "--username=postgres"),
                *("--wal-method=stream", "--checkpoint=fast", "--no-sync", "--write-recovery-conf"),
                *("--create-slot", f"--slot={STANDBY}"),
            ],
            check=False,
            capture_output=True,
            **self._surroundings(),
        )
        if done.returncode:
            raise PostgresUnavailableError(f"pg_basebackup failed: {done.stderr.decode()}")

    def receiver(self) -> psutil.Process:
        """Find the process that receives what the primary sends."""
        found: list[psutil.Process] = []

        def look() -> bool:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.extend(one for one in self.processes() if any("walreceiver" in word for word in one.cmdline()))
            return bool(found)

        wait_until(look)
        return found[0]


class StandbyPair:
    """A primary that waits for its standby at every commit."""

    def __init__(self) -> None:
        self.primary = PostgresServer(REPLICATED)
        self.standby = StandbyServer(self.primary)
        self._paused: psutil.Process | None = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let the standby receive nothing for the time of a block: each commit on the primary waits for it."""
        self._paused = self.standby.receiver()
        self._paused.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.resume()

    def resume(self) -> None:
        """Let the standby receive again; does nothing if it was not paused."""
        paused, self._paused = self._paused, None
        if paused is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                paused.send_signal(signal.SIGCONT)

    def promote(self) -> None:
        """Make a primary of the standby, on a timeline of its own; the old primary goes on unless it was stopped."""
        self.resume()
        assert query(self.standby.url(), "SELECT pg_promote()") == [(True,)]
        execute(self.standby.url(), "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")

    def be_alone(self) -> None:
        """Let the primary acknowledge without a standby, as an operator may who does not know of the other one."""
        execute(self.primary.url(), "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        wait_until(lambda: query(self.primary.url(), "SHOW synchronous_standby_names") == [("",)])

    def waiting(self) -> list[tuple[int, str]]:
        """List the primary's transactions that wait in a commit for the standby, by process and beginning."""
        waits = "SELECT pid, xact_start::text FROM pg_stat_activity WHERE wait_event = 'SyncRep' ORDER BY xact_start"
        return [(pid, began) for pid, began in query(self.primary.url(), waits)]

    def __enter__(self) -> Self:
        try:
            self.primary.start()
            self.standby.start()
            execute(
                self.primary.url(),
                f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'",
                "SELECT pg_reload_conf()",
            )
            state = "SELECT sync_state FROM pg_stat_replication"
            wait_until(lambda: query(self.primary.url(), state) == [("sync",)])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()
        self.standby.cleanup()
        self.primary.cleanup()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Ask a server again and again until something is so."""
    end = time.monotonic() + START_SECONDS_MAX
    while not is_so():
        assert time.monotonic() < end, "the server does not get there"
        time.sleep(0.01)
