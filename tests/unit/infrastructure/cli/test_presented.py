"""The command line prints what `presentation` says; it makes no JSON of its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdbook.infrastructure.cli

SHAPES = "holdbook.infrastructure.presentation.shapes."
MODULES = sorted(Path(holdbook.infrastructure.cli.__path__[0]).rglob("*.py"))
OF_ITS_OWN = {"demo.py": "the tour is shown by the command line alone"}
"""The modules that may print JSON that they have made, each with the reason."""


def imported_shapes(tree: ast.Module) -> set[str]:
    """List the names that a module imports from the shapes."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {alias.name for node in imports if (node.module or "").startswith(SHAPES) for alias in node.names}


def emitted(tree: ast.Module) -> Iterator[ast.expr]:
    """List what a module gives to `emit`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "emit":
            one = node.args[0]
            yield from (one.body, one.orelse) if isinstance(one, ast.IfExp) else (one,)


def home_made(tree: ast.Module) -> list[str]:
    """List what a module prints as JSON that no function of the shapes has made."""
    shapes = imported_shapes(tree)
    return [ast.unparse(one) for one in emitted(tree) if not made_by(one, shapes)]


def made_by(one: ast.expr, shapes: set[str]) -> bool:
    """Tell whether a value is what one of some functions gives."""
    return isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id in shapes


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_json_is_made_by_the_shapes(path: Path) -> None:
    """An HTTP service can print the same documents: each one is made by a function of `presentation.shapes`."""
    found = home_made(ast.parse(path.read_text(encoding="utf-8")))
    assert bool(found) == (path.name in OF_ITS_OWN), found


def test_a_document_of_a_command_s_own_is_found() -> None:
    """The test above can fail."""
    source = f"from {SHAPES}ledger import as_of\nemit(as_of(x, 1))\nemit({{'a': 1}} if y else as_of(x, 1))"
    assert home_made(ast.parse(source)) == ["{'a': 1}"]
