"""Bundles: events of a log with the proof that a signed checkpoint covers them, to be verified without the database.

A bundle is a file of JSON lines: the head first, then one event per line. There is only one way to write each line, and
the signatures or the proof cover every byte of it, so that none can be changed unnoticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from pydantic_core import from_json, to_json

from holdbook.domain.errors import HoldbookError, Malformed
from holdbook.domain.records import StoredRow, canonical_bytes
from holdbook.replay.evidence.checkpoints import Checkpoint, Signed, Trust
from holdbook.replay.evidence.merkle import CompactRange, append_subtrees, is_consistent, leaf_hash
from holdbook.replay.evidence.notes import Kind, VerifierKey, decode_hash, encode_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FORMAT: Final = "holdbook-bundle-1"
"""The name and version of the format."""

LINE_BYTES_MAX: Final = 64 * 2**20
"""The greatest length of a line, in bytes."""

_COLUMNS: Final = StoredRow._fields[:-1]
_HEAD: Final = ("format", "note", "keys", "first", "last", "left", "right", "earlier")
_EARLIER: Final = ("note", "keys", "proof")


class BundleRefused(HoldbookError):
    """A bundle does not prove what it claims to prove."""

    def __init__(self, line: int, message: str, position: int | None = None) -> None:
        self.line = line
        """The number of the line that is wrong, from 1."""
        self.position = position
        """The position of the event that belongs on that line; None if no event does."""
        place = f"line {line}" if position is None else f"line {line}, position {position}"
        super().__init__(f"{place}: {message}")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed checkpoint, and the public key of each of its signatures, in the same order."""

    signed: Signed
    keys: tuple[VerifierKey, ...]

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a bundle's head for it, as JSON values."""
        return {"note": str(self.signed.note), "keys": list(map(str, self.keys))}

    @classmethod
    def of(cls, signed: Signed, known: Sequence[VerifierKey]) -> Sealed:
        """Find the key of each signature among known keys; raises ValueError if one is missing."""
        keys = []
        for signature in signed.note.signatures:
            found = next((key for key in known if signature.is_by(key)), None)
            if found is None:
                raise ValueError(f"the key of the signature by {signature.name} is not known")
            keys.append(found)
        return cls(signed, tuple(keys))


@dataclass(frozen=True, slots=True)
class EarlierCheckpoint:
    """An earlier checkpoint, and the proof that the later checkpoint's tree begins with its tree."""

    sealed: Sealed
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BundleHead:
    """The first line of a bundle: the checkpoint, which events follow, and the hashes that complete the tree."""

    sealed: Sealed
    first: int
    """The position of the first event."""
    last: int
    left: tuple[bytes, ...]
    """The roots of the whole subtrees before the first event."""
    right: tuple[bytes, ...]
    """The roots of the whole subtrees after the last event, up to the checkpoint's size."""
    earlier: tuple[EarlierCheckpoint, ...] = ()

    @property
    def line(self) -> bytes:
        """The line as it is written, with its newline."""
        earlier = [{**one.sealed.fields, "proof": list(map(encode_hash, one.proof))} for one in self.earlier]
        hashes = {"left": list(map(encode_hash, self.left)), "right": list(map(encode_hash, self.right))}
        fields = {"format": FORMAT, **self.sealed.fields, "first": self.first, "last": self.last, **hashes}
        return to_json({**fields, "earlier": earlier}) + b"\n"


def row_line(row: StoredRow) -> bytes:
    """Write an event's line: its columns and the hash of its leaf in the tree."""
    leaf = leaf_hash(canonical_bytes(row))
    return to_json({**dict(zip(_COLUMNS, row, strict=False)), "leaf": leaf.hex()}) + b"\n"


@dataclass(frozen=True, slots=True)
class Proven:
    """What a bundle proves."""

    checkpoint: Checkpoint
    first: int
    last: int
    signed_by: tuple[str, ...]
    """The trusted keys that signed, and the keys to which trusted ones have handed over."""
    others: tuple[str, ...]
    """The other keys that signed."""
    earlier: tuple[int, ...]
    """The numbers of the earlier checkpoints that the log is proven to continue."""

    @property
    def events(self) -> int:
        """How many events the bundle has."""
        return self.last - self.first + 1


