"""The fence remembers the greatest token of each thing, and refuses older ones."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from holdbook import Fence, Malformed, StaleToken, Token


def test_an_older_token_is_turned_away() -> None:
    """The error names both and says what to do; what was seen stays, and its own holder still passes."""
    fence = Fence()
    assert fence.check(Token(1, 42)) == (1, 42)
    assert fence.check("1:44") == Token(1, 44)
    with pytest.raises(StaleToken) as caught:
        fence.check(Token(1, 43))
    assert (caught.value.given, caught.value.greatest, caught.value.thing) == ((1, 43), (1, 44), "")
    assert str(caught.value) == (
        "token 1:43 is older than 1:44, which was seen before: the resource was granted to somebody else since; "
        "stop using it, and allocate anew"
    )
    assert fence.check(Token(1, 44)) == fence.greatest() == Token(1, 44)


def test_a_restored_ledger_s_tokens_are_greater() -> None:
    """A later epoch comes first, whatever the position."""
    fence = Fence()
    fence.check("2:1")
    with pytest.raises(StaleToken, match="token 1:999 is older than 2:1"):
        fence.check("1:999")


def test_each_thing_has_its_own_tokens() -> None:
    """A token seen for one thing does not count for another; a thing that was forgotten accepts any token."""
    fence = Fence()
    fence.check("1:9", "gpu-0")
    assert fence.greatest("gpu-1") is None
    fence.check("1:3", "gpu-1")
    with pytest.raises(StaleToken, match="token 1:8 for 'gpu-0' is older than 1:9"):
        fence.check("1:8", "gpu-0")
    fence.forget("gpu-0")
    fence.forget("never seen")
    assert fence.check("1:8", "gpu-0") == Token(1, 8)


@pytest.mark.parametrize("wrong", ["42", (1, 42), None, "1:x"])
def test_what_is_no_token_is_malformed(wrong: object) -> None:
    """The error says how one is written, and nothing is remembered."""
    fence = Fence()
    with pytest.raises(Malformed, match=r"^token: expected a fencing token written epoch:position"):
        fence.check(wrong)  # type: ignore[arg-type]  # that is the point
    assert fence.greatest() is None


def test_threads_leave_the_greatest() -> None:
    """When several threads check tokens at once, the greatest of all is remembered."""
    fence = Fence()

    def show(position: int) -> None:
        with suppress(StaleToken):
            fence.check(Token(1, position))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(show, [number * 37 % 101 for number in range(101)]))
    assert fence.greatest() == Token(1, 100)
