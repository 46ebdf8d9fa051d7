"""Commands: what they accept, how they are written as canonical JSON, and which ids they derive from their content."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdbook import (
    Allocate,
    ChangeLimits,
    CloseLedger,
    ClosePool,
    Command,
    Confirm,
    Expire,
    Limits,
    Malformed,
    OpenPool,
    Reclaim,
    Release,
    Renew,
    Reserve,
    Resize,
    Token,
    Transfer,
    Void,
)
from holdbook.domain.commands import COMMANDS, command_from, content

EXAMPLES: tuple[Command, ...] = (
    OpenPool(pool="gpu", resource_type="accelerator", unit="device", limits=Limits(total=8, overcommit="1.5")),
    ChangeLimits(pool="gpu", limits=Limits(total=4), expected=Limits(total=8)),
    ClosePool(pool="gpu", reason="sold"),
    Allocate(quantities={"gpu": 2, "cpu": 8}, owner="ann", ttl=timedelta(minutes=1), tags={"job": "42"}),
    Reserve(allocation_id="a", quantities={"gpu": 2}, owner="ann"),
    Confirm(allocation_id="a", ttl=30, token=Token(1, 2)),
    Void(allocation_id="a", reason="too late"),
    Renew(allocation_id="a", ttl=1.5),
    Resize(allocation_id="a", quantities={"gpu": 3}, token=Token(1, 2)),
    Transfer(allocation_id="a", to="bob"),
    Release(allocation_id="a", at="2026-01-01T00:00:00Z", actor="me", correlation_id="c", causation_id="d"),
    Expire(pool="gpu"),
    Release(allocation_id="a", force=True, reason="stuck"),
    Reclaim(pool="gpu", allocation_id="a", reason="reconciled: it was still there"),
    CloseLedger(reason="back to the old managers"),
)
BAD_NAMES = ("", " a", "a ", "a\0b", "a\nb", "\ud800", "x" * 256, 1, True, None)
BAD_QUANTITIES = (True, 1.0, "1", 0, -1, 2**63, None)
FIELDS: dict[str, dict[str, Any]] = {
    "open_pool": {"pool": "gpu", "resource_type": "accelerator", "limits": {"total": 8}},
    "change_limits": {"pool": "gpu", "limits": {"total": 8}},
    "close_pool": {"pool": "gpu"},
    "close_ledger": {},
    "allocate": {"quantities": {"gpu": 1}, "owner": "ann"},
    "reserve": {"quantities": {"gpu": 1}, "owner": "ann"},
    "confirm": {"allocation_id": "a"},
    "void": {"allocation_id": "a"},
    "renew": {"allocation_id": "a"},
    "resize": {"allocation_id": "a", "quantities": {"gpu": 1}},
    "transfer": {"allocation_id": "a", "to": "bob"},
    "release": {"allocation_id": "a"},
    "expire": {},
    "reclaim": {"pool": "gpu", "allocation_id": "a"},
}
"""The least that each command needs, by verb."""
NAMES = ("pool", "resource_type", "owner", "allocation_id", "to")


def make(verb: str, /, **fields: object) -> Command:
    """Make a command from its least fields and others."""
    return command_from({"command": verb, **FIELDS[verb], **fields})


def malformed(verb: str, /, **fields: object) -> Malformed:
    """Give the error that making a command raises."""
    with pytest.raises(Malformed) as info:
        make(verb, **fields)
    return info.value


def test_every_command_has_its_verb_in_the_workload_format() -> None:
    """The verbs are a contract with everybody's workload files."""
    assert list(COMMANDS) == [
        "open_pool", "change_limits", "close_pool", "close_ledger", "allocate", "reserve", "confirm", "void",
        "renew", "resize", "transfer", "release", "expire", "reclaim",
    ]  # fmt: skip
    assert set(COMMANDS) == set(FIELDS) == {command.verb for command in EXAMPLES}


