"""What is built from the tree is the whole product, and works where the tree is not."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "htmlcov")
UNDER_TEST = ("COVERAGE_", "COV_CORE_", "PYTEST_", "PYTHON")


@dataclass(frozen=True)
class Installed:
    """A wheel unpacked beside the dependencies that this environment has."""

    site: Path
    elsewhere: Path

    def run(self, *command: str | Path) -> str:
        """Run a command outside of the checkout, and return what it printed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(UNDER_TEST)}
        environment["PYTHONPATH"] = str(self.site)  # goes before the editable install
        done = subprocess.run(
            command, cwd=self.elsewhere, env=environment, check=False, text=True, capture_output=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def holdbook(self, *arguments: str) -> str:
        """Run the installed console script."""
        return self.run(sys.executable, "-P", self.site / "bin" / "holdbook", *arguments)


def files_below(folder: Path, name: str) -> Iterator[str]:
    """Name the files in a folder and behind the links in it."""
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            yield from files_below(path, f"{name}/{path.name}")
        elif path.is_file():
            yield f"{name}/{path.name}"


def run_module(*arguments: str | Path) -> None:
    """Run a tool of this environment."""
    done = subprocess.run([sys.executable, "-P", "-m", *arguments], check=False, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", params=["tree", "sdist"])
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from the tree, or from the source distribution of the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=LEFT_OUT)
    targets = ["--wheel"] if request.param == "tree" else []  # by default the wheel comes out of the sdist
    run_module("build", "--no-isolation", "--outdir", folder, *targets, source)
    (built,) = folder.glob("holdbook-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel, and nothing else, into a folder of its own."""
    site = tmp_path_factory.mktemp("site")
    run_module("pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel)
    return Installed(site, tmp_path_factory.mktemp("elsewhere"))


def test_the_wheel_holds_one_package(wheel: Path) -> None:
    """Nothing but `holdbook` lands in a user's site-packages."""
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert "holdbook" in tops
    assert all(top == "holdbook" or (top.startswith("holdbook-") and top.endswith(".dist-info")) for top in tops)


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Each file of the package is in the wheel once, at its place."""
    names = [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("holdbook/")]
    assert sorted(names) == sorted(files_below(ROOT / "src" / "holdbook", "holdbook"))


def test_the_installed_package_is_the_one_that_runs(installed: Installed) -> None:
    """The other tests here look at the wheel and not at the checkout."""
    place = installed.run(sys.executable, "-P", "-c", "import holdbook; print(holdbook.__file__)")
    assert Path(place.strip()) == installed.site / "holdbook" / "__init__.py"


def test_the_demo_runs_from_the_wheel(installed: Installed) -> None:
    """Whoever installs the wheel can take the tour."""
    assert installed.holdbook("demo")


def test_the_command_line_says_the_version_of_the_wheel(installed: Installed) -> None:
    """The version is the one in `pyproject.toml`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert installed.holdbook("--version").startswith(f"holdbook {project['version']}, schema revision ")


def test_the_migrations_are_in_the_wheel(installed: Installed, sqlite_url: str) -> None:
    """A ledger's schema is managed from the installed package."""
    assert installed.holdbook("db", "current", "--database", sqlite_url)
