"""Files that commands read, and files that they write in whole or not at all."""

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
"""The name that stands for the standard input where a file to read is asked for."""


def _unusable(parameter: str, value: str, expected: str, error: Exception) -> Malformed:
    """Make the error of a file that cannot be used, with the reason that the system gave."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return Malformed(parameter, value, f"{expected} ({reason})")


@contextmanager
def whole_file(parameter: str, path: Path) -> Iterator[TextIO]:
    """Write to a file beside the one at ``path``, and put it in that one's place once it is on the disk.

    If the block or the writing fails, the file at ``path`` stays as it was. Raises `Malformed`, which names the
    parameter, if the file cannot be written.
    """
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
        raise _unusable(parameter, str(path), expected, error) from None


@contextmanager
def readable(file: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file, or the standard input, and give it with its size in bytes, which is 0 for the standard input.

    Raises `Malformed` if the file cannot be opened.
    """
    if file == STANDARD_INPUT:
        yield sys.stdin.buffer, 0
        return
    try:
        source = Path(file).open("rb")  # noqa: SIM115 - closed below, out of reach of this `except`
    except (OSError, ValueError) as error:  # ValueError if the name holds a NUL character
        raise _unusable("FILE", file, "expected a file that can be read", error) from None
    with source:
        yield source, os.fstat(source.fileno()).st_size
