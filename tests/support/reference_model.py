"""What the ledger must do, written a second time: dictionaries and loops, slow and plain, nothing of the package.

Commands are the JSON objects of a workload file. Times are whole seconds. The words are those of the documentation.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Json = dict[str, Any]

CODES = [
    "pool_not_found",
    "allocation_not_found",
    "allocation_id_taken",
    "allocation_ended",
    "token_mismatch",
    "not_reserved",
    "not_confirmed",
    "not_ended",
    "ledger_closed",
    "pool_closed",
    "pool_not_in_allocation",
    "limits_moved",
    "ttl_required",
    "ttl_too_long",
    "below_min_size",
    "above_max_size",
    "not_a_step",
    "above_capacity",
    "above_per_owner",
    "too_many_allocations",
    "owner_exhausted",
    "pool_exhausted",
]
"""Refusals in order of precedence."""


@dataclass
class Answer:
    """What became of a command."""

    kind: str
    """granted, refused, repeated, reused (another command's id) or already_open."""
    code: str | None = None
    expired: tuple[str, ...] = ()


@dataclass
class ModelPool:
    """A pool: what it was opened with, its limits, its own time."""

    description: Json
    limits: Json
    time: int
    closed: bool = False

    @property
    def capacity(self) -> int:
        """What can be held at once."""
        left = Fraction(self.limits["total"] - self.limits.get("reserved", 0))
        return int(left * Fraction(self.limits.get("overcommit", "1")) // 1)


@dataclass
class ModelAllocation:
    """An allocation in its present state."""

    owner: str
    held: dict[str, int]
    deadline: int | None
    state: str
    order: int

    @property
    def is_open(self) -> bool:
        """Whether something is held."""
        return self.state in {"active", "reserved"}


class Refusal(Exception):
    """The command is refused, for the first of these reasons."""

    def __init__(self, *reasons: tuple[str, str]) -> None:
        self.code = min(reasons, key=lambda reason: (CODES.index(reason[0]), reason[1]))[0]
        super().__init__(self.code)


@dataclass
class Model:
    """The whole ledger."""

    pools: dict[str, ModelPool] = field(default_factory=dict)
    allocations: dict[str, ModelAllocation] = field(default_factory=dict)
    decided: dict[str, tuple[Json, Answer]] = field(default_factory=dict)
    grants: int = 0
    closed: bool = False

    def apply(self, command: Json, now: int) -> Answer:
        """Decide a command at a moment, and change what it changes."""
        command = {name: plain(value) if name in {"limits", "expected"} else value for name, value in command.items()}
        key = command.get("command_id") or derived(command)
        content = {name: value for name, value in command.items() if name not in {"command_id", "correlation_id"}}
        if key in self.decided:
            before, answer = self.decided[key]
            if before == content:
                return Answer("repeated", answer.code)
            if command["command"] not in {"open_pool", "close_ledger"} or "command_id" in command:
                return Answer("reused")
        if command["command"] == "close_ledger" and self.closed:
            return Answer("repeated")
        if command["command"] == "open_pool":
            answered = self._open_again(command)
            if answered:
                return answered
        answer = self._decide(command, now)
        noted = answer.kind == "refused" or command["command"] != "expire" or answer.expired
        if noted and key not in self.decided:
            self.decided[str(key)] = (content, answer)
        return answer

    def _open_again(self, command: Json) -> Answer | None:
        pool = self.pools.get(command["pool"])
        if pool is None or pool.closed:
            return None
        given = describe(command)
        present = {**pool.description, "limits": pool.limits}
        return Answer("repeated" if given in (pool.description, present) else "already_open")

    def _decide(self, command: Json, now: int) -> Answer:
        touched = {name for name in self._touched(command, now) if name in self.pools}
        moment = max([now, *(self.pools[name].time for name in touched)])
        if command["command"] == "expire" and "pool" not in command:
            moment = now
        expired = self._expire(touched, moment, command.get("limit"))
        try:
            DECISIONS[command["command"]](self, command, moment)
        except Refusal as refusal:
            return Answer("refused", refusal.code, expired)
        return Answer("granted", None, expired)

    def _touched(self, command: Json, now: int) -> set[str]:
        past = self.allocations.get(command.get("allocation_id", ""))
        match command["command"]:
            case "allocate" | "reserve":
                return set(command["quantities"])
            case "resize":
                return set(command["quantities"]) | set(past.held if past else ())
            case "expire" if "pool" not in command:
                return {name for one in self.due(now) for name in self.allocations[one].held}
            case "close_ledger":
                return set(self.pools)
            case "open_pool" | "change_limits" | "close_pool" | "expire" | "reclaim":
                return {command["pool"]}
        return set(past.held if past else ())

    def due(self, moment: int) -> list[str]:
        """Open allocations whose deadline is not after a moment."""
        return [
            name
            for name, one in self.allocations.items()
            if one.is_open and one.deadline is not None and one.deadline <= moment
        ]

    def _expire(self, touched: set[str], moment: int, limit: int | None = None) -> tuple[str, ...]:
        reached, expired = set(touched), set[str]()
        while True:
            due = [name for name in self.due(moment) if reached & set(self.allocations[name].held)]
            deadlines = sorted(self.allocations[name].deadline or 0 for name in due)
            last = deadlines[:limit][-1] if due else 0
            expired = {name for name in due if (self.allocations[name].deadline or 0) <= last}
            more = {pool for name in expired for pool in self.allocations[name].held} - reached
            if not more:
                break
            reached |= more
        for name in expired:
            one = self.allocations[name]
            one.state = "expired"
            for pool in one.held:
                self.pools[pool].time = max(self.pools[pool].time, one.deadline or 0)
        return tuple(sorted(expired))

    # Sums

    def holds(self, pool: str) -> list[ModelAllocation]:
        """The open allocations that hold something of a pool."""
        return [one for one in self.allocations.values() if one.is_open and pool in one.held]

    def used(self, pool: str) -> int:
        """What is held of a pool."""
        return sum(one.held[pool] for one in self.holds(pool))

    def owned(self, pool: str, owner: str) -> int:
        """What one owner holds of a pool."""
        return sum(one.held[pool] for one in self.holds(pool) if one.owner == owner)

    # One method a command

    def open_pool(self, command: Json, moment: int) -> None:
        """Open a pool."""
        if self.closed:
            raise Refusal(("ledger_closed", command["pool"]))
        if command["pool"] in self.pools:
            raise Refusal(("pool_closed", command["pool"]))
        description = describe(command)
        self.pools[command["pool"]] = ModelPool(description, description["limits"], moment)

    def _usable(self, name: str) -> ModelPool:
        if name not in self.pools:
            raise Refusal(("pool_not_found", name))
        if self.pools[name].closed:
            raise Refusal(("pool_closed", name))
        return self.pools[name]

    def change_limits(self, command: Json, moment: int) -> None:
        """Replace a pool's limits."""
        pool = self._usable(command["pool"])
        if "expected" in command and command["expected"] != pool.limits:
            raise Refusal(("limits_moved", command["pool"]))
        pool.limits, pool.time = command["limits"], moment

    def close_pool(self, command: Json, moment: int) -> None:
        """Close a pool."""
        pool = self._usable(command["pool"])
        pool.closed, pool.time = True, moment

    def close_ledger(self, _command: Json, moment: int) -> None:
        """Close the ledger, and every pool that is open."""
        self.closed = True
        for pool in self.pools.values():
            if not pool.closed:
                pool.closed, pool.time = True, moment

    def allocate(self, command: Json, moment: int) -> None:
        """Grant, or reserve."""
        reasons = []
        pools = {name: self.pools[name] for name in command["quantities"] if name in self.pools}
        ttl = command.get("ttl") or self._default_ttl(pools)
        for name, asked in command["quantities"].items():
            if name not in pools:
                reasons.append(("pool_not_found", name))
                continue
            if pools[name].closed:
                reasons.append(("pool_closed", name))
            reasons += self._ttl(name, command.get("ttl"), ttl, needed=command["command"] == "reserve")
            reasons += self._size(name, command["owner"], asked)
            most = pools[name].limits.get("max_allocations")
            if most is not None and len(self.holds(name)) + 1 > most:
                reasons.append(("too_many_allocations", name))
        if command["allocation_id"] in self.allocations:
            reasons.append(("allocation_id_taken", ""))
        if reasons:
            raise Refusal(*reasons)
        state = "active" if command["command"] == "allocate" else "reserved"
        deadline = None if ttl is None else moment + ttl
        self.grants += 1
        one = ModelAllocation(command["owner"], dict(command["quantities"]), deadline, state, self.grants)
        self.allocations[command["allocation_id"]] = one
        self._tick(one.held, moment)

    def _default_ttl(self, pools: dict[str, ModelPool]) -> int | None:
        return min((p.limits["default_ttl"] for p in pools.values() if "default_ttl" in p.limits), default=None)

    def _ttl(self, name: str, given: int | None, ttl: int | None, *, needed: bool) -> list[tuple[str, str]]:
        limits = self.pools[name].limits
        if (needed and ttl is None) or (given is None and "max_ttl" in limits and "default_ttl" not in limits):
            return [("ttl_required", name)]
        if ttl is not None and ttl > limits.get("max_ttl", ttl):
            return [("ttl_too_long", name)]
        return []

    def _size(self, name: str, owner: str, asked: int, present: int = 0) -> list[tuple[str, str]]:
        limits, capacity = self.pools[name].limits, self.pools[name].capacity
        per_owner = limits.get("per_owner")
        wrong = {
            "below_min_size": asked < limits.get("min_size", 0),
            "above_max_size": asked > limits.get("max_size", asked),
            "not_a_step": asked % limits.get("step", 1) != 0,
            "above_capacity": asked > capacity,
            "above_per_owner": per_owner is not None and asked > per_owner,
            "owner_exhausted": per_owner is not None and self.owned(name, owner) - present + asked > per_owner,
            "pool_exhausted": self.used(name) - present + asked > capacity,
        }
        return [(code, name) for code, is_wrong in wrong.items() if is_wrong]

    def _tick(self, pools: Iterable[str], moment: int) -> None:
        for name in pools:
            self.pools[name].time = moment

    def _held(self, command: Json) -> ModelAllocation:
        one = self.allocations.get(command["allocation_id"])
        if one is None:
            raise Refusal(("allocation_not_found", ""))
        if not one.is_open:
            raise Refusal(("allocation_ended", ""))
        if command.get("token") == "9:9":  # never a grant's: the ledger's epoch is 1
            raise Refusal(("token_mismatch", ""))
        return one

    def _reserved(self, command: Json) -> ModelAllocation:
        one = self._held(command)
        if one.state != "reserved":
            raise Refusal(("not_reserved", ""))
        return one

    def confirm(self, command: Json, moment: int) -> None:
        """Make a reservation an allocation."""
        one = self._reserved(command)
        ttl = command.get("ttl") or self._default_ttl({name: self.pools[name] for name in one.held})
        reasons = [r for name in one.held for r in self._ttl(name, command.get("ttl"), ttl, needed=False)]
        if reasons:
            raise Refusal(*reasons)
        one.state, one.deadline = "active", None if ttl is None else moment + ttl
        self._tick(one.held, moment)

    def void(self, command: Json, moment: int) -> None:
        """Give a reservation up."""
        one = self._reserved(command)
        one.state = "voided"
        self._tick(one.held, moment)

    def renew(self, command: Json, moment: int) -> None:
        """Move the deadline."""
        one = self._held(command)
        ttl = command.get("ttl") or self._default_ttl({name: self.pools[name] for name in one.held})
        reasons = [r for name in one.held for r in self._ttl(name, command.get("ttl"), ttl, needed=True)]
        reasons += [("pool_closed", name) for name in one.held if self.pools[name].closed]
        if reasons or ttl is None:
            raise Refusal(*reasons)
        one.deadline = moment + ttl
        self._tick(one.held, moment)

    def resize(self, command: Json, moment: int) -> None:
        """Change quantities."""
        unknown = [("pool_not_found", name) for name in command["quantities"] if name not in self.pools]
        if unknown:
            raise Refusal(*unknown)
        one = self._held(command)
        reasons = []
        for name, asked in command["quantities"].items():
            if name not in one.held:
                reasons.append(("pool_not_in_allocation", name))
            elif asked > one.held[name]:
                reasons += self._size(name, one.owner, asked, present=one.held[name])
                reasons += [("pool_closed", name)] if self.pools[name].closed else []
        if reasons:
            raise Refusal(*reasons)
        one.held.update(command["quantities"])
        self._tick(command["quantities"], moment)

    def transfer(self, command: Json, moment: int) -> None:
        """Change the owner."""
        one = self._held(command)
        reasons = []
        for name, quantity in one.held.items():
            per_owner = self.pools[name].limits.get("per_owner")
            if per_owner is not None and command["to"] != one.owner:
                if quantity > per_owner:
                    reasons.append(("above_per_owner", name))
                if self.owned(name, command["to"]) + quantity > per_owner:
                    reasons.append(("owner_exhausted", name))
        if reasons:
            raise Refusal(*reasons)
        one.owner = command["to"]
        self._tick(one.held, moment)

    def release(self, command: Json, moment: int) -> None:
        """End an allocation."""
        one = self._held(command)
        if one.state == "reserved" and "force" not in command:
            raise Refusal(("not_confirmed", ""))
        one.state = "released"
        self._tick(one.held, moment)

    def reclaim(self, command: Json, _moment: int) -> None:
        """Take note that a thing was taken back whose right is not open."""
        if command["pool"] not in self.pools:
            raise Refusal(("pool_not_found", command["pool"]))
        one = self.allocations.get(command["allocation_id"])
        if one is not None and command["pool"] not in one.held:
            raise Refusal(("pool_not_in_allocation", command["pool"]))
        if one is not None and one.is_open:
            raise Refusal(("not_ended", command["pool"]))

    def expire_all(self, command: Json, _moment: int) -> None:
        """Expire what is due: done already."""
        if "pool" in command and command["pool"] not in self.pools:
            raise Refusal(("pool_not_found", command["pool"]))


DECISIONS: dict[str, Callable[[Model, Json, int], None]] = {
    "open_pool": Model.open_pool,
    "change_limits": Model.change_limits,
    "close_pool": Model.close_pool,
    "close_ledger": Model.close_ledger,
    "allocate": Model.allocate,
    "reserve": Model.allocate,
    "confirm": Model.confirm,
    "void": Model.void,
    "renew": Model.renew,
    "resize": Model.resize,
    "transfer": Model.transfer,
    "release": Model.release,
    "expire": Model.expire_all,
    "reclaim": Model.reclaim,
}


def plain(limits: Json) -> Json:
    """Limits without what is so anyway: that nothing is reserved."""
    return {name: value for name, value in limits.items() if (name, value) != ("reserved", 0)}


def describe(command: Json) -> Json:
    """What a pool was opened with."""
    return {"resource_type": command["resource_type"], "limits": command["limits"]}


def derived(command: Json) -> str | None:
    """What stands for a command's id where the command names it."""
    match command["command"]:
        case "open_pool":
            return f"open {command['pool']}"
        case "allocate" | "reserve":
            return f"{command['command']} {command['allocation_id']}"
        case "close_ledger":
            return "close"
    return None
