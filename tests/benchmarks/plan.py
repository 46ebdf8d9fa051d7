"""How much to measure: what the options come to."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Plan(BaseModel):
    """What a run measures, and for how long; written into the report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = 1.5
    """A measurement's length."""
    warm_up: float = 0.5
    """Seconds before it that do not count."""
    rounds: int = 3
    """How often each case is measured; the cases take turns, so that noise of the machine hits all of them."""
    only: str = ""
    """Pattern that the cases' names must hold."""
    databases: tuple[str, ...] = ("postgresql", "sqlite")
    clients: tuple[int, ...] = (1, 8, 32, 256, 1000)
    """Numbers of clients of Bursar."""
    baseline_clients: tuple[int, ...] = (1, 8, 32)
    """Numbers of clients of what it is compared with, each of which needs a connection."""
    batches: int = 40
    """How many batches of 500 a measurement appends."""
    race: int = 2000
    """Units of the pool that several processes empty."""
    crowd: int = 1_000_000
    """Open allocations in the crowded pool; 0 leaves the comparison out."""


QUICK = Plan(seconds=0.1, warm_up=0.02, rounds=1, clients=(1, 32, 256), batches=4, race=200, crowd=5_000)
"""A smoke run: every kind of case, too short to believe its figures."""
