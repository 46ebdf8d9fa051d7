"""What the hook says of the messages of commits."""

from pathlib import Path

import pytest

from support.commit_subject import NO_VERBS, SUBJECT_MAX, VERBS, faults, main

LONGEST = "Name " + "x" * (SUBJECT_MAX - 5)


@pytest.mark.parametrize(
    "message",
    [
        "Name the pools",
        "Name the pools\n",
        "Name the pools\n\nThey had none. Nobody could tell them apart.\n",
        "Name the pools\n\n\nThe body begins later.\n\nAnd has a second paragraph.",
        LONGEST,
        "Say what a pool is, does and gives",
        "Pass the pool on",
        "Process events in order",
        "Address what the review found",
        "Embed the page",
        "Need a token to release",
        "Bring the views up to date",
        "Focus on the pool's own time",
        "Fix: keep the queue in order",
        "Re-read the log after a fork",
        "Édit pages",
        'Revert "Name the pools"',
        "Merge the two ledgers into one",
        "\n\nName the pools",
        "# a comment\nName the pools\n# another one\n\n# one more\nThe body.",
        "Name the pools\n# ------------------------ >8 ------------------------\ndiff --git a/a b/a\n+a",
    ],
)
def test_a_message_of_the_house_passes(message: str) -> None:
    """An imperative of at most 72 characters, alone or with a body below a blank line, passes."""
    assert faults(message) == []


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("", "there is no message: say in one line"),
        ("\n# only\n# comments\n", "there is no message: say in one line"),
        (f"{LONGEST}x", "has 73 characters: say it in 72, and the rest in the body"),
        ("name the pools", "begins with 'n': begin it with a capital letter"),
        ("`make` it", "begins with '`': begin it with a capital letter"),
        ("Name the pools.", "ends with a full stop: leave that out"),
        ("Name the pools.  \n", "ends with a full stop: leave that out"),
        ("Named the pools", "begins with 'Named': begin it with what the commit does"),
        ("Naming the pools", "begins with 'Naming': begin it with what the commit does"),
        ("Names the pools", "begins with 'Names': begin it with what the commit does"),
        ("Docs: name the pools", "begins with 'Docs': begin it with what the commit does"),
        ("The pools have names", "begins with 'The': begin it with what the commit does"),
        ("A pool has a name", "begins with 'A': begin it with what the commit does"),
        ("It has a name", "begins with 'It': begin it with what the commit does"),
        ("Two pools have names", "begins with 'Two': begin it with what the commit does"),
        ("2 pools have names", "begins with '2': begin it with what the commit does"),
        ('"Named" pools', "begins with 'Named': begin it with what the commit does"),
        ("Name the pools\nThey had none.", "the second line is 'They had none.': leave it blank"),
        ("Merge branch 'names' into main", "is a merge: undo it"),
        ("Merge remote-tracking branch 'origin/main'", "is a merge: undo it"),
        ("Merge pull request #1 from ann/names", "is a merge: undo it"),
        ("WIP", "is not meant to stay: say what the commit does"),
        ("wip: name the pools", "is not meant to stay: say what the commit does"),
        ("[WIP] Name the pools", "is not meant to stay: say what the commit does"),
        ("fixup! Name the pools", "is not meant to stay: say what the commit does"),
        ("squash! Name the pools", "is not meant to stay: say what the commit does"),
        ("amend! Name the pools", "is not meant to stay: say what the commit does"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(message: str, fault: str) -> None:
    """Each fault is named, and what to do about it."""
    assert fault in "\n".join(faults(message))


def test_all_faults_are_said_at_once() -> None:
    """Whoever puts a message right need not try four times."""
    assert len(faults(f"named {'x' * SUBJECT_MAX}.\nAnd so on.")) == 5


@pytest.mark.parametrize("word", sorted(VERBS))
def test_the_list_of_verbs_has_none_that_would_pass_without_it(word: str) -> None:
    """A verb is on the list because its ending is that of another form."""
    assert word.endswith(("ing", "ed", "s"))
    assert faults(f"{word.capitalize()} the pools") == []


def test_no_word_is_on_both_lists() -> None:
    """A word is a verb or none."""
    assert VERBS.isdisjoint(NO_VERBS)


def test_the_program_tells_the_committer_what_to_do(tmp_path: Path) -> None:
    """The program says what is wrong with the message in a file and how to go on with it, or nothing."""
    path = tmp_path / "COMMIT_EDITMSG"
    path.write_text("Named the pools\n")
    said = main(path)
    assert said is not None
    assert said.startswith("- the subject begins with 'Named'")
    assert said.endswith(f"repeat your command with: --edit --file={path}")
    path.write_text("Name the pools\n")
    assert main(path) is None


def test_a_message_that_is_no_utf_8_is_checked_all_the_same(tmp_path: Path) -> None:
    """Characters of another encoding are no reason to stop with a traceback."""
    path = tmp_path / "COMMIT_EDITMSG"
    path.write_bytes("Name the caf\u00e9s\n".encode("latin-1"))
    assert main(path) is None