def verify_bundle(
    source: BinaryIO, trusted: Sequence[VerifierKey], progress: Callable[[int, int], None] = lambda *_: None
) -> Proven:
    """Verify a bundle with public keys that are trusted.

    If keys of logs are given, one of them, or a successor it has handed over to, must have signed the checkpoint; each
    witness whose key is given must have cosigned it. The file is read line by line, so memory does not grow with it.
    ``progress`` is called with the events checked and the events in all. Raises `BundleRefused`, which names the line,
    and `Malformed` if the file is no bundle or no key is given.
    """
    lines = _read_lines(source)
    head = _read_head(next(lines, b""))
    checkpoint = head.sealed.signed.checkpoint
    signed_by = _check_signatures(head, trusted)
    tree = CompactRange()
    _run_check(lambda: append_subtrees(tree, head.first - 1, head.left), 1, "left: hashes too many or too few")
    for position in range(head.first, head.last + 1):
        number = position - head.first + 2
        line = next(lines, None)
        if line is None:
            raise BundleRefused(number, f"the file ends here; its events go on to position {head.last}", position)
        tree.append(_check_row(line, number, position))
        progress(position - head.first + 1, head.last - head.first + 1)
    end = head.last - head.first + 3
    if next(lines, None) is not None:
        raise BundleRefused(end, f"something follows the last event, which is at position {head.last}")
    _run_check(lambda: append_subtrees(tree, checkpoint.size, head.right), 1, "right: hashes too many or too few")
    if tree.root() != checkpoint.root:
        wrong = f"the events from position {head.first} to {head.last} are not those that checkpoint "
        raise BundleRefused(1, f"{wrong}{checkpoint.number} was signed over, or the hashes beside them are wrong")
    all_keys = dict.fromkeys(key.short for key in head.sealed.keys)
    return Proven(
        checkpoint=checkpoint,
        first=head.first,
        last=head.last,
        signed_by=tuple(signed_by),
        others=tuple(one for one in all_keys if one not in signed_by),
        earlier=tuple(one.sealed.signed.checkpoint.number for one in head.earlier),
    )


def _read_lines(source: BinaryIO) -> Iterator[bytes]:
    number = 1
    while line := source.readline(LINE_BYTES_MAX):
        if not line.endswith(b"\n"):
            raise BundleRefused(number, "the line does not end: the file was cut off, or the line is too long")
        yield line
        number += 1


def _parse_line(line: bytes, names: Sequence[str]) -> dict[str, Any]:
    """Read a line of JSON with these fields, written in the only way allowed; raises ValueError."""
    found = from_json(line)
    if type(found) is not dict or tuple(found) != tuple(names):
        raise ValueError(f"expected an object of {', '.join(names)}")
    if to_json(found) + b"\n" != line:
        raise ValueError("it is not written as a bundle's lines are")
    return found