@pytest.mark.parametrize("command", EXAMPLES, ids=lambda command: command.verb)
def test_a_command_is_read_as_it_was_written(command: Command) -> None:
    """The canonical JSON of a command, read back, is the command."""
    text = command.canonical()
    assert command_from(json.loads(text)) == command
    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == text


def test_a_command_is_written_whole_but_for_its_id() -> None:
    """What is recorded beside the id holds every field that was given, times and tokens as text."""
    command = EXAMPLES[8].model_copy(update={"command_id": "c", "at": datetime(2026, 1, 1, tzinfo=UTC)})
    assert command.canonical() == (
        '{"allocation_id":"a","at":"2026-01-01T00:00:00.000000Z","command":"resize","quantities":{"gpu":3},"token":"1:2"}'
    )


def test_a_repeat_may_have_other_times_and_correlation() -> None:
    """All but `at` and the ids of correlation and causation is content."""
    assert content(EXAMPLES[10].as_dict()) == {"command": "release", "allocation_id": "a", "actor": "me"}


@pytest.mark.parametrize("verb", FIELDS)
@pytest.mark.parametrize("name", ["command_id", "actor", "correlation_id", "causation_id"])
def test_the_envelope_s_ids_are_names(verb: str, name: str) -> None:
    """Bad ids are errors on every command, each naming its field."""
    for bad in BAD_NAMES[:-1]:
        error = malformed(verb, **{name: bad})
        assert (error.parameter, error.value) == (name, bad)


@pytest.mark.parametrize("verb", FIELDS)
def test_a_naive_time_is_an_error_on_every_command(verb: str) -> None:
    """A time without its offset is no time."""
    error = malformed(verb, at="2026-01-01T00:00:00")
    assert str(error) == (
        "at: expected a time with its offset from UTC, such as 2026-01-31T12:00:00Z; got '2026-01-01T00:00:00' (str)"
    )


@pytest.mark.parametrize("verb", FIELDS)
def test_an_unknown_field_is_an_error_on_every_command(verb: str) -> None:
    """A mistyped field is never ignored."""
    assert str(malformed(verb, tlt=30)) == "tlt: unknown field; got 30 (int)"


@pytest.mark.parametrize(("verb", "name"), [(verb, name) for verb, fields in FIELDS.items() for name in fields])
def test_a_missing_field_is_an_error_that_names_it(verb: str, name: str) -> None:
    """What a command needs has no default."""
    with pytest.raises(Malformed, match=f"^{name}: expected a value, none is given; got"):
        command_from({"command": verb} | {key: value for key, value in FIELDS[verb].items() if key != name})


@pytest.mark.parametrize(
    ("verb", "name"), [(verb, name) for verb, fields in FIELDS.items() for name in fields if name in NAMES]
)
def test_a_bad_name_is_an_error_that_names_its_field(verb: str, name: str) -> None:
    """The message holds the field, the value and its type."""
    for bad in BAD_NAMES:
        error = malformed(verb, **{name: bad})
        assert (error.parameter, error.value) == (name, bad)
        assert str(error).startswith(f"{name}: expected 1 to 255 characters")
        assert str(error).endswith(f"({type(bad).__name__})")


@pytest.mark.parametrize("verb", ["allocate", "reserve", "resize"])
def test_a_bad_quantity_is_an_error_that_names_its_pool(verb: str) -> None:
    """A bool, a float, a string, 0, a negative number and one above 2^63-1 are no quantities."""
    for bad in BAD_QUANTITIES:
        error = malformed(verb, quantities={"cpu": 1, "gpu": bad})
        assert (error.parameter, error.value) == ("quantities.gpu", bad)
        assert str(error).endswith(f"got {bad!r} ({type(bad).__name__})")


@pytest.mark.parametrize("verb", ["allocate", "reserve", "resize"])
@pytest.mark.parametrize("quantities", [{}, [], "gpu=1", None, 1, [("gpu", 1)], {f"p{n}": 1 for n in range(257)}])
def test_quantities_are_a_mapping_of_1_to_256_pools(verb: str, quantities: object) -> None:
    """An allocation of nothing, or of more pools than one may name, is an error."""
    assert malformed(verb, quantities=quantities).parameter == "quantities"


