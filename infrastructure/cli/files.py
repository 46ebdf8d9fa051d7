"""Files that commands write: whole or not at all."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from bursar.domain.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def unusable(parameter: str, value: str, expected: str, error: Exception) -> Malformed:
    """Say that a file cannot be used, and why."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return Malformed(parameter, value, f"{expected} ({reason})")


@contextmanager
def whole_file(parameter: str, path: Path) -> Iterator[TextIO]:
    """Write beside a file and put it in its place at the end; raises `Malformed` if that cannot be done."""
    expected = "expected a file that can be written"
    if not path.name:
        raise Malformed(parameter, str(path), f"{expected} (it is a folder)")
    try:
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                yield file
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise unusable(parameter, str(path), expected, error) from None
