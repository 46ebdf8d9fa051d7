"""Fencing: a resource refuses a holder whose token is older than one that it has seen.

See Kleppmann, "How to do distributed locking" (2016).
"""

from __future__ import annotations

from threading import Lock

from holdbook.domain.errors import HoldbookError, Malformed
from holdbook.domain.values import Token


class StaleToken(HoldbookError):
    """A fencing token is older than one that the resource has seen: by now somebody else holds the resource.

    The way out is to stop using the resource, and to allocate anew.
    """

    def __init__(self, given: Token, greatest: Token, thing: str = "") -> None:
        self.given = given
        """The older token."""
        self.greatest = greatest
        """The greatest token that the resource has seen."""
        self.thing = thing
        """Name of the resource; empty where a fence guards only one."""
        whose = f" for {thing!r}" if thing else ""
        super().__init__(
            f"token {given}{whose} is older than {greatest}, which was seen before: the resource was granted to "
            "somebody else since; stop using it, and allocate anew"
        )


class Fence:
    """Remembers the greatest fencing token seen for each of several things. Safe to use from several threads.

    It forgets when the process ends. A resource that outlives the process has to store its greatest token itself.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._greatest: dict[str, Token] = {}

    def check(self, token: Token | str, thing: str = "") -> Token:
        """Accept a token that is at least the greatest seen for a thing; remember it, and give it.

        Raises `StaleToken` for an older one, and `Malformed` for a value that is no token. A check protects only what
        is done in the same step: if using the resource takes long, hold a lock over the check and the use, or a newer
        holder may pass the check in between.
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
        """Forget a thing that is gone for good. After that, any token is accepted for its name."""
        with self._lock:
            self._greatest.pop(thing, None)
