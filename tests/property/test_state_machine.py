"""Leak freedom, put to the test by machines that look for counterexamples; and a canary that shows that they can."""

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

from holdbook import HoldbookError, Ledger, Limits, MemoryEventLog
from holdbook.domain.pool import Pool
from holdbook.infrastructure.log.memory_log import MemoryReader
from support import profiles
from support.ledger_machine import LedgerMachine, Viewed
from support.postgres import Databases

pytestmark = pytest.mark.untraced


def run(machine: type[RuleBasedStateMachine]) -> None:
    """Run a machine in the profile, and say how much it did."""
    LedgerMachine.examples = LedgerMachine.commands = 0
    profiles.run(machine)
    print(f"{machine.__name__}: {LedgerMachine.examples} runs, {LedgerMachine.commands} commands")  # noqa: T201 - the report of a soak


class OnMemory(LedgerMachine):
    """The machine on a log in memory."""

    def open(self) -> Ledger:
        """Open another ledger on the same log."""
        if not hasattr(self, "shared"):
            self.shared = MemoryEventLog()
        return Ledger(self.shared, clock=self.clock)

    @invariant()
    def verified(self) -> None:
        """Every promise holds after every step."""
        self.every_promise_holds()


def test_memory() -> None:
    """In memory nothing leaks, whatever happens."""
    run(OnMemory)


def test_sqlite(sqlite_template: Path, tmp_path: Path) -> None:
    """On SQLite nothing leaks, whatever happens."""

    class OnSQLite(Viewed):
        def open(self) -> Ledger:
            if not hasattr(self, "file"):
                self.file = Path(mkdtemp(dir=tmp_path)) / "holdbook.db"
                shutil.copy(sqlite_template, self.file)
            return Ledger.open(f"sqlite:///{self.file}", clock=self.clock)

        def shut(self) -> None:
            super().shut()
            shutil.rmtree(self.file.parent)

    run(OnSQLite)


def test_postgresql(postgres_server: Databases, postgres_template: str) -> None:
    """On PostgreSQL nothing leaks, whatever happens."""

    class OnPostgreSQL(Viewed):
        def open(self) -> Ledger:
            if not hasattr(self, "database"):
                self.database = postgres_server.create(postgres_template)
            return Ledger.open(postgres_server.url(self.database), clock=self.clock)

        def shut(self) -> None:
            super().shut()
            postgres_server.drop(self.database)

    run(OnPostgreSQL)


def lose_releases(patch: pytest.MonkeyPatch) -> None:
    """What is given back stays counted as used."""
    take = Pool.take

    def leaking(self: Pool, allocation_id: str) -> object:
        hold = take(self, allocation_id)
        self.used += hold.quantity
        return hold

    patch.setattr(Pool, "take", leaking)


def grant_one_too_many(patch: pytest.MonkeyPatch) -> None:
    """A limit is off by one."""
    capacity: property = vars(Limits)["capacity"]
    patch.setattr(Limits, "capacity", property(lambda limits: capacity.__get__(limits) + 1))


def skip_expiry(patch: pytest.MonkeyPatch) -> None:
    """Nothing is ever due."""
    patch.setattr(Pool, "due", lambda _self, _moment: [])


def grant_twice(patch: pytest.MonkeyPatch) -> None:
    """What was decided before is forgotten."""
    patch.setattr(MemoryReader, "commands", lambda _self, _ids: {})


@pytest.mark.parametrize("fault", [lose_releases, grant_one_too_many, skip_expiry, grant_twice])
def test_canary(fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine finds a planted fault."""
    fault(monkeypatch)
    hunt = settings(profiles.PROFILE, max_examples=200, phases=[Phase.generate], database=None)
    with pytest.raises((AssertionError, HoldbookError)):
        run_state_machine_as_test(OnMemory, settings=hunt)
