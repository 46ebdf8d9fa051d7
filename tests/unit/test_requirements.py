"""What the lock pins is what a resolver asks for, and what the project says it needs has a lower bound."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"

LOWER_BOUNDS = {">=", ">", "==", "~=", "==="}
"""The operators of a specifier that keep older versions out."""


@dataclass(frozen=True)
class Pin:
    """An entry of a file of pins."""

    requirement: Requirement
    hashes: frozenset[str]

    @property
    def name(self) -> str:
        """The distribution's name, in the form that all spellings share."""
        return canonicalize_name(self.requirement.name)


def read_pins(text: str) -> list[Pin]:
    """Read a file of pins."""
    entries = (entry.split(" --hash=") for entry in text.replace("\\\n", "").splitlines())
    return [Pin(Requirement(pin.strip()), frozenset(map(str.strip, hashes))) for pin, *hashes in entries]


def pins_of(name: str) -> list[Pin]:
    """Read one of the repository's files of pins."""
    return read_pins((REQUIREMENTS / name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Installed:
    """A distribution that is installed here."""

    version: str
    needs: tuple[str, ...] = ()
    """What it needs, as its metadata says it."""


def all_installed() -> dict[str, Installed]:
    """Read what is installed in this environment, by name."""
    return {
        canonicalize_name(one.metadata["Name"]): Installed(one.version, tuple(one.requires or ()))
        for one in distributions()
    }


# The lock


def unmet_needs(pins: Iterable[Pin], installed: Mapping[str, Installed]) -> list[str]:
    """Name what the distributions of the lock need, here, and the lock does not pin as they ask for it.

    If a distribution asks for another with an extra, and the lock pins that one without it, an installer that checks
    hashes looks for a newer release as soon as there is one, and has no hash for that. Only distributions that are
    installed in their pinned versions are asked: what others need is not for the lock to have.
    """
    lock = {pin.name: pin.requirement for pin in pins if applies(pin.requirement)}
    complaints = []
    for name, pinned in lock.items():
        found = installed.get(name)
        if found is None or found.version not in pinned.specifier:
            continue
        for need in map(Requirement, found.needs):
            answer = lock.get(canonicalize_name(need.name))
            if applies(need, {"", *pinned.extras}) and not (answer and meets(answer, need)):
                complaints.append(f"{name} needs {need}; the lock pins {answer or 'nothing of that name'}")
    return complaints


def applies(requirement: Requirement, extras: Iterable[str] = ("",)) -> bool:
    """Tell whether a requirement is one for this Python and system, and for one of these extras."""
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)


def meets(pinned: Requirement, need: Requirement) -> bool:
    """Tell whether a pin has the extras that are needed, and a version that will do."""
    versions = [one.version for one in pinned.specifier]
    return need.extras <= pinned.extras and all(need.specifier.contains(one, prereleases=True) for one in versions)


def test_the_lock_pins_what_is_needed_with_the_extras_that_are_named() -> None:
    """Each need of a pinned distribution that applies here is pinned, in a version that will do, with its extras."""
    found = unmet_needs(pins_of("dev.txt"), all_installed())
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "need",
    [
        "coverage[toml]>=7",
        "Coverage [toml] >=7",
        "coverage>=7",
        "coverage[toml]; extra == 'fast'",
        "absent; extra == 'slow'",
        "absent; python_version < '3'",
    ],
)
def test_a_need_that_the_lock_meets_passes(need: str) -> None:
    """A need is met by a pin of that name with all of its extras, or does not apply."""
    lock = read_pins("pytest-cov[fast]==1\ncoverage[toml]==7.1")
    assert unmet_needs(lock, {"pytest-cov": Installed("1", (need,)), "coverage": Installed("7.1")}) == []


