"""How much to measure: what the options come to."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Plan(BaseModel):
    """What a run measures, and for how long; written into the report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(1.5, ge=0)
    """A measurement's length."""
    warm_up: float = Field(0.5, ge=0)
    """Seconds before it that do not count."""
    rounds: int = Field(3, ge=1)
    """How often each case is measured; the cases take turns, so that noise of the machine hits all of them."""
    only: str = ""
    """Pattern that the cases' names must hold."""
    databases: tuple[str, ...] = ("postgresql", "sqlite")
    clients: tuple[int, ...] = (1, 8, 32, 256, 1000)
    """Numbers of clients of Holdbook."""
    baseline_clients: tuple[int, ...] = (1, 8, 32)
    """Numbers of clients of what it is compared with, each of which needs a connection."""
    batches: int = Field(40, ge=1)
    """How many batches of 500 a measurement appends."""
    race: int = Field(2000, ge=1)
    """Units of the pool that several processes empty."""
    crowd: int = Field(1_000_000, ge=0)
    """Open allocations in the crowded pool; 0 leaves the comparison out."""
    events: int = Field(300_000, ge=1)
    """Events of the log from which views are rebuilt."""
    audited: int = Field(1_000_000, ge=1)
    """Events of the log that is verified and asked about."""
    projected: int = Field(8_000, ge=1)
    """Events from which the library's runner builds its view."""

    @field_validator("only")
    @classmethod
    def _is_a_pattern(cls, only: str) -> str:
        try:
            re.compile(only)
        except re.error as error:
            message = f"not a regular expression: {error}"
            raise ValueError(message) from None
        return only


QUICK = Plan(
    seconds=0.1,
    warm_up=0.02,
    rounds=1,
    clients=(1, 32, 256),
    batches=4,
    race=200,
    crowd=5_000,
    events=10_000,
    audited=20_000,
    projected=400,
)
"""A smoke run: every kind of case, too short to believe its figures."""