def _read_head(line: bytes) -> BundleHead:
    if not line.startswith(to_json({"format": FORMAT})[:-1]):
        shown = line[:40].decode(errors="backslashreplace")
        raise Malformed("FILE", shown, f"expected a bundle, which begins with its format, {FORMAT}")
    try:
        fields = _parse_line(line, _HEAD)
        first, last = fields["first"], fields["last"]
        head = BundleHead(
            sealed=_parse_sealed(fields),
            first=first,
            last=last,
            left=_decode_hashes(fields["left"]),
            right=_decode_hashes(fields["right"]),
            earlier=tuple(map(_parse_earlier, fields["earlier"])),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # fields may be missing, or of any type
        raise BundleRefused(1, f"the head cannot be read: {_reason(error)}") from None
    size = head.sealed.signed.checkpoint.size
    if not (type(first) is int and type(last) is int and 1 <= first <= last <= size):
        raise BundleRefused(1, f"expected 1 <= first <= last <= {size}, not {first!r} and {last!r}")
    return head


def _reason(error: Exception) -> str:
    return f"{error.parameter}: {error.expected}" if isinstance(error, Malformed) else str(error)


def _decode_hashes(found: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(map(decode_hash, found))


def _parse_sealed(fields: dict[str, Any]) -> Sealed:
    return Sealed(Signed.parse(fields["note"]), tuple(map(VerifierKey.parse, fields["keys"])))


def _parse_earlier(fields: dict[str, Any]) -> EarlierCheckpoint:
    if tuple(fields) != _EARLIER:
        raise ValueError(f"expected an object of {', '.join(_EARLIER)}")
    return EarlierCheckpoint(_parse_sealed(fields), _decode_hashes(fields["proof"]))


def _run_check(work: Callable[[], None], line: int, message: str) -> None:
    try:
        work()
    except ValueError:
        raise BundleRefused(line, message) from None


def _check_row(line: bytes, number: int, position: int) -> bytes:
    """Check an event's line on its own, and give the hash of its leaf."""
    try:
        fields = _parse_line(line, (*_COLUMNS, "leaf"))
        leaf = leaf_hash(canonical_bytes(StoredRow._make((*map(fields.get, _COLUMNS), b""))))
    except (ValueError, TypeError) as error:
        raise BundleRefused(number, f"the line cannot be read: {error}", position) from None
    if fields["position"] != position:
        wrong = f"the event of position {fields['position']!r} stands here: one is missing, twice there or misplaced"
        raise BundleRefused(number, wrong, position)
    if fields["leaf"] != leaf.hex():
        raise BundleRefused(number, "the event is not the one that its hash was computed of: it was altered", position)
    return leaf


# Signatures


def _check_signatures(head: BundleHead, trusted: Sequence[VerifierKey]) -> list[str]:
    """Check every signature; gives the trusted keys that signed, and the keys they handed over to."""
    trust = Trust(key for key in trusted if key.kind is Kind.NOTE)
    has_log_key = bool(trust.keys)
    for one in head.earlier:
        _check_earlier(one, head)
        _trusted_signers(trust, one.sealed)
    _check_keys(head.sealed)
    signed_by = [key.short for key in _trusted_signers(trust, head.sealed)]
    checkpoint = head.sealed.signed.checkpoint
    if has_log_key and not signed_by:
        by = ", ".join(key.short for key in head.sealed.keys)
        raise BundleRefused(1, f"checkpoint {checkpoint.number} is signed by {by}, and by no key that you trust")
    for key in trusted:
        if key.kind is Kind.WITNESS:
            if key not in head.sealed.keys:
                raise BundleRefused(1, f"checkpoint {checkpoint.number} is not cosigned by {key.short}")
            signed_by.append(key.short)
    if not signed_by:
        raise Malformed("key", "", "expected a public key that you trust")
    return signed_by


def _trusted_signers(trust: Trust, sealed: Sealed) -> Sequence[VerifierKey]:
    try:
        return list(trust.signers(sealed.signed))
    except ValueError as error:
        raise BundleRefused(1, f"checkpoint {sealed.signed.checkpoint.number}: {error}") from None


def _check_keys(sealed: Sealed) -> None:
    """Check that each signature was made by the key that is listed for it."""
    note, number = sealed.signed.note, sealed.signed.checkpoint.number
    if len(sealed.keys) != len(note.signatures):
        raise BundleRefused(1, f"checkpoint {number}: expected a key for each signature")
    for key, signature in zip(sealed.keys, note.signatures, strict=True):
        if not signature.is_by(key) or not key.verify(note.text, signature.signature):
            raise BundleRefused(1, f"checkpoint {number}: the signature by {signature.name} is wrong")


def _check_earlier(one: EarlierCheckpoint, head: BundleHead) -> None:
    _check_keys(one.sealed)
    before, after = one.sealed.signed.checkpoint, head.sealed.signed.checkpoint
    same_log = before.ledger_id == after.ledger_id and before.number < after.number
    if not same_log or not is_consistent(before.size, after.size, before.root, after.root, one.proof):
        raise BundleRefused(1, f"checkpoint {after.number} does not go on from checkpoint {before.number}")
