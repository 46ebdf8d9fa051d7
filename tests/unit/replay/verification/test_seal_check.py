"""Checkpoints beside the rows: which kind of harm is found, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdbook.replay.evidence.checkpoints import Signed
from holdbook.replay.evidence.merkle import leaf_hash
from holdbook.replay.evidence.notes import Note
from holdbook.replay.verification.findings import Check, Finding, Findings, Harm, SealsChecked
from holdbook.replay.verification.seal_check import NOT_SEALED, SealCheck, SealEvidence
from support.sealing import LEDGER_ID, NEW, OLD, OTHER, MemorySeals, signed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdbook.replay.evidence.notes import SignerKey, VerifierKey

ROWS = {position: b"row %d" % position for position in range(1, 13)}
"""Canonical bytes of the rows of a log, by position."""

LEAVES = list(map(leaf_hash, ROWS.values()))


def checkpoints(*by: SignerKey) -> list[Signed]:
    """Sign over the first 3, 7 and 12 rows."""
    return [signed(LEAVES[:size], number, *by) for number, size in ((1, 3), (2, 7), (3, 12))]


def found(
    seals: MemorySeals,
    rows: Mapping[int, bytes | None] = ROWS,
    *,
    trusted: Sequence[SignerKey] = (),
    kept: Sequence[Signed] = (),
) -> tuple[list[tuple[int | None, str]], SealsChecked | None]:
    """Check a log: the findings' positions and messages, and what was compared."""
    findings = Findings()
    check = SealCheck(SealEvidence(seals, check_keys(trusted), kept), findings, LEDGER_ID)
    for position, canonical in rows.items():
        check.add_row(position, canonical)
    compared = check.end(max(rows, default=0))
    assert {one.check for one in findings.in_order()} <= {Check.SEALS}
    for size in (1, 4, 20):
        assert in_pages(SealEvidence(seals, check_keys(trusted), kept), rows, size) == (findings.in_order(), compared)
    return [(one.position, one.message) for one in findings.in_order()], compared


def check_keys(keys: Sequence[SignerKey]) -> list[VerifierKey]:
    """Give the public keys."""
    return [one.verifier for one in keys]


def in_pages(
    sealing: SealEvidence, rows: Mapping[int, bytes | None], size: int
) -> tuple[Sequence[Finding], SealsChecked | None]:
    """Check a log in pages of so many rows, each of them of rows that follow each other: what is found and compared."""
    findings = Findings()
    check = SealCheck(sealing, findings, LEDGER_ID)
    waiting: list[tuple[int, bytes]] = []

    def turn() -> None:
        if waiting:
            check.add_page(waiting[0][0], [text for _, text in waiting])
            waiting.clear()

    for position, canonical in rows.items():
        if len(waiting) == size or (waiting and waiting[-1][0] != position - 1) or canonical is None:
            turn()
        if canonical is None:
            check.add_row(position, None)
        else:
            waiting.append((position, canonical))
    turn()
    compared = check.end(max(rows, default=0))
    return findings.in_order(), compared


def messages(*arguments: object, **options: object) -> list[str]:
    """Check a log: what is said."""
    return [message for _, message in found(*arguments, **options)[0]]  # type: ignore[arg-type]  # as they are given


def altered(*positions: int) -> dict[int, bytes | None]:
    """Give the rows, some of them altered."""
    return {position: b"altered" if position in positions else row for position, row in ROWS.items()}


class TestSound:
    """What is as it was signed."""

    def test_whole(self) -> None:
        """A log that is what its checkpoints say has no findings; by whose keys that is so is told."""
        assert found(MemorySeals(checkpoints(), LEAVES)) == (
            [],
            SealsChecked(3, 12, (OLD.verifier.short,), trusted=False),
        )
        assert found(MemorySeals(checkpoints(), LEAVES), trusted=[OLD]) == (
            [],
            SealsChecked(3, 12, (OLD.verifier.short,), trusted=True),
        )

    def test_not_sealed(self) -> None:
        """Where nothing is sealed, nothing is compared, and nothing is wrong."""
        assert found(MemorySeals([], [])) == ([], None)
        findings = Findings()
        check = SealCheck(NOT_SEALED, findings, LEDGER_ID)
        check.add_row(1, b"row")
        assert (check.end(1), findings.in_order()) == (None, [])

    def test_more_rows_than_were_signed(self) -> None:
        """What was recorded after the last checkpoint is not compared."""
        rows = {**ROWS, 13: b"new", 14: b"newer"}
        assert found(MemorySeals(checkpoints(), LEAVES), rows)[0] == []

    def test_no_stored_tree(self) -> None:
        """The roots are compared without the stored tree, which can be made again."""
        assert found(MemorySeals(checkpoints(), []))[0] == []

    def test_as_dict(self) -> None:
        """A report says it in JSON values."""
        _, compared = found(MemorySeals(checkpoints(), LEAVES))
        assert compared is not None
        assert compared.as_dict() == {"checkpoints": 3, "size": 12, "keys": [OLD.verifier.short], "trusted": False}


