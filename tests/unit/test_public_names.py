"""The public names: each is stated where it lies, and imported when it is first used."""

import ast
import inspect
from pathlib import Path

import pytest

import holdbook

SOURCE = Path(inspect.getfile(holdbook)).read_text()


def imported_for_type_checkers() -> dict[str, str]:
    """Read which module each name comes from, as type checkers see it."""
    (block,) = (node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    imports = (node for node in block.body if isinstance(node, ast.ImportFrom))
    return {alias.name: f"{node.module}" for node in imports for alias in node.names}


def test_type_checkers_and_programs_find_the_same_names_in_the_same_modules() -> None:
    """What is imported for type checkers is what programs get, and all of it is public, in order."""
    assert imported_for_type_checkers() == holdbook._MODULES  # noqa: SLF001 - the two have to agree
    assert holdbook.__all__ == sorted(holdbook._MODULES)  # noqa: SLF001 - as above


@pytest.mark.parametrize("name", holdbook.__all__)
def test_a_public_name_is_what_its_module_says(name: str) -> None:
    """A name is the object of that name in its module, whether it was used before or not."""
    vars(holdbook).pop(name, None)
    first = getattr(holdbook, name)
    assert getattr(holdbook, name) is first
    assert name in dir(holdbook)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    """A mistyped name is told as Python tells it."""
    with pytest.raises(AttributeError, match="module 'holdbook' has no attribute 'Legder'"):
        holdbook.Legder  # type: ignore[attr-defined]  # noqa: B018 - type checkers tell of it too
