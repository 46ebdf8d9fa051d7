"""The tour: what a newcomer sees."""

from pathlib import Path

import pytest

from holdbook.infrastructure.cli import tour
from support.cli import call, run

STEPS = ["pools", "grants", "contention", "refusals", "retry", "expiry", "release", "history", "verification", "next"]


@pytest.fixture(scope="module")
def steps() -> dict[str, dict[str, object]]:
    """What the tour tells programs."""
    return {step["step"]: step for step in call("demo", "--json").ends(0).lines}


def test_the_tour_runs_without_terminal_and_leaves_nothing(tmp_path: Path) -> None:
    """A process without terminal, home or database shows the whole tour, and no file stays behind."""
    done = run("demo", env={"TMPDIR": str(tmp_path), "HOME": "/nonexistent"}, cwd=tmp_path, stdin=None).ends(0)
    assert done.err == ""
    assert [line for line in done.out.splitlines() if line[:1].isdigit()][-1] == "10. What to try next"
    assert list(tmp_path.iterdir()) == []


def test_the_tour_has_its_steps(steps: dict[str, dict[str, object]]) -> None:
    """Programs get one line a step."""
    assert list(steps) == STEPS
    assert [step["number"] for step in steps.values()] == list(range(1, 11))


def test_the_race_grants_what_is_free_and_no_more(steps: dict[str, dict[str, object]]) -> None:
    """Eight ask, three are free, three get one."""
    race = steps["contention"]
    assert (race["asked"], race["free"]) == (8, 3)
    assert len(race["granted"]) == 3  # type: ignore[arg-type]  # a list


def test_the_refusals_are_of_both_kinds(steps: dict[str, dict[str, object]]) -> None:
    """One that stays as it is, one that may be lifted."""
    refusals: list[dict[str, object]] = steps["refusals"]["refusals"]  # type: ignore[assignment]  # that is its shape
    assert [(one["code"], one["transient"]) for one in refusals] == [
        ("above_max_size", False),
        ("pool_exhausted", True),
    ]


def test_the_hold_that_lapsed_makes_room(steps: dict[str, dict[str, object]]) -> None:
    """An expiry, a repeat that doubles nothing, a log that verifies."""
    assert steps["expiry"]["expired"] == ["notebook"]
    assert steps["retry"]["repeated"] is True
    assert steps["verification"]["ok"] is True


def test_the_commands_to_try_next_are_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever types what the tour recommends, in order, meets no error but the refusal that is meant."""
    monkeypatch.chdir(tmp_path)
    codes = {command: call(*command.split()[1:]).code for command, _ in tour.NEXT}
    assert [command for command, code in codes.items() if code] == ["holdbook allocate gpu=7 --owner me --dry-run"]
