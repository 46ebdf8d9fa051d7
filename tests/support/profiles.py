"""How long the state machines run: once in the suite, and again and again in `make soak`."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

if TYPE_CHECKING:
    from hypothesis.stateful import RuleBasedStateMachine

_PROFILES: Final = {
    "dev": settings(max_examples=10, stateful_step_count=30),
    "ci": settings(max_examples=20, stateful_step_count=50),
    "nightly": settings(max_examples=50, stateful_step_count=100, database=None),
}
PROFILE: Final = settings(
    _PROFILES[os.environ.get("HOLDBOOK_MACHINES", "ci")], deadline=None, suppress_health_check=list(HealthCheck)
)
SOAK_SECONDS: Final = float(os.environ.get("HOLDBOOK_SOAK_SECONDS", "0"))
"""How long each machine is run again and again, always with other choices; 0: once."""


def run(machine: type[RuleBasedStateMachine], profile: settings = PROFILE) -> None:
    """Run a machine in the profile, as long as is asked for."""
    end = time.monotonic() + SOAK_SECONDS
    while True:
        run_state_machine_as_test(machine, settings=profile)
        if time.monotonic() >= end:
            return