@pytest.mark.parametrize("verb", ["allocate", "reserve", "resize"])
@pytest.mark.parametrize("pool", ["", " gpu", "g=pu", "g\0pu", "\ud800", "x" * 256, 1, None])
def test_a_bad_pool_s_name_among_quantities_is_shown(verb: str, pool: object) -> None:
    """If a key among the quantities is no pool's name, the error names the field and shows the key."""
    error = malformed(verb, quantities={pool: 1})
    assert (error.parameter, error.value) == ("quantities", pool)


@pytest.mark.parametrize("verb", ["open_pool", "change_limits", "close_pool", "expire"])
def test_a_pool_s_name_has_no_equals_sign(verb: str) -> None:
    """`gpu=2` on the command line can be read in one way only."""
    assert str(malformed(verb, pool="g=pu")) == "pool: expected a pool's name, which has no '='; got 'g=pu' (str)"


@pytest.mark.parametrize("verb", ["allocate", "reserve", "confirm", "renew"])
@pytest.mark.parametrize("ttl", [0, -1, True, "30", float("nan"), float("inf"), 10**400, 1e300, timedelta(0)])
def test_a_bad_ttl_is_an_error(verb: str, ttl: object) -> None:
    """A time to live is finite, above 0 and at most a hundred years."""
    error = malformed(verb, ttl=ttl)
    assert (error.parameter, error.value is ttl) == ("ttl", True)


@pytest.mark.parametrize("verb", ["confirm", "void", "renew", "resize", "transfer", "release"])
@pytest.mark.parametrize("token", ["", "1", "a:b", 42, "1:2:3"])
def test_a_bad_token_is_an_error(verb: str, token: object) -> None:
    """A token is written `epoch:position`."""
    assert malformed(verb, token=token).parameter == "token"


@pytest.mark.parametrize("verb", ["close_pool", "close_ledger", "void", "release"])
@pytest.mark.parametrize("reason", ["", " ", "a\x1b[2J", "x" * 1001, 1])
def test_a_bad_reason_is_an_error(verb: str, reason: object) -> None:
    """A reason is text that a terminal can show."""
    assert malformed(verb, reason=reason).parameter == "reason"


@pytest.mark.parametrize("force", [1, 0, "true", "yes", [True]])
def test_force_is_true_or_false(force: object) -> None:
    """Numbers and texts that only resemble true or false are errors."""
    error = malformed("release", force=force, reason="stuck")
    assert str(error) == f"force: expected true or false; got {force!r} ({type(force).__name__})"


def test_force_wants_a_reason() -> None:
    """A forced release without a reason is an error about `force`; with an ill-formed reason, about the reason."""
    assert str(malformed("release", force=True)).startswith("force: expected a reason with it, for the log; got True")
    assert malformed("release", force=True, reason=" ").parameter == "reason"


def test_force_takes_no_token() -> None:
    """A token proves who holds the allocation, and force does not ask for that: giving both is an error."""
    error = malformed("release", force=True, reason="stuck", token="1:2")  # noqa: S106 - no password
    assert str(error).startswith("force: expected no token with it")


@pytest.mark.parametrize("verb", sorted(FIELDS.keys() - {"release"}))
def test_only_a_release_is_forced(verb: str) -> None:
    """`force` is an unknown field of every other command: no limit can be passed by force."""
    assert str(malformed(verb, force=True)) == "force: unknown field; got True (bool)"


def test_what_is_not_forced_is_written_as_it_ever_was() -> None:
    """Without force the text is that from before the field existed, so that ids derived from it stay the same."""
    plain = make("release", reason="done")
    assert make("release", reason="done", force=False) == make("release", reason="done", force=None) == plain
    assert plain.canonical() == '{"allocation_id":"a","command":"release","reason":"done"}'
    forced = make("release", reason="done", force=True)
    assert forced.canonical() == '{"allocation_id":"a","command":"release","force":true,"reason":"done"}'
    assert forced != plain


