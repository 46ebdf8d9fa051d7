"""What Hypothesis draws from: names, limits, commands of the workload format, events."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from holdbook import Limits
from holdbook.domain.commands import COMMANDS
from holdbook.domain.events import (
    Allocated,
    Confirmed,
    Event,
    Expired,
    LedgerClosed,
    LimitsChanged,
    PoolClosed,
    PoolOpened,
    Released,
    Renewed,
    Reserved,
    Resized,
    Transferred,
    ValidationFailed,
    Voided,
)
from holdbook.domain.refusals import RefusalCode
from support.deciding import T0

POOLS = ("a", "b", "c")
ALLOCATIONS = ("u", "v", "w", "x", "y", "z")
OWNERS = ("ann", "bob")

small = st.integers(1, 9)
ttls = st.integers(1, 20)


def _maybe(fields: dict[str, SearchStrategy[Any]], needed: dict[str, SearchStrategy[Any]]) -> SearchStrategy[Any]:
    return st.fixed_dictionaries(needed, optional=fields)


def _agree(limits: dict[str, Any]) -> bool:
    least = (limits.get("reserved", 0), limits.get("min_size", 1), limits.get("default_ttl", 1))
    most = (limits["total"], limits.get("max_size", 10**9), limits.get("max_ttl", 10**9))
    return all(low <= high for low, high in zip(least, most, strict=True))


small_limits: SearchStrategy[dict[str, Any]] = _maybe(
    {
        "reserved": st.integers(0, 2),
        "overcommit": st.sampled_from(["0.5", "1.5", "1.999999999"]),
        "min_size": st.integers(1, 2),
        "max_size": st.integers(2, 9),
        "step": st.integers(1, 2),
        "max_allocations": st.integers(1, 4),
        "per_owner": st.integers(2, 12),
        "default_ttl": ttls,
        "max_ttl": st.integers(5, 20),
    },
    {"total": st.integers(0, 20)},
).filter(_agree)
"""Limits as JSON values, small enough that they are met."""

quantities = st.dictionaries(st.sampled_from(POOLS), small, min_size=1)
_one: dict[str, SearchStrategy[Any]] = {"allocation_id": st.sampled_from(ALLOCATIONS)}
_pool: dict[str, SearchStrategy[Any]] = {"pool": st.sampled_from(POOLS)}
_grant = {**_one, "quantities": quantities, "owner": st.sampled_from(OWNERS)}
_opening = {**_pool, "resource_type": st.just("r"), "unit": st.just("u"), "limits": small_limits}

FIELDS: dict[str, SearchStrategy[Any]] = {
    "open_pool": st.fixed_dictionaries(_opening),
    "change_limits": _maybe({"expected": small_limits}, {**_pool, "limits": small_limits}),
    "close_pool": st.fixed_dictionaries(_pool),
    "close_ledger": st.just({}),
    "allocate": _maybe({"ttl": ttls}, _grant),
    "reserve": _maybe({"ttl": ttls}, _grant),
    "confirm": _maybe({"ttl": ttls}, _one),
    "void": st.fixed_dictionaries(_one),
    "renew": _maybe({"ttl": ttls}, _one),
    "resize": st.fixed_dictionaries({**_one, "quantities": quantities}),
    "transfer": st.fixed_dictionaries({**_one, "to": st.sampled_from(OWNERS)}),
    "release": st.one_of(
        st.fixed_dictionaries(_one),
        st.fixed_dictionaries({**_one, "force": st.just(True), "reason": st.just("gone")}),  # noqa: FBT003 - a value
    ),
    "expire": _maybe({**_pool, "limit": st.integers(1, 3)}, {}),
    "reclaim": st.fixed_dictionaries({**_pool, **_one}),
}
"""The fields of each command, by verb."""

_SHARES = {"close_ledger": 1, "close_pool": 4, "change_limits": 4, "expire": 4, "reclaim": 4, "allocate": 48}
_VERBS = [verb for verb in COMMANDS for _ in range(_SHARES.get(verb, 16))]

commands: SearchStrategy[dict[str, Any]] = st.sampled_from(_VERBS).flatmap(
    lambda verb: FIELDS[verb].map(lambda fields: {"command": verb, **fields})
)
"""Commands of the workload format about few pools and few allocations, so that they meet."""

names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20).filter(
    lambda text: text == text.strip()
)
pool_names = names.filter(lambda text: "=" not in text)
big = st.integers(1, 2**63 - 1)
durations = st.integers(1, 10**15).map(lambda micros: timedelta(microseconds=micros))
instants = durations.map(lambda duration: T0 + duration)
reasons = st.none() | st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(str.strip)
tags = st.dictionaries(names, names, max_size=3)
limits: SearchStrategy[Limits] = st.builds(
    Limits,
    total=st.integers(0, 2**63 - 1),
    overcommit=st.none().map(lambda _: "1") | st.integers(1, 10**9).map(lambda digits: f"0.{digits:09}"[:11]),
    min_size=st.none() | st.integers(1, 10),
    max_size=st.none() | st.integers(10, 2**63 - 1),
    step=st.none() | big,
    max_allocations=st.none() | big,
    per_owner=st.none() | big,
    default_ttl=st.none() | durations,
)
_hold = {"pool": pool_names, "allocation_id": names, "owner": names, "quantity": big}
_opened = {
    **_hold,
    "pools": st.lists(pool_names, min_size=1, max_size=3).map(tuple),
    "epoch": st.integers(1, 9),
    "tags": tags,
}
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(1e-6, 1e10) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)

events: SearchStrategy[Event] = st.one_of(
    st.builds(PoolOpened, pool=pool_names, resource_type=names, unit=names, limits=limits),
    st.builds(LimitsChanged, pool=pool_names, limits=limits, previous=limits),
    st.builds(PoolClosed, pool=pool_names, reason=reasons),
    st.builds(LedgerClosed, reason=reasons),
    st.builds(Allocated, **_opened, deadline=st.none() | instants),
    st.builds(Reserved, **_opened, deadline=instants),
    st.builds(Confirmed, **_hold, deadline=st.none() | instants),
    st.builds(Voided, **_hold, reserved=st.booleans(), reason=reasons),
    st.builds(Renewed, **_hold, deadline=instants, previous_deadline=st.none() | instants),
    st.builds(Resized, **_hold, previous_quantity=big),
    st.builds(Transferred, **_hold, previous_owner=names),
    st.builds(Released, **_hold, reserved=st.booleans(), reason=reasons, forced=st.booleans()),
    st.builds(Expired, **_hold, reserved=st.booleans(), deadline=instants),
    st.builds(
        ValidationFailed,
        code=st.sampled_from(RefusalCode),
        pool=st.none() | names,
        known=st.booleans(),
        allocation_id=st.none() | names,
        asked=st.dictionaries(names, _json, max_size=3),
        data=st.dictionaries(names, _json, max_size=3),
    ),
)
"""Events of every kind, with whatever an event may hold."""
