"""What no message shows: passwords in addresses, and values that go by the name of a secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.values import Token

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

MASK: Final = "***"
"""What is shown instead."""

_SECRET: Final = re.compile(
    r"(?:^|[_\-. ])(?:api|private|secret|access)?(?:key|keys|token|tokens|secret|secrets|password|passwords|passwd|pwd|"
    r"passphrase|credential|credentials|dsn)$",
    re.IGNORECASE,
)
"""Names whose last word says that the value is a secret."""

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""Where a name such as ``apiKey`` has its second word."""

_IN_TEXT: Final = re.compile(
    r"(?P<user>\b[a-z][a-z0-9+.\-]*://[^\s:/@?#]*:)\S*@"  # of an address, up to its last @
    r"|(?P<name>\b(?:password|passwd|pwd|sslpassword|passphrase)(?:\s*=\s*|%3D))(?:'(?:[^'\\]|\\.)*'|[^\s&'\";,)]+)",
    re.IGNORECASE,
)
"""A password in an address, or one that is given by name, as in a connection string."""

_FENCING: Final = re.compile(r"\d+:\d+")
"""A fencing token as it writes itself: it opens nothing, and auditors want to see it."""


def masked(value: Any, name: str = "") -> Any:  # noqa: ANN401 - whatever a message holds
    """Give a value without secrets, by its name and by what is in it; lists and mappings are looked into."""
    if isinstance(value, Token):
        return value
    if isinstance(value, dict):
        return {key: masked(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(one, name) for one in value]
    if name and _is_secret(name) and not _is_plain(value):
        return MASK
    return mask_text(value) if isinstance(value, str) else value


def mask_text(text: str) -> str:
    """Put a mask in the place of every password in a text."""
    return _IN_TEXT.sub(_mask, text)


def mask_message(_logger: object, _method: str, message: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Mask a message of structlog: one of its processors."""
    return {name: masked(value, name) for name, value in message.items()}


def _mask(found: re.Match[str]) -> str:
    return f"{found['user']}{MASK}@" if found["user"] else f"{found['name']}{MASK}"


def _is_secret(name: str) -> bool:
    return _SECRET.search(_CAMEL.sub("_", name)) is not None


def _is_plain(value: object) -> bool:
    """Tell whether a value is no secret, whatever its name: nothing, a truth value, or a fencing token."""
    return value is None or isinstance(value, bool) or _FENCING.fullmatch(str(value)) is not None
