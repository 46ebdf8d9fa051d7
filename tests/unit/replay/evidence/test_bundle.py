"""Bundles: what is proven, and that nothing in them can be changed."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from pydantic_core import to_json

from holdbook import Malformed
from holdbook.domain.records import canonical_bytes
from holdbook.replay.evidence import bundle
from holdbook.replay.evidence.bundle import (
    BundleHead,
    BundleRefused,
    EarlierCheckpoint,
    Proven,
    Sealed,
    row_line,
    verify_bundle,
)
from holdbook.replay.evidence.merkle import leaf_hash
from support.sealing import (
    NEW,
    OLD,
    OTHER,
    WITNESS,
    sealed,
    signed,
    story_bundle,
    story_checkpoint,
    story_leaves,
    story_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdbook.replay.evidence.notes import SignerKey

SIZE = 36
"""Rows of the story."""


def verified(lines: Sequence[bytes], *trusted: SignerKey) -> Proven:
    """Verify a bundle."""
    return verify_bundle(BytesIO(b"".join(lines)), [one.verifier for one in trusted or (OLD,)])


def refused(lines: Sequence[bytes], *trusted: SignerKey) -> tuple[int, int | None, str]:
    """Verify a bundle that is wrong: the line and the position that are named, and what is said."""
    with pytest.raises(BundleRefused) as caught:
        verified(lines, *trusted)
    return caught.value.line, caught.value.position, str(caught.value)


def head_with(lines: Sequence[bytes], **fields: Any) -> list[bytes]:  # noqa: ANN401 - whatever JSON holds
    """Change fields of a bundle's head, written as it should be."""
    return [to_json({**json.loads(lines[0]), **fields}) + b"\n", *lines[1:]]


class TestProven:
    """What verifies."""

    @pytest.mark.parametrize(("first", "last"), [(1, SIZE), (1, 1), (7, 12), (SIZE, SIZE)])
    def test_any_range(self, first: int, last: int) -> None:
        """Any range of events is proven by a checkpoint over them, and by a later one's tree beside it."""
        proven = verified(story_bundle(first, last, story_checkpoint(SIZE, 1)))
        assert (proven.first, proven.last, proven.events) == (first, last, last - first + 1)
        assert (proven.checkpoint.number, proven.checkpoint.size) == (1, SIZE)
        assert (proven.signed_by, proven.others, proven.earlier) == ((OLD.verifier.short,), (), ())

    def test_progress(self) -> None:
        """Whoever waits is told how far it is."""
        told: list[tuple[int, int]] = []
        source = BytesIO(b"".join(story_bundle(3, 5, story_checkpoint(SIZE, 1))))
        verify_bundle(source, [OLD.verifier], lambda done, total: told.append((done, total)))
        assert told == [(1, 3), (2, 3), (3, 3)]

    def test_key_that_was_handed_over(self) -> None:
        """Whoever trusts the old key takes a bundle that only the new one signed, by the checkpoint that named it."""
        handover = story_checkpoint(20, 2, OLD, NEW, key=NEW)
        lines = story_bundle(1, 3, story_checkpoint(SIZE, 3, NEW), handover)
        proven = verified(lines, OLD)
        assert (proven.signed_by, proven.earlier) == ((NEW.verifier.short,), (2,))
        assert verified(lines, NEW).signed_by == (NEW.verifier.short,)

    def test_witness(self) -> None:
        """A witness's key that is given must have cosigned; one that is not is mentioned."""
        cosigned = story_bundle(1, 3, story_checkpoint(SIZE, 1, OLD, WITNESS))
        assert verified(cosigned, OLD).others == (WITNESS.verifier.short,)
        assert verified(cosigned, OLD, WITNESS).signed_by == (OLD.verifier.short, WITNESS.verifier.short)
        assert verified(cosigned, WITNESS).signed_by == (WITNESS.verifier.short,)
        alone = story_bundle(1, 3, story_checkpoint(SIZE, 1))
        assert refused(alone, OLD, WITNESS)[2] == f"line 1: checkpoint 1 is not cosigned by {WITNESS.verifier.short}"


