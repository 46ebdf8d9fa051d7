"""Errors say what was expected, the parameter, the value, its type, and the way out."""

import pytest

from holdbook import (
    CommandIdReused,
    HoldbookError,
    Limits,
    LogCorrupt,
    LogUnavailable,
    Malformed,
    NotFound,
    PoolAlreadyOpen,
    RefusalCode,
    Refused,
    UnknownEvent,
)


def test_every_error_has_one_base_class_and_the_builtin_one_that_callers_expect() -> None:
    """Whoever catches `ValueError` for a bad or refused request, or `LookupError` for a name, catches it here too."""
    every = (CommandIdReused, LogCorrupt, LogUnavailable, Malformed, NotFound, PoolAlreadyOpen, Refused, UnknownEvent)
    assert all(issubclass(kind, HoldbookError) for kind in every)
    assert [kind for kind in every if issubclass(kind, ValueError)] == [Malformed, Refused]
    assert issubclass(NotFound, LookupError)
    assert issubclass(UnknownEvent, LogCorrupt)


@pytest.mark.parametrize("kind", [HoldbookError, LogUnavailable, LogCorrupt])
def test_an_error_without_a_message_says_its_docstring(kind: type[HoldbookError]) -> None:
    """The docstring is the default message."""
    assert str(kind()) == (kind.__doc__ or "").splitlines()[0]
    assert str(kind("it burns")) == "it burns"


def test_an_error_without_a_docstring_says_its_name() -> None:
    """An error class without a docstring has its own name as the default message."""

    class Undescribed(HoldbookError):
        __doc__ = None

    assert str(Undescribed()) == "Undescribed"


def test_malformed_names_parameter_value_and_type() -> None:
    """All of it is in the message, and each part is an attribute."""
    error = Malformed("ttl", "30", "expected seconds")
    assert str(error) == "ttl: expected seconds; got '30' (str)"
    assert (error.parameter, error.value, error.expected) == ("ttl", "30", "expected seconds")
    assert str(Malformed("", 1, "expected more")) == "input: expected more; got 1 (int)"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("x" * 1000, "'" + "x" * 118 + "…"), (10**5000, "a number too long to show"), ("\ud800\0", "'\\ud800\\x00'")],
    ids=["long", "huge", "odd"],
)
def test_any_value_can_be_shown(value: object, shown: str) -> None:
    """A value that is long, huge or unprintable does not spoil the message that is about it."""
    message = str(Malformed("field", value, "expected less"))
    assert message == f"field: expected less; got {shown} ({type(value).__name__})"
    message.encode()


def test_refused_says_whether_to_wait_or_to_act() -> None:
    """The message of a refusal says whether the command may succeed later, and that a repeat needs a new id."""
    data = {"pool": "gpu", "free": 1, "limit": 8, "unit": "device", "asked": 2}
    transient = Refused(RefusalCode.POOL_EXHAUSTED, data, command_id="c")
    assert str(transient) == (
        "refused (pool_exhausted): pool 'gpu' has 1 of 8 device free, 2 asked. It may succeed later"
    )
    assert (transient.transient, transient.repeated, transient.command_id) == (True, False, "c")
    assert (transient.code, transient.data) == (RefusalCode.POOL_EXHAUSTED, data)
    permanent = Refused(RefusalCode.POOL_CLOSED, {"pool": "gpu"}, command_id="c")
    assert str(permanent) == "refused (pool_closed): pool 'gpu' is closed. It will not succeed as it is"
    repeated = Refused(RefusalCode.POOL_CLOSED, {"pool": "gpu"}, command_id="c", repeated=True)
    assert str(repeated).endswith("This is the recorded outcome of command 'c'; to try again, give a new command id")


def test_command_id_reused_names_the_field_and_both_values() -> None:
    """The caller sees what differs."""
    error = CommandIdReused("c", "quantities.gpu", 1, 2)
    assert str(error) == (
        "command id 'c' was decided before with other content: quantities.gpu was 1, now 2; "
        "give a new command its own id"
    )
    assert (error.command_id, error.field, error.recorded, error.given) == ("c", "quantities.gpu", 1, 2)


def test_pool_already_open_points_to_change_limits() -> None:
    """The way out is in the message."""
    error = PoolAlreadyOpen("gpu", "limits.total", 8, 9)
    assert str(error) == (
        "pool 'gpu' was opened before with other content: limits.total is 8, given 9; "
        "use change_limits to change the limits of a pool"
    )
    assert (error.pool, error.field, error.present, error.given) == ("gpu", "limits.total", 8, 9)


def test_not_found_names_what_is_missing() -> None:
    """Kind and name are in the message."""
    error = NotFound("pool", "gpu")
    assert (str(error), error.kind, error.name) == ("no pool 'gpu' in this ledger", "pool", "gpu")


def test_unknown_event_names_type_version_and_position() -> None:
    """The message names type, version and position of the event, and says to upgrade."""
    error = UnknownEvent("Borrowed", 2, 17)
    assert str(error) == (
        "event 'Borrowed' of schema version 2 at position 17 is not known to this version of Holdbook; upgrade Holdbook"
    )
    assert (error.event_type, error.schema_version, error.position) == ("Borrowed", 2, 17)


def test_an_error_of_pydantic_s_is_never_what_a_caller_sees() -> None:
    """Pydantic's error is not shown as the cause of `Malformed`, whose message has everything."""
    with pytest.raises(Malformed) as info:
        Limits(total=-1)
    assert info.value.__suppress_context__