@pytest.mark.parametrize(
    ("need", "pinned"),
    [
        ("coverage[more,toml]>=7", "coverage[toml]==7.1"),
        ('coverage[more]; extra == "fast"', "coverage[toml]==7.1"),
        ("coverage>=8", "coverage[toml]==7.1"),
        ("absent", "nothing of that name"),
        ('absent; extra == "fast"', "nothing of that name"),
        ('absent; python_version > "3"', "nothing of that name"),
    ],
)
def test_a_need_that_the_lock_does_not_meet_is_found(need: str, pinned: str) -> None:
    """A need is found that the lock leaves out, or pins without an extra, or in a version that will not do."""
    lock = read_pins("pytest-cov[fast]==1\ncoverage[toml]==7.1")
    assert unmet_needs(lock, {"pytest-cov": Installed("1", (need,))}) == [
        f"pytest-cov needs {need}; the lock pins {pinned}"
    ]


def test_a_distribution_in_another_version_is_not_asked() -> None:
    """Where `make oldest` or `make newest` installs other versions, the lock need not have what those need."""
    assert unmet_needs(read_pins("pytest-cov==1"), {"pytest-cov": Installed("2", ("absent",))}) == []


def test_of_two_pins_of_one_name_that_for_this_system_counts() -> None:
    """A pin whose marker does not apply here meets no need here."""
    lock = read_pins("pytest-cov==1\ncoverage==8 ; python_version > '3'\ncoverage[toml]==7 ; python_version < '3'")
    installed = {"pytest-cov": Installed("1", ("coverage[toml]",))}
    assert unmet_needs(lock, installed) == [
        'pytest-cov needs coverage[toml]; the lock pins coverage==8; python_version > "3"'
    ]


# What runs, and what is needed beside it


def not_among(pins: Iterable[Pin], others: Iterable[Pin]) -> list[str]:
    """Name the pins that others do not have in the same version, with the same hashes and at least its extras."""
    known = list(others)
    return [f"{pin.requirement}" for pin in pins if not any(is_part(pin, other) for other in known)]


def is_part(pin: Pin, other: Pin) -> bool:
    """Tell whether a pin is part of another, whose marker may have it apply to more systems."""
    same = (pin.name, pin.requirement.specifier, pin.hashes) == (other.name, other.requirement.specifier, other.hashes)
    return same and pin.requirement.extras <= other.requirement.extras


def test_what_runs_is_a_part_of_the_development_set_with_the_same_pins() -> None:
    """Each pin of run.txt is in dev.txt too."""
    assert pins_of("run.txt")
    found = not_among(pins_of("run.txt"), pins_of("dev.txt"))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("pin", ["a==2 --hash=sha256:00", "a==1 --hash=sha256:01", "a[b]==1 --hash=sha256:00", "b==1"])
def test_a_pin_that_differs_is_found(pin: str) -> None:
    """Another version, another hash, one more extra or another name make another pin; another marker does not."""
    same = "a==1 ; python_version > '3' \\\n    --hash=sha256:00"
    found = not_among(read_pins(f"{same}\n{pin}"), read_pins("a==1 --hash=sha256:00"))
    assert found == [pin.partition(" ")[0]]


# Lower bounds


def without_lower_bound(project: Mapping[str, Any]) -> list[str]:
    """List what pyproject.toml says is needed, to run, for an extra or to build, without a lower bound."""
    needs = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    needs += [need for extra in project["project"]["optional-dependencies"].values() for need in extra]
    return [need for need in needs if not {one.operator for one in Requirement(need).specifier} & LOWER_BOUNDS]


def test_every_direct_dependency_has_a_lower_bound() -> None:
    """Nothing older than what was tried satisfies pyproject.toml; `make oldest` tries just the bounds."""
    found = without_lower_bound(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("place", ["build", "run", "extra"])
@pytest.mark.parametrize(("need", "is_found"), [("a", True), ("a[b]<2", True), ("a!=1", True), ("a>=1,<2", False)])
def test_a_dependency_without_a_lower_bound_is_found(place: str, need: str, *, is_found: bool) -> None:
    """A dependency of any version is found wherever it stands; an upper bound is no lower one."""
    needs = {where: [need] if where == place else ["c~=1.0"] for where in ("build", "run", "extra")}
    project = {"dependencies": needs["run"], "optional-dependencies": {"more": needs["extra"]}}
    found = without_lower_bound({"build-system": {"requires": needs["build"]}, "project": project})
    assert found == ([need] if is_found else [])
