"""JSON Lines: reading files of one JSON object a line strictly, with errors that name the line."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.errors import HoldbookError, Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from holdbook.domain.errors import CommandIdReused, PoolAlreadyOpen

LINE_BYTES_MAX: Final = 4 * 2**20
"""The longest line that is read: longer than the largest command is, even with every character escaped."""


class ImportStopped(HoldbookError):
    """A line of a workload cannot be run. Nothing of its batch was recorded; earlier batches stay recorded."""

    def __init__(self, file: str, line: int, error: Malformed | CommandIdReused | PoolAlreadyOpen) -> None:
        self.file = file
        self.line = line
        """The number of the line, from 1."""
        self.field = error.parameter if isinstance(error, Malformed) else error.field
        """The dotted path of the field at fault."""
        self.value = error.value if isinstance(error, Malformed) else error.given
        """What the line has there."""
        super().__init__(f"{file}, line {line}: {error}")


def numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file that are not blank, each with its number, from 1.

    Of a line that is longer than `LINE_BYTES_MAX`, one byte more than that is read; `json_object` refuses it.
    """
    for number, raw in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX + 1), b""), 1):
        if raw.strip():
            yield number, raw


def json_object(raw: bytes) -> dict[str, Any]:
    """Parse a line as one JSON object.

    Raises `Malformed` if it is too long, is not UTF-8, is not one JSON object, has a field twice, or has a number such
    as NaN that JSON does not know.
    """
    if len(raw) > LINE_BYTES_MAX:
        raise _bad_line(raw[:80], f"expected a line of at most {LINE_BYTES_MAX} bytes")
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_unique_fields, parse_constant=_refuse_constant)
    except Malformed:
        raise
    except UnicodeDecodeError as error:
        raise _bad_line(raw[:80], f"expected UTF-8, which byte {error.start + 1} is not") from None
    except json.JSONDecodeError as error:
        raise _bad_line(_start(raw), f"expected one JSON object ({error.msg}, column {error.colno})") from None
    except (ValueError, RecursionError):  # a number or a nesting that is too large for Python
        raise _bad_line(_start(raw), "expected one JSON object, with no such number or nesting") from None
    if not isinstance(value, dict):
        raise _bad_line(value, "expected one JSON object")
    return value


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dictionary of an object's fields; raises `Malformed` if two have the same name."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        (name, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise Malformed(name, [value for key, value in pairs if key == name], "expected the field once in its object")
    return fields


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python would take."""
    raise _bad_line(name, "expected numbers that JSON has")


def _bad_line(value: object, expected: str) -> Malformed:
    return Malformed("line", value, expected)


def _start(raw: bytes) -> str:
    """Give the beginning of a line, for a message."""
    return raw[:200].decode(errors="replace").strip()