class TestRows:
    """Rows that are not those that were signed."""

    def test_altered(self) -> None:
        """An altered row is named, as the stored tree has the hash that was signed; what follows is compared on."""
        positions, _ = found(MemorySeals(checkpoints(), LEAVES), altered(5, 6, 11))
        assert positions == [
            (5, "this is not the event that checkpoint 2 was signed over"),
            (11, "this is not the event that checkpoint 3 was signed over"),
        ]

    def test_nonsense(self) -> None:
        """A row that no log has written is named like one that was altered."""
        positions, _ = found(MemorySeals(checkpoints(), LEAVES), {**ROWS, 5: None})
        assert positions == [(5, "this is not the event that checkpoint 2 was signed over")]

    def test_missing(self) -> None:
        """Rows that are missing are named by the first; those after them keep their places."""
        rows = {position: row for position, row in ROWS.items() if position not in (5, 6)}
        assert found(MemorySeals(checkpoints(), LEAVES), rows)[0] == [
            (5, "this is not the event that checkpoint 2 was signed over")
        ]

    def test_twice_there(self) -> None:
        """A position that comes twice, or below 1, changes nothing here; others say what is wrong with it."""
        findings = Findings()
        check = SealCheck(SealEvidence(MemorySeals(checkpoints(), LEAVES)), findings, LEDGER_ID)
        for position in (-3, 0, 1, 1, 2, 2, 3):
            check.add_row(position, ROWS.get(position, b""))
        assert findings.in_order() == []

    def test_altered_with_the_whole_tree(self) -> None:
        """If the stored tree was altered with the row, the range since the last good checkpoint is named, once."""
        seals = MemorySeals(checkpoints(), LEAVES)
        seals.stored[4] = leaf_hash(b"altered")
        assert found(seals, altered(5, 11))[0] == [
            (4, "the events from position 4 to 7 are not those that checkpoint 2 was signed over")
        ]

    def test_altered_with_the_lowest_level_of_the_tree(self) -> None:
        """If only the stored leaf was altered with the row, the range is named, and the rest is compared on."""
        seals = MemorySeals(checkpoints(), LEAVES)
        seals.top = list(LEAVES)
        seals.stored[4] = leaf_hash(b"altered")
        assert [position for position, _ in found(seals, altered(5, 11))[0]] == [4, 11]

    def test_altered_tree(self) -> None:
        """If only the stored tree was altered, it is said that the rows are right."""
        seals = MemorySeals(checkpoints(), LEAVES)
        seals.stored[4] = bytes(32)
        ((position, message),) = found(seals)[0]
        assert position == 5
        assert message.startswith("the stored tree has another hash here than the event, which is as it was signed")

    def test_altered_without_a_tree(self) -> None:
        """Without a stored tree the range is named."""
        assert found(MemorySeals(checkpoints(), []), altered(2))[0] == [
            (1, "the events from position 1 to 3 are not those that checkpoint 1 was signed over")
        ]

    def test_cut_tail(self) -> None:
        """A log with fewer rows than a checkpoint was signed over has lost its end."""
        rows = {position: ROWS[position] for position in range(1, 6)}
        assert found(MemorySeals(checkpoints(), LEAVES), rows)[0] == [
            (None, "the log's end was cut off: it has 5 events, and checkpoint 3 was signed over 12 events")
        ]
        assert found(MemorySeals(checkpoints(), LEAVES), {})[0][0][1].startswith("the log's end was cut off: it has 0")

    def test_cut_tail_behind_a_checkpoint_kept_outside(self) -> None:
        """If the checkpoints were cut off as well, one that was kept outside tells."""
        rows = {position: ROWS[position] for position in range(1, 4)}
        assert messages(MemorySeals(checkpoints()[:1], LEAVES[:3]), rows, kept=[checkpoints()[2]]) == [
            "checkpoint 2 is missing",
            "checkpoint 3 is missing, and was kept outside",
            "the log's end was cut off: it has 3 events, and checkpoint 3 was signed over 12 events",
        ]


