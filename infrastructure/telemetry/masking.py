"""Masking of secrets in log messages: passwords in addresses, and values whose name says that they are secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.values import Token

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

MASK: Final = "***"
"""What is shown instead of a secret."""

_SECRET: Final = re.compile(
    r"(?:^|[_\-. ])(?:api|private|secret|access)?(?:key|keys|token|tokens|secret|secrets|password|passwords|passwd|pwd|"
    r"passphrase|credential|credentials|dsn)$",
    re.IGNORECASE,
)
"""Matches a name whose last word says that its value is a secret, such as ``db_password``."""

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""Matches where the second word of a name such as ``apiKey`` begins."""

_IN_TEXT: Final = re.compile(
    r"(?P<user>\b[a-z][a-z0-9+.\-]*://[^\s:/@?#]*:)\S*@"  # of an address, up to its last @
    r"|(?P<name>\b(?:password|passwd|pwd|sslpassword|passphrase)(?:\s*=\s*|%3D))(?:'(?:[^'\\]|\\.)*'|[^\s&'\";,)]+)",
    re.IGNORECASE,
)
"""Matches a password in an address, or one that follows its name, as in a connection string."""

_FENCING: Final = re.compile(r"\d+:\d+")
"""Matches a fencing token as text. It is no secret, as it opens nothing, and auditors need it."""


def masked(value: Any, name: str = "") -> Any:  # noqa: ANN401 - a message may hold anything
    """Give a value with its secrets masked, judged by its name and by its text; collections are masked item by item."""
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
    """Replace every password in a text by the mask."""
    return _IN_TEXT.sub(_mask, text)


def mask_message(_logger: object, _method: str, message: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Mask the secrets in a message; a processor of structlog."""
    return {name: masked(value, name) for name, value in message.items()}


def _mask(found: re.Match[str]) -> str:
    """Give what replaces a match of ``_IN_TEXT``: all but the password."""
    return f"{found['user']}{MASK}@" if found["user"] else f"{found['name']}{MASK}"


def _is_secret(name: str) -> bool:
    return _SECRET.search(_CAMEL.sub("_", name)) is not None


def _is_plain(value: object) -> bool:
    """Tell whether a value is no secret, whatever its name is: None, a boolean, or a fencing token."""
    return value is None or isinstance(value, bool) or _FENCING.fullmatch(str(value)) is not None
