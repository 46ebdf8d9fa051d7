"""For all commands: the text that is recorded is what the standard library writes of what pydantic dumps."""

import copy
import json
import pickle
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from holdbook import Allocate, Release, Renew, Token
from holdbook.domain.commands import COMMANDS, Command
from support.strategies import big, durations, instants, limits, names, pool_names

pytestmark = pytest.mark.untraced

reasons = st.text(st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from("\t\n"), min_size=1)
ttls = durations | st.integers(1, 5000).map(lambda micros: timedelta(microseconds=micros))
FIELDS: dict[str, SearchStrategy[Any]] = {
    **dict.fromkeys(("command_id", "actor", "correlation_id", "causation_id"), names),
    **dict.fromkeys(("allocation_id", "owner", "to", "resource_type", "unit"), names),
    **dict.fromkeys(("limits", "expected"), limits),
    "at": instants,
    "force": st.booleans(),
    "limit": big,
    "pool": pool_names,
    "quantities": st.dictionaries(pool_names, big, min_size=1, max_size=4),
    "reason": reasons.filter(str.strip),
    "tags": st.dictionaries(names, names, max_size=4),
    "token": st.builds(Token, st.integers(1, 10**9), big),
    "ttl": ttls,
    "wait": ttls,
}
"""What each field of a command may hold; a new field has to say it here."""


def made(kind: type[Command]) -> SearchStrategy[Command]:
    """Draw commands of a kind, any field given or not that need not be."""
    fields = kind.model_fields.items()
    needed = {name: FIELDS[name] for name, field in fields if field.is_required()}
    optional = {name: FIELDS[name] for name, field in fields if not field.is_required()}
    return st.fixed_dictionaries(needed, optional=optional).map(agreeing).map(lambda given: kind(**given))


def agreeing(given: dict[str, Any]) -> dict[str, Any]:
    """Let force have its reason and no token."""
    if not given.get("force"):
        return given
    return {"reason": "stuck", **{name: value for name, value in given.items() if name != "token"}}


commands: SearchStrategy[Command] = st.one_of(*map(made, COMMANDS.values()))
encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def plain(command: Command) -> dict[str, Any]:
    """Say what a command is as JSON values."""
    dumped = command.model_dump(mode="json", exclude_none=True, exclude={"command_id"})
    return {"command": command.verb, **dumped}


@given(commands)
@example(
    Allocate(quantities={"b": 1, "a": 2, "\U0001f600": 3, "\uffee": 4}, owner="é\u2028é", tags={"z": "1", "a=": '"\\'})
)
@example(Renew(allocation_id="a", ttl=timedelta(microseconds=1)))
@example(Renew(allocation_id="a", ttl=timedelta(microseconds=10)))
@example(Release(allocation_id="a", reason="\t\n/ \u007e\u00a0"))
@example(Release(allocation_id="a", reason="a", force=True))
def test_a_command_is_written_as_the_standard_library_writes_it(command: Command) -> None:
    """Sorted by code point at every depth, fractions as Python writes them, and nothing escaped that need not be."""
    assert command.as_dict() == plain(command)
    assert command.canonical() == encode(plain(command))
    assert command.canonical() == encode(plain(command))


@given(commands, names)
def test_a_copy_with_another_field_has_a_text_of_its_own(command: Command, actor: str) -> None:
    """What was written once is kept with the command, and with no copy of it that differs."""
    command.canonical()
    changed = command.model_copy(update={"actor": actor})
    assert changed.canonical() == encode(plain(changed))
    assert command.model_copy(deep=True).canonical() == command.canonical()


@given(commands)
def test_a_command_that_was_written_is_the_same_command(command: Command) -> None:
    """Equality, copies, pickles and what a model says of itself do not know whether the text was asked for."""
    untouched = copy.copy(command)
    command.canonical()
    assert command == untouched
    assert repr(command) == repr(untouched)
    assert dict(command) == dict(untouched)
    assert command.__getstate__() == untouched.__getstate__()
    assert pickle.loads(pickle.dumps(command)).canonical() == command.canonical()  # noqa: S301 - pickled above