class TestCheckpoints:
    """Checkpoints that are not as they were signed."""

    @pytest.mark.parametrize(
        ("gone", "said"),
        [
            ((1,), ["checkpoint 1 is missing"]),
            ((2,), ["checkpoint 2 is missing"]),
            ((1, 2), ["checkpoints 1 to 2 are missing"]),
        ],
    )
    def test_missing(self, gone: tuple[int, ...], said: list[str]) -> None:
        """A number that is missing is named; the others are compared all the same."""
        some = [one for one in checkpoints() if one.checkpoint.number not in gone]
        assert messages(MemorySeals(some, LEAVES)) == said

    def test_missing_and_kept_outside(self) -> None:
        """A missing one that was kept outside is compared, and said to be missing."""
        some = [checkpoints()[0], checkpoints()[2]]
        assert messages(MemorySeals(some, LEAVES), altered(5), kept=[checkpoints()[1]]) == [
            "this is not the event that checkpoint 2 was signed over",
            "checkpoint 2 is missing, and was kept outside",
        ]

    def test_as_it_was_kept_outside(self) -> None:
        """One that is as it was kept outside is no finding; one that is not is, and the kept one is compared."""
        assert messages(MemorySeals(checkpoints(), LEAVES), kept=[checkpoints()[1]]) == []
        other = [*LEAVES[:4], *LEAVES[5:8]]
        stored = [checkpoints()[0], signed(other, 2), checkpoints()[2]]
        assert messages(MemorySeals(stored, LEAVES), kept=[checkpoints()[1]]) == [
            "checkpoint 2 is not the one that was kept outside: one of them is forged"
        ]

    def test_forged_text(self) -> None:
        """A checkpoint whose text was changed is forged: its signature is wrong."""
        one, two, three = checkpoints()
        forged = Signed(two.checkpoint, Note(two.note.text.replace("\n7\n", "\n8\n"), two.note.signatures))
        assert messages(MemorySeals([one, forged, three], LEAVES)) == [
            f"checkpoint 2 is forged: the signature by {OLD.verifier.short} is wrong"
        ]

    def test_forged_signer(self) -> None:
        """A checkpoint that a stranger has signed is forged, whatever it says."""
        assert messages(MemorySeals([checkpoints()[0], *checkpoints(OTHER)[1:]], LEAVES)) == [
            f"checkpoint {number} is forged: it is not signed by a key that is known" for number in (2, 3)
        ]

    def test_of_another_ledger(self) -> None:
        """A checkpoint of another ledger is forged here, though the same key has signed it."""
        stored = [checkpoints()[0], signed(LEAVES[:7], 2, ledger_id="another")]
        assert messages(MemorySeals(stored, LEAVES)) == ["checkpoint 2 is forged: it is of another ledger"]

    def test_a_smaller_one_after_a_larger(self) -> None:
        """A checkpoint over fewer events than one before it is forged: logs grow."""
        stored = [checkpoints()[0], signed(LEAVES[:2], 2)]
        assert messages(MemorySeals(stored, LEAVES)) == [
            "checkpoint 2 is forged: it is over 2 events, one before it over 3"
        ]

    def test_kept_under_another_number(self) -> None:
        """A checkpoint that is kept under another number than its own is forged."""
        seals = MemorySeals(checkpoints(), LEAVES)
        seals.kept[1] = (2, seals.kept[0][1])
        assert messages(seals) == ["checkpoint 2 is forged: it says that it is 1"]

    def test_two_of_one_size(self) -> None:
        """Of two checkpoints over the same number of events, both signed, one is not of this log."""
        stored = [checkpoints()[0], signed(list(reversed(LEAVES[:3])), 2)]
        assert messages(MemorySeals(stored, LEAVES)) == ["checkpoint 2 was signed over other 3 events"]

    def test_nonsense(self) -> None:
        """A checkpoint that cannot be read is named."""
        seals = MemorySeals(checkpoints(), LEAVES)
        seals.kept[1] = (2, "nonsense")
        assert messages(seals) == [
            "checkpoint 2 cannot be read: expected a signed note: text, a blank line, and lines of signature"
        ]


