"""JSON Lines: one JSON object a line, read strictly, and errors that name the line."""

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
"""The longest line of a workload: more than the largest command takes, all of it escaped."""


class ImportStopped(HoldbookError):
    """A line of a workload cannot be run; nothing of its batch was recorded, what was before it stays."""

    def __init__(self, file: str, line: int, error: Malformed | CommandIdReused | PoolAlreadyOpen) -> None:
        self.file = file
        self.line = line
        """Number of the line, from 1."""
        self.field = error.parameter if isinstance(error, Malformed) else error.field
        """Dotted path of the field at fault."""
        self.value = error.value if isinstance(error, Malformed) else error.given
        """What the line has there."""
        super().__init__(f"{file}, line {line}: {error}")


def numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file that are not blank, with their numbers from 1; of one that is too long, the start."""
    for number, raw in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX + 1), b""), 1):
        if raw.strip():
            yield number, raw


def json_object(raw: bytes) -> dict[str, Any]:
    """Read the JSON object that a line is; raises `Malformed`."""
    if len(raw) > LINE_BYTES_MAX:
        raise _bad_line(raw[:80], f"expected a line of at most {LINE_BYTES_MAX} bytes")
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except Malformed:
        raise
    except UnicodeDecodeError as error:
        raise _bad_line(raw[:80], f"expected UTF-8, which byte {error.start + 1} is not") from None
    except json.JSONDecodeError as error:
        raise _bad_line(_start(raw), f"expected one JSON object ({error.msg}, column {error.colno})") from None
    except (ValueError, RecursionError):  # a number, or a nesting, beyond what Python reads
        raise _bad_line(_start(raw), "expected one JSON object, with no such number or nesting") from None
    if not isinstance(value, dict):
        raise _bad_line(value, "expected one JSON object")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        (name, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise Malformed(name, [value for key, value in pairs if key == name], "expected the field once in its object")
    return fields


def _no_constant(name: str) -> None:
    raise _bad_line(name, "expected numbers that JSON has")


def _bad_line(value: object, expected: str) -> Malformed:
    return Malformed("line", value, expected)


def _start(raw: bytes) -> str:
    return raw[:200].decode(errors="replace").strip()
