"""Counters, by name and labels, for whoever exposes them."""

from __future__ import annotations

from threading import Lock
from typing import Final, NamedTuple


class Count(NamedTuple):
    """One counter as it stands."""

    name: str
    labels: dict[str, str]
    value: int


class Counters:
    """A registry of counters; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}

    def counter(self, name: str, value: int = 1, /, **labels: str) -> None:
        """Add to the counter of this name and these labels."""
        key = name, tuple(sorted(labels.items()))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + value

    def value(self, name: str, /, **labels: str) -> int:
        """Read one counter; 0 if nothing was counted."""
        with self._lock:
            return self._values.get((name, tuple(sorted(labels.items()))), 0)

    def read(self) -> list[Count]:
        """Read every counter, by name, then labels."""
        with self._lock:
            found = sorted(self._values.items())
        return [Count(name, dict(labels), value) for (name, labels), value in found]


COUNTERS: Final = Counters()
"""The registry of this process."""
