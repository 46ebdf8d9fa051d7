"""The hook that `make` installs refuses a commit whose subject is not the house's, and lets any other pass."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = (
    ".pre-commit-config.yaml",
    "Makefile",
    "pyproject.toml",
    "requirements/dev.txt",
    "requirements/run.txt",
    "tests/support/commit_subject.py",
)
"""The files of the repository that take part."""

pytestmark = pytest.mark.untraced  # what runs is Git, make and pre-commit


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of the files that take part, whose development set counts as installed."""
    folder = tmp_path / "tree"
    for name in NEEDED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "pre-commit").symlink_to(Path(sys.executable).parent / "pre-commit")
    (folder / ".venv" / ".run").touch()
    (folder / ".venv" / ".project").touch()
    return folder


def run(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a tree, with no settings but its own, and a home beside it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "MAKE"))}
    environment |= {"HOME": str(tree.parent), "PRE_COMMIT_HOME": str(tree.parent / "cache"), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        command, cwd=tree, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def make_repository(tree: Path) -> None:
    """Make a repository of a tree."""
    for setting in ("init.defaultBranch main", "user.name Ann", "user.email ann@example.org"):
        assert run(tree, "git", "config", "--global", *setting.split()).returncode == 0
    assert run(tree, "git", "init", "--quiet").returncode == 0


def make_set(tree: Path) -> subprocess.CompletedProcess[str]:
    """Have `make` do what comes before lint and tests, all but the installing."""
    return run(tree, "make", "--silent", ".venv/.dev", "PIP=true")


def commit(tree: Path, message: str) -> subprocess.CompletedProcess[str]:
    """Commit nothing."""
    return run(tree, "git", "commit", "--allow-empty", "--message", message)


def test_the_hook_checks_subjects(tree: Path) -> None:
    """A message with a fault is refused, with what to do about it; without the fault it passes."""
    make_repository(tree)
    assert make_set(tree).returncode == 0
    refused = commit(tree, "Named the pools.")
    assert refused.returncode != 0
    assert "ends with a full stop" in refused.stdout
    assert "repeat your command with: --edit --file=.git/COMMIT_EDITMSG" in refused.stdout
    assert commit(tree, "Name the pools").returncode == 0
    assert run(tree, "git", "log", "--format=%s").stdout == "Name the pools\n"


def test_a_branch_without_the_hook_s_configuration_is_left_alone(tree: Path) -> None:
    """The hook is every branch's, also of those that are older than it."""
    make_repository(tree)
    assert make_set(tree).returncode == 0
    (tree / ".pre-commit-config.yaml").unlink()
    assert commit(tree, "named the pools").returncode == 0


@pytest.mark.parametrize("place", ["no repository", "hooks elsewhere", "hooks that cannot be written"])
def test_make_goes_on_where_the_hook_cannot_be_installed(tree: Path, place: str) -> None:
    """What comes after the hook does not need it, and is not told of it."""
    if place != "no repository":
        make_repository(tree)
    if place == "hooks elsewhere":
        run(tree, "git", "config", "core.hooksPath", str(tree.parent / "hooks"))
    if place == "hooks that cannot be written":
        shutil.rmtree(tree / ".git" / "hooks", ignore_errors=True)
        (tree / ".git" / "hooks").touch()
    done = make_set(tree)
    assert (done.returncode, done.stdout) == (0, "")
    assert (tree / ".venv" / ".dev").exists()


def test_make_clean_takes_the_hook_away(tree: Path) -> None:
    """`make clean` removes the hook with the rest of what `make` made, and restores one that was there before."""
    make_repository(tree)
    own = tree / ".git" / "hooks" / "commit-msg"
    own.parent.mkdir(exist_ok=True)
    own.write_text("#!/bin/sh\n")
    own.chmod(0o700)
    assert make_set(tree).returncode == 0
    assert commit(tree, "named the pools").returncode != 0
    assert run(tree, "make", "--silent", "clean").returncode == 0
    assert own.read_text() == "#!/bin/sh\n"
    assert commit(tree, "named the pools").returncode == 0
