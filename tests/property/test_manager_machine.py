"""Leak freedom with real things: whatever providers, processes and clocks do, at the end nothing is held anywhere."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from bursar import Ledger, MemoryEventLog
from support.manager_machine import ManagerMachine


class OnMemory(ManagerMachine):
    def open(self, kind: type[Ledger]) -> Ledger:
        if not hasattr(self, "shared"):
            self.shared = MemoryEventLog()
        return kind(self.shared, clock=self.clock)

PROFILE=settings(max_examples=3, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck))

def test_memory() -> None:
    """In memory nothing leaks, whatever happens."""
    run_state_machine_as_test(OnMemory, settings=PROFILE)
    print(OnMemory.examples, OnMemory.steps)
