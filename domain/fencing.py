"""Fencing: a resource turns away whoever comes with an older token than it has seen."""

from __future__ import annotations

from threading import Lock

from holdbook.domain.errors import HoldbookError, Malformed
from holdbook.domain.values import Token


class StaleToken(HoldbookError):
    """The resource has seen a greater fencing token: its holder is another one by now."""

    def __init__(self, given: Token, greatest: Token, thing: str = "") -> None:
        self.given = given
        self.greatest = greatest
        """The greatest token seen before."""
        self.thing = thing
        """What the token was given for; empty where there is only one thing."""
        whose = f" for {thing!r}" if thing else ""
        super().__init__(
            f"token {given}{whose} is older than {greatest}, which was seen before: the resource was granted to "
            "somebody else since; stop using it, and allocate anew"
        )


class Fence:
    """Remembers the greatest fencing token that each thing has seen. Safe to use from several threads.

    It lasts as long as the process: a resource that outlives it keeps the greatest token where the resource is. See
    Kleppmann, "How to do distributed locking" (2016).
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._greatest: dict[str, Token] = {}

    def check(self, token: Token | str, thing: str = "") -> Token:
        """Let a token pass that is not older than the greatest seen for a thing, and remember it; give it.

        Raises `StaleToken` for an older one, and `Malformed` for what is no token. What is done with the resource after
        that is not fenced unless the check and the deed are one: hold a lock of the resource's over both, if a deed
        can take long.
        """
        try:
            given = Token.check(token)
        except ValueError as error:
            raise Malformed("token", token, str(error)) from None
        with self._lock:
            greatest = self._greatest.get(thing, given)
            if given < greatest:
                raise StaleToken(given, greatest, thing)
            self._greatest[thing] = given
        return given

    def greatest(self, thing: str = "") -> Token | None:
        """Give the greatest token seen for a thing; None if none was."""
        with self._lock:
            return self._greatest.get(thing)

    def forget(self, thing: str = "") -> None:
        """Forget a thing that is gone for good: from now on any token passes for its name."""
        with self._lock:
            self._greatest.pop(thing, None)
