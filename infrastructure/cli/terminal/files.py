"""Files that commands read, and those that they write: whole or not at all."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO

from holdbook.domain.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDARD_INPUT: Final = "-"
"""What is given for a file to read the standard input."""


def unusable(parameter: str, value: str, expected: str, error: Exception) -> Malformed:
    """Say that a file cannot be used, and why."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return Malformed(parameter, value, f"{expected} ({reason})")


@contextmanager
def whole_file(parameter: str, path: Path) -> Iterator[TextIO]:
    """Write beside a file and, once that is on the disk, put it in its place; raises `Malformed` if it cannot."""
    expected = "expected a file that can be written"
    if not path.name:
        raise Malformed(parameter, str(path), f"{expected} (it is a folder)")
    try:
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise unusable(parameter, str(path), expected, error) from None


@contextmanager
def readable(file: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file, or the standard input, with its size, 0 for a pipe; raises `Malformed` if that cannot be done."""
    if file == STANDARD_INPUT:
        yield sys.stdin.buffer, 0
        return
    try:
        source = Path(file).open("rb")  # noqa: SIM115 - closed below, out of reach of this `except`
    except (OSError, ValueError) as error:  # the second for a NUL
        raise unusable("FILE", file, "expected a file that can be read", error) from None
    with source:
        yield source, os.fstat(source.fileno()).st_size
