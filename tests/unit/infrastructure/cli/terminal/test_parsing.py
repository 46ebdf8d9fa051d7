"""From the words of a command line to values."""

from datetime import UTC, datetime

import pytest

from holdbook import Malformed
from holdbook.infrastructure.cli.terminal.parsing import duration, moment, pairs, quantities, whole


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("1d2h3m4s", 93784), ("1h30m", 5400), ("3600", 3600),
     ("0.5", 0.5), ("1.25s", 1.25), ("0", 0)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    """Parts in falling order, or seconds; whole where they are whole."""
    assert duration("ttl", text) == seconds
    assert type(duration("ttl", text)) is type(seconds)


@pytest.mark.parametrize("text", ["", "soon", "1x", "30m1h", "-5m", "1.5h", "m", "٣m", "1e3", " 5m", "1_000", "9" * 40])
def test_what_is_no_duration(text: str) -> None:
    """Anything else is an error that names parameter and value."""
    with pytest.raises(Malformed) as caught:
        duration("ttl", text)
    assert (caught.value.parameter, caught.value.value) == ("ttl", text)


def test_no_duration_is_none() -> None:
    """An option that was not given stays so."""
    assert duration("ttl", None) is None


def test_moments() -> None:
    """A time needs its offset from UTC."""
    assert moment("as-of", "2026-01-31T14:00:00+02:00") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    with pytest.raises(Malformed, match="as-of: expected a time with its offset"):
        moment("as-of", "2026-01-31T14:00:00")


@pytest.mark.parametrize(
    ("text", "value"), [("2", 2), ("-1", -1), ("1.0", "1.0"), ("", ""), ("1_0", "1_0"), ("٣", "٣")]
)
def test_whole_numbers(text: str, value: int | str) -> None:
    """What is no whole number is left for the command to refuse."""
    assert whole(text) == value


def test_quantities() -> None:
    """A pool's name ends at the first equals sign, and may hold blanks."""
    assert quantities(["gpu=2", "big mem=x"]) == {"gpu": 2, "big mem": "x"}


def test_pairs() -> None:
    """A value may hold equals signs; a key comes once."""
    assert pairs("tags", "KEY=VALUE", ["a=b=c", "d="]) == {"a": "b=c", "d": ""}
    assert pairs("tags", "KEY=VALUE", None) == {}
    with pytest.raises(Malformed, match="tags: expected KEY=VALUE; got 'a'"):
        pairs("tags", "KEY=VALUE", ["a"])
    with pytest.raises(Malformed, match=r"tags\.a: expected 'a' once"):
        pairs("tags", "KEY=VALUE", ["a=1", "a=1"])