class TestFlippedBits:
    """No bit is free."""

    def test_every_byte(self) -> None:
        """With one bit of any byte flipped, a bundle is refused, and the line that holds it is named."""
        handover = story_checkpoint(20, 2, OLD, NEW, key=NEW)
        lines = story_bundle(5, 6, story_checkpoint(SIZE, 3, NEW, WITNESS), handover)
        data = b"".join(lines)
        ends = [len(lines[0]), len(lines[0]) + len(lines[1])]
        for at in range(len(data)):
            flipped = bytearray(data)
            flipped[at] ^= 1 << (at * 5 + 3) % 8
            line = 1 + sum(at >= end for end in ends)
            try:
                verify_bundle(BytesIO(flipped), [OLD.verifier])
            except BundleRefused as error:
                # A line that does not end any more goes on into the next, and the last into the end of the file.
                assert (error.line, error.position) in {(line, None if line == 1 else line + 3), (line, None)}, at  # noqa: PT017 - which line is the claim
            except Malformed:
                assert at < len('{"format":"holdbook-bundle-1"'), at
            else:
                pytest.fail(f"byte {at} was flipped: {flipped[at - 20 : at + 20]!r}")


class TestRefused:
    """What does not verify."""

    @pytest.fixture
    def lines(self) -> list[bytes]:
        """A bundle of the positions 5 to 9: lines 2 to 6."""
        return story_bundle(5, 9, story_checkpoint(SIZE, 1))

    def test_altered_event(self, lines: list[bytes]) -> None:
        """An event with a field altered is refused, by its line and its position."""
        lines[3] = lines[3].replace(b"teller", b"nobody") if b"teller" in lines[3] else lines[3].replace(b"a1", b"a7")
        line, position, message = refused(lines)
        assert (line, position) == (4, 7)
        assert message == "line 4, position 7: the event is not the one that its hash was computed of: it was altered"

    def test_altered_event_with_its_hash(self, lines: list[bytes]) -> None:
        """An event that was altered together with its hash leads to another root than the signed one."""
        row = story_rows()[1][6]._replace(actor="nobody")
        lines[3] = row_line(row)
        assert refused(lines)[2].startswith(
            "line 1: the events from position 5 to 9 are not those that checkpoint 1 was"
        )

    @pytest.mark.parametrize(
        ("change", "line", "position", "message"),
        [
            (lambda lines: lines[:-1], 6, 9, "the file ends here; its events go on to position 9"),
            (lambda lines: lines[:1], 2, 5, "the file ends here"),
            (lambda lines: [*lines, lines[-1]], 7, None, "something follows the last event, which is at position 9"),
            (lambda lines: [*lines, b"\n"], 7, None, "something follows"),
            (lambda lines: [*lines, b"x"], 7, None, "the line does not end"),
            (lambda lines: [*lines[:3], *lines[4:]], 4, 7, "the event of position 8 stands here"),
            (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4, 7, "the event of position 6 stands here"),
            (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2, 5, "the event of position 6 stands here"),
            (lambda lines: [lines[0], lines[1][:-1]], 2, None, "the line does not end: the file was cut off"),
            (lambda lines: [lines[0], b" " + lines[1]], 2, 5, "it is not written as a bundle's lines are"),
            (lambda lines: [lines[0], lines[1][:-2] + b',"more":1}\n'], 2, 5, "expected an object of position,"),
            (lambda lines: [lines[0], b"[]\n"], 2, 5, "expected an object of position,"),
            (lambda lines: [lines[0], lines[1].replace(b'"version":', b'"version":1')], 2, 5, "it was altered"),
            (
                lambda lines: [lines[0], lines[1].replace(b'"schema_version":1', b'"schema_version":1.0')],
                2,
                5,
                "whole numbers",
            ),
            (lambda lines: [lines[0], b"{nonsense\n"], 2, 5, "the line cannot be read"),
            (lambda lines: [lines[0], b"\xff\n"], 2, 5, "the line cannot be read"),
            (lambda lines: [lines[0], b"[" * 100_000 + b"\n"], 2, 5, "the line cannot be read"),
        ],
    )
    def test_lines(
        self,
        lines: list[bytes],
        change: Callable[[list[bytes]], list[bytes]],
        line: int,
        position: int | None,
        message: str,
    ) -> None:
        """Lines that are missing, twice there, moved, cut or otherwise written are refused by line and position."""
        found = refused(change(lines))
        assert found[:2] == (line, position)
        assert message in found[2]

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"first": 6}, "left: hashes too many or too few"),
            ({"last": 10}, "the file ends here"),
            ({"last": 8}, "something follows"),
            ({"first": 0}, "expected 1 <= first <= last <= 36, not 0 and 9"),
            ({"last": 37}, "expected 1 <= first <= last <= 36"),
            ({"last": 2**70}, "expected 1 <= first <= last <= 36"),
            ({"first": True}, "expected 1 <= first"),
            ({"first": "5"}, "expected 1 <= first"),
            ({"left": []}, "left: hashes too many or too few"),
            ({"right": []}, "right: hashes too many or too few"),
            ({"left": ["A" * 44] * 30}, "the head cannot be read"),
            ({"left": 7}, "the head cannot be read"),
            ({"note": "nonsense"}, "the head cannot be read: note: expected a signed note"),
            ({"note": 7}, "the head cannot be read"),
            ({"keys": []}, "checkpoint 1: expected a key for each signature"),
            ({"keys": [str(OTHER.verifier)]}, "checkpoint 1: the signature by o is wrong"),
            ({"keys": [str(OLD.verifier)] * 2}, "checkpoint 1: expected a key for each signature"),
            ({"earlier": [{}]}, "the head cannot be read: expected an object of note, keys, proof"),
            ({"more": 1}, "the head cannot be read: expected an object of format,"),
        ],
    )
    def test_heads(self, lines: list[bytes], fields: dict[str, Any], message: str) -> None:
        """A head that is not as it should be, however well it is written, is refused."""
        assert message in refused(head_with(lines, **fields))[2]

    @pytest.mark.parametrize(
        "data", [b"", b"\n", b"\x00", b"{}\n", b'{"format":"holdbook-bundle-2"}\n', b"PK\x03\x04\n"]
    )
    def test_files_that_are_none(self, data: bytes) -> None:
        """A file that is no bundle is told apart from one that is wrong."""
        with pytest.raises((Malformed, BundleRefused)) as caught:
            verify_bundle(BytesIO(data), [OLD.verifier])
        assert isinstance(caught.value, Malformed) is (data != b"\x00")

    def test_a_line_that_never_ends(self, lines: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        """A line is read up to a length, and no further: memory stays bounded."""
        monkeypatch.setattr(bundle, "LINE_BYTES_MAX", 1500)
        assert refused([lines[0], b"x" * 5000])[2] == (
            "line 2: the line does not end: the file was cut off, or the line is too long"
        )


class TestSignatures:
    """Who must have signed."""

    def test_nobody_is_trusted(self) -> None:
        """Without a public key that is trusted, nothing is verified."""
        with pytest.raises(Malformed, match="expected a public key that you trust"):
            verify_bundle(BytesIO(b"".join(story_bundle(1, 3, story_checkpoint(SIZE, 1)))), [])

    def test_a_stranger(self) -> None:
        """A bundle that somebody else has signed is refused, naming who."""
        message = refused(story_bundle(1, 3, story_checkpoint(SIZE, 1, OTHER)))[2]
        assert message == f"line 1: checkpoint 1 is signed by {OTHER.verifier.short}, and by no key that you trust"

    def test_a_handover_without_its_checkpoint(self) -> None:
        """The new key alone is not trusted by whoever trusts the old one."""
        assert "by no key that you trust" in refused(story_bundle(1, 3, story_checkpoint(SIZE, 3, NEW)), OLD)[2]

    def test_a_handover_that_the_successor_did_not_sign(self) -> None:
        """A checkpoint that names a key which has not signed it is refused."""
        lines = story_bundle(1, 3, story_checkpoint(SIZE, 3, NEW), story_checkpoint(20, 2, OLD, key=NEW))
        assert "checkpoint 2: it names n+" in refused(lines)[2]

    def test_another_history(self) -> None:
        """An earlier checkpoint that this log does not go on from is refused, and so is one that is not earlier."""
        checkpoint = story_checkpoint(SIZE, 3)
        other = signed([bytes(32)] * 20, 2, ledger_id=story_rows()[0])
        foreign = signed(story_leaves()[:20], 2, ledger_id="another")
        for before in (other, foreign, story_checkpoint(20, 3)):
            message = refused(story_bundle(1, 3, checkpoint, before))[2]
            assert message == f"line 1: checkpoint 3 does not go on from checkpoint {before.checkpoint.number}"

    def test_a_key_that_is_not_known(self) -> None:
        """Of a checkpoint whose signer's key is not known, no bundle is made."""
        with pytest.raises(ValueError, match="the key of the signature by a is not known"):
            Sealed.of(story_checkpoint(SIZE, 1, OTHER), [OLD.verifier])

    def test_written_as_it_is_read(self) -> None:
        """The head says what it was made of."""
        before = EarlierCheckpoint(sealed(story_checkpoint(20, 2)), (bytes(32),))
        fields = json.loads(BundleHead(sealed(story_checkpoint(SIZE, 3)), 1, 2, (), (bytes(32),), (before,)).line)
        assert list(fields) == ["format", "note", "keys", "first", "last", "left", "right", "earlier"]
        assert list(fields["earlier"][0]) == ["note", "keys", "proof"]
        row = story_rows()[1][0]
        assert json.loads(row_line(row)) == {
            **{name: value for name, value in row._asdict().items() if name != "hash"},
            "leaf": leaf_hash(canonical_bytes(row)).hex(),
        }
