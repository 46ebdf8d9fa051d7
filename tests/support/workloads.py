"""Workloads made up from a seed: every verb, grants and refusals, expiries, repeats."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BEGINNING = datetime(2026, 3, 1, tzinfo=UTC)

POOLS = {
    "cpu": {"total": 400, "overcommit": "1.5"},
    "gpu": {"total": 24, "max_size": 8, "max_ttl": 86400, "default_ttl": 7200},
    "licence": {"total": 10, "per_owner": 4},
}


class _Story:
    """One workload as it is being made up."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a test's data
        self._now = BEGINNING
        self._known: list[str] = []
        self.lines: list[dict[str, Any]] = []

    def tell(self, command: str, **fields: object) -> None:
        self._now += timedelta(seconds=self._random.randrange(120))
        self.lines.append({"at": self._now.isoformat(), "command": command, **fields})

    def grant(self, command: str) -> None:
        pools = self._random.sample(sorted(POOLS), self._random.randint(1, 2))
        name = f"job-{len(self._known)}"
        self._known.append(name)
        fields: dict[str, Any] = {
            "allocation_id": name,
            "quantities": {pool: self._random.randint(1, 9) for pool in pools},
            "owner": f"owner-{self._random.randrange(5)}",
        }
        if command == "reserve" or self._random.random() < 0.5:
            fields["ttl"] = self._random.choice([30, 600, 3600.5])
        self.tell(command, **fields)

    def change(self, command: str) -> None:
        recent = self._known[-12:] or ["nobody"]
        extra: dict[str, Callable[[], dict[str, Any]]] = {
            "resize": lambda: {"quantities": {"cpu": self._random.randint(1, 9)}},
            "transfer": lambda: {"to": f"owner-{self._random.randrange(5)}"},
            "renew": lambda: {"ttl": 900},
            "release": lambda: {"reason": "done"},
        }
        self.tell(command, allocation_id=self._random.choice(recent), **extra.get(command, dict)())

    def go_on(self) -> None:
        command = self._random.choices(
            ["allocate", "reserve", "release", "renew", "resize", "transfer", "confirm", "void", "expire", "again"],
            [40, 8, 30, 5, 5, 3, 4, 2, 1, 2],
        )[0]
        if command in {"allocate", "reserve"}:
            self.grant(command)
        elif command == "expire":
            self.tell(command)
        elif command == "again":
            self.lines.append(dict(self.lines[-1]))
        else:
            self.change(command)


def made_up(commands: int, seed: int = 1) -> list[dict[str, Any]]:
    """Make a workload of so many commands up."""
    story = _Story(seed)
    for pool, limits in POOLS.items():
        story.tell("open_pool", pool=pool, resource_type=pool, unit="unit", limits=limits)
    while len(story.lines) < commands:
        story.go_on()
    return story.lines


def write_workload(path: Path, lines: list[dict[str, Any]]) -> Path:
    """Write a workload to a file."""
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path
