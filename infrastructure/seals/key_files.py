"""Keys and checkpoints in files. Nobody but its owner may read a file with a private key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from holdbook.domain.errors import Malformed
from holdbook.replay.evidence.checkpoints import Signed
from holdbook.replay.evidence.notes import Kind, SignerKey, VerifierKey

_OTHERS: Final = 0o077
"""The permission bits of everybody but the owner of a file."""

_KEY_BYTES_MAX: Final = 4096
"""The largest file that is read as a key."""

_NOTE_BYTES_MAX: Final = 2**20
"""The largest file that is read as a checkpoint."""


def write_key(path: Path, key: SignerKey) -> None:
    """Write a private key into a new file that only its owner may read; raises `Malformed` if the file exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Malformed(
            "--out", str(path), "expected a file that is not there yet: a key is never overwritten"
        ) from None
    except (OSError, ValueError) as error:  # a ValueError for a NUL in the path
        raise _unusable("--out", path, "expected a file that can be written", error) from None
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{key.secret}\n")
        file.flush()
        os.fsync(file.fileno())


def read_key(parameter: str, path: Path, kind: Kind) -> SignerKey:
    """Read a private key from its file; raises `Malformed`, also for a key of another kind, and shows no content."""
    words = "a log's private key" if kind is Kind.NOTE else "a witness's private key"
    option = "" if kind is Kind.NOTE else " --witness"
    expected = f"expected a file with {words}, as `holdbook seal key{option}` makes one"
    try:
        key = SignerKey.parse(_read(path).removesuffix("\n"))
    except (OSError, ValueError) as error:
        raise _unusable(parameter, path, expected, error) from None
    if key.kind is not kind:
        raise Malformed(parameter, str(path), expected)
    return key


def others_may_read(path: Path) -> bool:
    """Tell whether anybody but its owner may read, write or run a file."""
    return bool(path.stat().st_mode & _OTHERS)


def read_verifier(parameter: str, given: str) -> VerifierKey:
    """Read a public key from its text, or from a file with that text; raises `Malformed`."""
    try:
        text = _read(Path(given)).removesuffix("\n")
    except (OSError, ValueError):
        text = given
    try:
        return VerifierKey.parse(text)
    except Malformed:
        raise Malformed(parameter, given, "expected a public key, written NAME+ID+BASE64, or a file with one") from None


def log_verifier(parameter: str, given: str) -> VerifierKey:
    """Read the public key of a log, as `read_verifier` does; raises `Malformed`, also for the key of a witness."""
    key = read_verifier(parameter, given)
    if key.kind is not Kind.NOTE:
        raise Malformed(parameter, given, "expected a log's public key, not a witness's")
    return key


def read_checkpoint(parameter: str, path: Path) -> Signed:
    """Read a signed checkpoint from a file; raises `Malformed`."""
    expected = "expected a file with a signed checkpoint"
    try:
        return Signed.parse(_read(path, _NOTE_BYTES_MAX))
    except Malformed as error:
        raise Malformed(parameter, str(path), f"{expected}: {error.expected}") from None
    except (OSError, ValueError) as error:
        raise _unusable(parameter, path, expected, error) from None


def _read(path: Path, bytes_max: int = _KEY_BYTES_MAX) -> str:
    """Read a small file as UTF-8; raises OSError, and ValueError if it is longer or is not UTF-8."""
    with path.open("rb") as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise ValueError("it is too long")
    return data.decode()


def _unusable(parameter: str, path: Path, expected: str, error: Exception) -> Malformed:
    """Make the error for a file that cannot be used, with the reason of the operating system if it gave one."""
    reason = error.strerror if isinstance(error, OSError) else "it is no such file"
    return Malformed(parameter, str(path), f"{expected} ({reason})")