class TestKeys:
    """Keys that come from outside."""

    def test_everything_was_signed_again(self) -> None:
        """If somebody deleted all and signed anew with another key, the trusted key tells; the database's cannot."""
        seals = MemorySeals(checkpoints(OTHER), LEAVES, OTHER)
        assert messages(seals) == []
        assert messages(seals, trusted=[OLD]) == ["no checkpoint is signed by a key that you trust"]

    def test_the_later_ones_were_signed_again(self) -> None:
        """After a checkpoint that a trusted key has signed, another key is forgery, though the database names it."""
        seals = MemorySeals([checkpoints()[0], *checkpoints(OTHER)[1:]], LEAVES, OLD, OTHER)
        assert messages(seals, trusted=[OLD]) == [
            f"checkpoint {number} is forged: it is not signed by a key that you trust" for number in (2, 3)
        ]

    def test_no_checkpoint_at_all(self) -> None:
        """Whoever trusts a key learns that nothing is signed by it, also where nothing is sealed."""
        assert found(MemorySeals([], []), trusted=[OLD]) == (
            [(None, "no checkpoint is signed by a key that you trust")],
            SealsChecked(0, 0, (), trusted=True),
        )

    @pytest.mark.parametrize("trusted", [OLD, NEW])
    def test_handover(self, trusted: SignerKey) -> None:
        """From one key to the next: whoever trusts either finds all in order, the older ones by the database's keys."""
        first, _, last = checkpoints(), None, signed(LEAVES, 3, NEW)
        handover = signed(LEAVES[:3], 2, OLD, NEW, key=NEW)
        seals = MemorySeals([first[0], handover, last], LEAVES, OLD, NEW)
        positions, compared = found(seals, trusted=[trusted])
        assert positions == []
        assert compared is not None
        assert set(compared.keys) == {OLD.verifier.short, NEW.verifier.short}

    def test_the_old_key_after_a_handover(self) -> None:
        """What the old key signs after it has handed over is forged."""
        handover = signed(LEAVES[:7], 2, OLD, NEW, key=NEW)
        seals = MemorySeals([checkpoints()[0], handover, checkpoints()[2]], LEAVES, OLD, NEW)
        assert messages(seals, trusted=[OLD]) == ["checkpoint 3 is forged: it is not signed by a key that you trust"]
        assert messages(seals) == ["checkpoint 3 is forged: it is not signed by a key that is known"]


class TestSince:
    """Beginning behind a checkpoint."""

    def checked(
        self, seals: MemorySeals | None, size: int, rows: Mapping[int, bytes | None]
    ) -> list[tuple[int | None, str]]:
        """Check only rows after a size."""
        findings = Findings()
        check = SealCheck(SealEvidence(seals), findings, LEDGER_ID)
        check.begin(size)
        for position, canonical in rows.items():
            if position > size:
                check.add_row(position, canonical)
        check.end(max(rows))
        return [(one.position, one.message) for one in findings.in_order()]

    def test_sound(self) -> None:
        """The later checkpoints are compared with the stored tree before them and the rows after."""
        for size in (3, 7, 12):
            assert self.checked(MemorySeals(checkpoints(), LEAVES), size, altered(2)) == []

    def test_altered(self) -> None:
        """A row that was altered after it is found; a tree that was altered before it too."""
        seals = MemorySeals(checkpoints(), LEAVES)
        assert self.checked(seals, 7, altered(9)) == [(9, "this is not the event that checkpoint 3 was signed over")]
        seals.stored[1] = bytes(32)
        assert self.checked(seals, 7, ROWS) == [(None, "checkpoint 2 was signed over other 7 events")]

    def test_no_tree(self) -> None:
        """Without the stored tree there is nothing to go on from; where nothing more is sealed, it is not needed."""
        said = "the stored tree over the first 7 events is not there: run `holdbook seal`"
        assert self.checked(MemorySeals(checkpoints(), []), 7, ROWS) == [(None, said)]
        assert self.checked(MemorySeals(checkpoints()[:1], []), 7, ROWS) == []
        assert self.checked(None, 7, ROWS) == []


class TestHarm:
    """What kind of harm a finding shows."""

    def harms(self, seals: MemorySeals, rows: Mapping[int, bytes | None] = ROWS) -> list[Harm]:
        """Check a log: the kinds of harm that are found."""
        findings = Findings()
        check = SealCheck(SealEvidence(seals), findings, LEDGER_ID)
        for position, canonical in rows.items():
            check.add_row(position, canonical)
        check.end(max(rows))
        return [one.harm for one in findings.in_order()]

    def test_kinds(self) -> None:
        """Rows, checkpoints and the stored tree that are not as they were: each has its own name."""
        sound = MemorySeals(checkpoints(), LEAVES)
        assert self.harms(sound, altered(5)) == [Harm.ALTERED]
        assert self.harms(MemorySeals(checkpoints(), []), altered(5)) == [Harm.ALTERED]
        assert self.harms(sound, {position: ROWS[position] for position in range(1, 9)}) == [Harm.CUT_TAIL]
        assert self.harms(MemorySeals(checkpoints()[1:], LEAVES)) == [Harm.MISSING_CHECKPOINT]
        assert self.harms(MemorySeals([*checkpoints()[:2], *checkpoints(OTHER)[2:]], LEAVES)) == [
            Harm.FORGED_CHECKPOINT
        ]
        assert self.harms(MemorySeals(checkpoints(), [bytes(32), *LEAVES[1:]])) == [Harm.TREE]