@pytest.mark.parametrize("verb", ["allocate", "reserve"])
@pytest.mark.parametrize(
    ("tags", "parameter"), [({"k": ""}, "tags.k"), ({"": "v"}, "tags"), ({"k": 1}, "tags.k"), (["k"], "tags")]
)
def test_a_bad_tag_is_an_error(verb: str, tags: object, parameter: str) -> None:
    """A tag's name and its value must both be well-formed names."""
    assert malformed(verb, tags=tags).parameter == parameter


def test_bad_limits_in_a_command_are_named_by_their_path() -> None:
    """The error's parameter is the path to the limit at fault, such as `limits.total`."""
    assert malformed("open_pool", limits={"total": 1.5}).parameter == "limits.total"
    assert malformed("open_pool", limits={"total": 1, "reserved": 2}).parameter == "limits"
    assert malformed("change_limits", expected={"total": "8"}).parameter == "expected.total"


@pytest.mark.parametrize("verb", [None, "alocate", 1, ["allocate"], "Allocate"])
def test_an_unknown_verb_is_an_error_that_lists_the_known_ones(verb: object) -> None:
    """A workload's line says which command it is."""
    with pytest.raises(Malformed, match=r"^command: expected one of open_pool, .*, reclaim; got"):
        command_from({"command": verb})


def test_allocate_and_reserve_with_an_allocation_id_derive_their_command_id() -> None:
    """`~` and the SHA-256 of kind and id, so that a retry that names its allocation needs no command id."""
    expected = "~" + hashlib.sha256(b"allocate\0pod-1").hexdigest()
    assert make("allocate", allocation_id="pod-1").id_from_content() == expected
    assert make("reserve", allocation_id="pod-1").id_from_content() != expected
    assert make("allocate").id_from_content() is None


def test_open_pool_derives_its_command_id_from_the_pool_s_name() -> None:
    """The derived id depends on the name alone, not on unit or limits: a pool's name is opened once."""
    expected = "~" + hashlib.sha256(b"open_pool\0gpu").hexdigest()
    assert make("open_pool").id_from_content() == make("open_pool", unit="x").id_from_content() == expected


def test_close_ledger_derives_its_command_id_from_its_verb() -> None:
    """The derived id does not depend on the reason: there is one ledger, and it is closed once."""
    expected = "~" + hashlib.sha256(b"close_ledger").hexdigest()
    assert make("close_ledger").id_from_content() == make("close_ledger", reason="x").id_from_content() == expected


@pytest.mark.parametrize("verb", sorted(FIELDS.keys() - {"allocate", "reserve", "open_pool", "close_ledger"}))
def test_no_other_command_names_itself(verb: str) -> None:
    """Other commands derive no id: a second release of an allocation is a new command, and its refusal is recorded."""
    assert make(verb).id_from_content() is None


@pytest.mark.parametrize("verb", FIELDS)
def test_a_field_by_any_name_is_a_field(verb: str) -> None:
    """An unknown field named `self`, as Python names a method's first parameter, is reported like any other."""
    assert str(malformed(verb, self=1)) == "self: unknown field; got 1 (int)"


def test_a_limit_by_any_name_is_a_limit() -> None:
    """An unknown limit named `self` is reported like any other, within a command too."""
    assert malformed("open_pool", limits={"total": 1, "self": 2}).parameter == "limits.self"


def test_a_command_keeps_what_it_was_made_of() -> None:
    """A command cannot be changed, and does not change when the mapping that it was made from does."""
    quantities = {"gpu": 1}
    command = Allocate(quantities=quantities, owner="ann")
    quantities["gpu"] = 9
    assert command.quantities == {"gpu": 1}
    with pytest.raises(ValueError, match="frozen"):
        command.owner = "bob"  # type: ignore[misc]  # the point
