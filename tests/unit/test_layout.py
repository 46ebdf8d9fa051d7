"""The packaging facts that are stated more than once agree, and the repository stays free of addresses."""

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from holdbook.infrastructure.schema.revision import HEAD

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "holdbook"
CODE_FOLDERS = {"domain", "projections", "infrastructure", "migrations", "replay"}
FOLDERS = CODE_FOLDERS | {"docs", "requirements", "src", "tests"}
LOCK_FILES = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock"}
INDEX_HOSTS = ("pypi" + ".org", "python" + "hosted.org")  # in halves, or this file would name them
NAMED_PATH = re.compile(rf"`((?:{'|'.join(sorted(FOLDERS))})/[\w./-]*)`")
OLD_NAME = "bur" + "sar"  # in halves for the same reason
INDEX_OPTIONS = ("-i ", "-f ", *(f"--{option}" for option in ("index", "extra-index", "find-links", "trusted-host")))


@cache
def repository_files() -> list[Path]:
    """Return the files that are, or are about to be, in the repository, relative to its root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listing.split("\0") if name and (ROOT / (path := Path(name))).exists()]


@cache
def wheel_target() -> dict[str, Any]:
    """Return the wheel's part of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    target: dict[str, Any] = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    return target


def own_files() -> set[str]:
    """Return the names of the package's own files, beside the links."""
    return {path.name for path in PACKAGE.iterdir() if path.is_file()}


def test_every_code_folder_is_linked_and_nothing_else_is() -> None:
    """`src/holdbook` holds one relative link for each code folder."""
    links = {path.name: path.readlink() for path in PACKAGE.iterdir() if path.is_symlink()}
    assert links == {name: Path("..", "..", name) for name in CODE_FOLDERS}


def test_the_wheel_is_made_of_the_package_s_files_and_the_code_folders() -> None:
    """`only-include` names what `src/holdbook` holds."""
    assert set(wheel_target()["only-include"]) == CODE_FOLDERS | {f"src/holdbook/{name}" for name in own_files()}


def test_the_wheel_puts_every_folder_where_its_link_is() -> None:
    """`sources` maps a folder to the place that its link has."""
    assert wheel_target()["sources"] == {"src": ""} | {name: f"holdbook/{name}" for name in CODE_FOLDERS}


def test_whoever_opens_the_root_sees_the_architecture() -> None:
    """The root holds the folders of the design, and no other."""
    folders = {path.parts[0] for path in repository_files() if len(path.parts) > 1}
    assert {name for name in folders if not name.startswith(".")} == FOLDERS


def test_no_file_names_a_package_index() -> None:
    """Where packages come from is the reader's choice."""
    contents = {path: (ROOT / path).read_bytes() for path in repository_files() if (ROOT / path).is_file()}
    naming = [path for path, content in contents.items() for host in INDEX_HOSTS if host.encode() in content]
    assert naming == []


def test_the_old_name_is_left_only_where_the_changelog_tells_of_it() -> None:
    """No file's name or content has the name that the product had before, but for one line of the changelog."""
    named = [str(path) for path in repository_files() if OLD_NAME in str(path).lower()]
    files = [path for path in repository_files() if (ROOT / path).is_file()]
    lines = ((path, line) for path in files for line in (ROOT / path).read_bytes().lower().splitlines())
    naming = [str(path) for path, line in lines if OLD_NAME.encode() in line]
    assert (named, naming) == ([], ["CHANGELOG.md"])


def test_every_path_that_a_page_names_is_there() -> None:
    """A reader finds each file and folder of the repository where the documentation says that it is."""
    pages = [path for path in repository_files() if path.suffix == ".md" and (ROOT / path).is_file()]
    named = [(page, name) for page in pages for name in NAMED_PATH.findall((ROOT / page).read_text())]
    assert len(named) > 100
    assert [f"{page}: {name}" for page, name in named if not (ROOT / name).exists()] == []


def test_a_version_belongs_to_one_schema_revision() -> None:
    """The changelog's newest version is the project's, at this schema revision; no two revisions share a version."""
    versions = re.findall(r"^## (\S+) \(.*schema revision (\d+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert versions[0] == (project["version"], HEAD)
    assert len({revision for _, revision in versions}) == len({version for version, _ in versions}) == len(versions)


def test_no_lock_file_records_addresses() -> None:
    """Lock files of tools that write addresses into them stay out."""
    assert [path for path in repository_files() if path.name in LOCK_FILES or path.match("pylock*.toml")] == []


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_requirements_are_versions_and_hashes(path: Path) -> None:
    """A pinned set holds neither options nor comments."""
    entries = path.read_text().replace("\\\n", "").splitlines()
    assert entries
    for entry in entries:
        assert "==" in entry, entry
        assert "--hash=sha256:" in entry, entry
        assert not entry.startswith(INDEX_OPTIONS), entry
