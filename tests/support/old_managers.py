"""A manager from before the ledger, as the seed has it, its blanks filled in; dumped to the old form, and loaded."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass
class OldMetadata:
    """The seed's `ResourceMetadata`."""

    resource_type: str
    allocation_time: datetime
    expiration_time: datetime | None
    limits: dict[str, Any]
    tags: dict[str, str]


@dataclass
class OldResource:
    """The seed's `Resource`."""

    id: str
    data: Any
    metadata: OldMetadata
    state: str
    error: str | None


class OldMemoryResourceManager:
    """The seed's `memory/resources.py`; it keeps its accounts in the process."""

    def __init__(self, limits: dict[str, int]) -> None:
        self._limits = limits
        self._allocated: dict[str, OldResource] = {}

    async def allocate_memory(self, size: int, **options: Any) -> OldResource:  # noqa: ANN401 - the seed's signature
        """Allocate memory."""
        if sum(one.data for one in self._allocated.values()) + size > self._limits["total"]:
            message = "Memory limit exceeded"
            raise ValueError(message)
        now = datetime.now()  # noqa: DTZ005 - local time without its offset, as the seed has it
        metadata = OldMetadata("memory", now, options.get("expiration_time"), {}, options.get("tags", {}))
        resource = OldResource(str(uuid4()), size, metadata, "allocated", None)
        self._allocated[resource.id] = resource
        return resource

    async def release_memory(self, resource: OldResource) -> None:
        """Release memory."""
        del self._allocated[resource.id]

    # What a team adds for the day of the move

    def dump(self) -> Iterator[str]:
        """Write what is held in the old form."""
        yield _line({"limits": self._limits, "resource_type": "memory"})
        for one in self._allocated.values():
            fields = {name: asdict(one.metadata)[name] for name in ("resource_type", "tags")}
            times = {"allocation_time": one.metadata.allocation_time, "expiration_time": one.metadata.expiration_time}
            yield _line({"id": one.id, "size": one.data, **fields, **{k: v and _utc(v) for k, v in times.items()}})

    @classmethod
    def load(cls, lines: Iterable[str]) -> OldMemoryResourceManager:
        """Begin with what was held, from the old form."""
        limits, *held = map(json.loads, lines)
        manager = cls({name: limits["limits"][name] for name in ("total", "max_size") if name in limits["limits"]})
        for one in held:
            metadata = OldMetadata("memory", _local(one["allocation_time"]), None, {}, one["tags"])
            manager._allocated[one["id"]] = OldResource(one["id"], one["size"], metadata, "allocated", None)
        return manager

    @property
    def held(self) -> dict[str, int]:
        """What is held, by id."""
        return {name: one.data for name, one in self._allocated.items()}


def _line(fields: dict[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _local(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone().replace(tzinfo=None)
