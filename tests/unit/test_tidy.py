"""The rules of the house: how long things are, what they are called, who imports them, what a room says of itself."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "holdbook"
UNIT_TESTS = ROOT / "tests" / "unit"

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 40

ENTRY_POINTS = {
    "holdbook": "the public face, which users import",
    "holdbook.metrics": "public: users expose its registry",
    "holdbook.testing": "public: the tests of users' providers import it",
    "holdbook.__main__": "`python -m holdbook` runs it",
    "holdbook.migrations.env": "Alembic runs it by its path",
    "holdbook.migrations.versions.*": "Alembic runs them by their paths",
}
"""The modules that no other module has to import, each with its reason; ``*`` stands for any last part of a name."""

SCRIPTS = "holdbook.migrations.versions"
"""The one folder of modules that is no room: it is no package either, as Alembic runs its scripts by their paths."""


@dataclass(frozen=True)
class Module:
    """A module of the package, read but not imported."""

    name: str
    """Its dotted name. That of an `__init__` is the name of its package."""
    source: str
    is_package: bool = False
    """True for an `__init__`."""

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.source)

    @property
    def folder(self) -> str:
        """The dotted name of the folder that it lies in."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @cached_property
    def imported(self) -> set[str]:
        """The dotted names of the modules that it imports, within functions too, and of what it takes from them."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        return found

    @cached_property
    def defined(self) -> set[str]:
        """The names of its top level: classes, functions, constants, and what it imports by name."""
        found = set()
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.ImportFrom):
                found |= {alias.name for alias in node.names}
        return found


@cache
def modules() -> list[Module]:
    """Read every module of the package."""
    return [*read_folder(PACKAGE, "holdbook")]


def read_folder(folder: Path, name: str) -> Iterator[Module]:
    """Read the modules of a folder and of the folders below it, those behind links included."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "__pycache__":
            yield from read_folder(path, f"{name}.{path.name}")
        elif path.name == "__init__.py":
            yield Module(name, path.read_text(encoding="utf-8"), is_package=True)
        elif path.suffix == ".py":
            yield Module(f"{name}.{path.stem}", path.read_text(encoding="utf-8"))


def test_folders_are_read_through_links(tmp_path: Path) -> None:
    """The checks see every module, behind links too, and nothing but modules."""
    (tmp_path / "real" / "below" / "__pycache__").mkdir(parents=True)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "room").symlink_to(Path("..", "real"))
    for name in ("__init__.py", "below/one.py", "below/page.html", "below/__pycache__/two.py"):
        (tmp_path / "real" / name).write_text("pass\n")
    found = [(module.name, module.is_package) for module in read_folder(tmp_path / "package", "holdbook")]
    assert found == [("holdbook.room", True), ("holdbook.room.below.one", False)]


# Lengths


def long_modules(found: Iterable[Module]) -> list[str]:
    """Name the modules that are too long."""
    lengths = {module.name: len(module.source.splitlines()) for module in found}
    return [
        f"{name}: {lines} lines; at most {MODULE_LINES_MAX}, so split it by meaning"
        for name, lines in lengths.items()
        if lines > MODULE_LINES_MAX
    ]


def long_functions(found: Iterable[Module]) -> list[str]:
    """Name the functions that are too long. Their lines are counted from `def` on, the docstring included."""
    return [
        f"{module.name}.{node.name}: {lines} lines; at most {FUNCTION_LINES_MAX}, so split it by meaning"
        for module in found
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def test_no_module_is_too_long() -> None:
    """A module has at most 400 lines."""
    found = long_modules(modules())
    assert not found, "\n".join(found)


def test_a_module_that_is_too_long_is_found() -> None:
    """400 lines pass, 401 do not."""
    found = long_modules([Module("holdbook.most", "pass\n" * 400), Module("holdbook.more", "pass\n" * 401)])
    assert found == ["holdbook.more: 401 lines; at most 400, so split it by meaning"]


def test_no_function_is_too_long() -> None:
    """A function has at most 40 lines."""
    found = long_functions(modules())
    assert not found, "\n".join(found)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_function_that_is_too_long_is_found(kind: str) -> None:
    """40 lines pass, 41 do not, in a class as well."""
    line = "        pass\n"
    source = f"class A:\n    {kind} most():\n{line * 39}    {kind} more():\n{line * 40}"
    found = long_functions([Module("holdbook.long", source)])
    assert found == ["holdbook.long.more: 41 lines; at most 40, so split it by meaning"]


# Names


def shared_class_names(found: Iterable[Module]) -> list[str]:
    """Name what two classes are called, and the modules that define them."""
    homes = defaultdict(list)
    for module in found:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(module.name)
    return [f"{name}: a class of {' and of '.join(where)}" for name, where in homes.items() if len(where) > 1]


def test_no_two_classes_have_one_name() -> None:
    """A class has a name of its own in the whole package."""
    found = shared_class_names(modules())
    assert not found, "\n".join(found)


def test_two_classes_of_one_name_are_found() -> None:
    """Two classes of one name are found in two modules and in one, within classes and functions too."""
    one = Module("holdbook.one", "class Held: ...\nclass Page:\n    class Step: ...\ndef f():\n    class Step: ...")
    found = shared_class_names([one, Module("holdbook.other", "class Held: ...\nclass Alone: ...")])
    assert found == [
        "Held: a class of holdbook.one and of holdbook.other",
        "Step: a class of holdbook.one and of holdbook.one",
    ]


# Imports


def unused_modules(found: Iterable[Module]) -> list[str]:
    """Name the modules to which no imports lead from an entry point."""
    by_name = {module.name: module for module in found}
    waiting = [name for name in by_name if {name, f"{name.rpartition('.')[0]}.*"} & ENTRY_POINTS.keys()]
    used: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in used:
            used.add(name)
            waiting += [name.rpartition(".")[0], *by_name[name].imported]  # its package is imported with it
    return [f"{name}: no module that is in use imports it, so delete it" for name in by_name if name not in used]


def test_every_module_is_used() -> None:
    """A module is imported by another one that is in use, or is an entry point."""
    found = unused_modules(modules())
    assert not found, "\n".join(found)


def test_a_module_that_nothing_uses_is_found() -> None:
    """A module is not in use because it imports itself, or because another that is not in use imports it."""
    found = unused_modules(
        [
            Module("holdbook", "from holdbook.room import used", is_package=True),
            Module("holdbook.room", "", is_package=True),
            Module("holdbook.room.used", "def late():\n    import holdbook.room.at_last"),
            Module("holdbook.room.at_last", ""),
            Module("holdbook.room.itself", "import holdbook.room.itself"),
            Module("holdbook.room.one", "from holdbook.room.two import Two"),
            Module("holdbook.room.two", "from holdbook.room.one import One"),
            Module("holdbook.migrations.versions.0001_first", "from holdbook.room.old import table"),
            Module("holdbook.room.old", ""),
        ]
    )
    assert [line.partition(":")[0] for line in found] == [
        "holdbook.room.itself",
        "holdbook.room.one",
        "holdbook.room.two",
    ]


def test_every_entry_point_is_there_with_its_reason() -> None:
    """The list of entry points names modules that are there, and says why each needs no importer."""
    names = {module.name for module in modules()}
    names |= {f"{name.rpartition('.')[0]}.*" for name in names}
    assert ENTRY_POINTS.keys() - names == set()
    assert all(ENTRY_POINTS.values())


# Rooms


def rooms(found: Iterable[Module]) -> list[str]:
    """List the rooms: the folders of modules below the top of the package, by their dotted names."""
    return sorted({module.folder for module in found} - {"holdbook", SCRIPTS})


def unexplained_rooms(found: Iterable[Module]) -> list[str]:
    """Name the rooms whose docstrings leave out what the room is or what to import, or name what is not there."""
    read = list(found)
    docstrings = {module.name: ast.get_docstring(module.tree) or "" for module in read if module.is_package}
    complaints = []
    for room in rooms(read):
        what, *others = re.split(r"(?<=\.)\s+", docstrings.get(room, ""))
        imports = " ".join(sentence for sentence in others if re.search(r"\bimports?\b", sentence))
        if not what.endswith("."):
            complaints.append(f"{room}: the first sentence of its docstring is to say what the room is")
        if not imports:
            complaints.append(f"{room}: another sentence of its docstring is to say what other rooms may import")
        names = names_to_import(room, read)
        unknown = [name for name in re.findall(r"`([^`]+)`", imports) if name.rpartition(".")[2] not in names]
        complaints += [f"{room}: its docstring tells of `{name}`, which is not there" for name in unknown]
    return complaints


def names_to_import(room: str, found: Iterable[Module]) -> set[str]:
    """List what a room's docstring may tell of: the modules, other rooms' too, and what its own modules define."""
    names = set()
    for module in found:
        names.add(module.name.rpartition(".")[2])
        if f"{module.name}.".startswith(f"{room}."):
            names |= module.defined
    return names


def unnamed_faces(found: Iterable[Module]) -> list[str]:
    """Name the modules that other rooms import though the docstring of their room, which names modules, does not."""
    read = list(found)
    by_name = {module.name: module for module in read}
    complaints = set()
    for room in rooms(read):
        docstring = ast.get_docstring(by_name[room].tree) or "" if room in by_name else ""
        named = {name.rpartition(".")[2] for name in re.findall(r"`([^`]+)`", docstring)}
        own = {module.name for module in read if module.folder == room and not module.is_package}
        if not any(name.rpartition(".")[2] in named for name in own):
            continue  # it says in words what may be imported
        for other in read:
            if not f"{other.folder}.".startswith(f"{room}.") and other.name not in ENTRY_POINTS:
                strangers = {name for name in other.imported & own if name.rpartition(".")[2] not in named}
                complaints |= {
                    f"{name} is imported by {other.name}: name it in the docstring of its room" for name in strangers
                }
    return sorted(complaints)


def test_what_other_rooms_import_is_named_by_its_room() -> None:
    """A room whose docstring lists what others may import lists all of it."""
    found = unnamed_faces(modules())
    assert not found, "\n".join(found)


def test_a_face_that_is_not_named_is_found() -> None:
    """An import that the room does not tell of is found; one that it tells of, and one of its own, are not."""
    room = Module("holdbook.room", '"""A room.\n\nOther rooms import `face`.\n"""', is_package=True)
    inside = [Module("holdbook.room.face", "import holdbook.room.back"), Module("holdbook.room.back", "")]
    other = Module("holdbook.other.one", "from holdbook.room import back, face")
    assert unnamed_faces([room, *inside, other]) == [
        "holdbook.room.back is imported by holdbook.other.one: name it in the docstring of its room"
    ]


def test_every_room_says_what_it_is_and_what_others_may_import() -> None:
    """A room's docstring says in a sentence what it is, in another what others may import, and its names are true."""
    found = unexplained_rooms(modules())
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("docstring", "complaint"),
    [
        (None, "what the room is"),
        ("Group commit", "what the room is"),
        ("Group commit: one thread records what all others ask for.", "what other rooms may import"),
        ("Group commit. Important to all of them.", "what other rooms may import"),
        ("Other rooms import `promise`. It is group commit.", "what other rooms may import"),
        ("Group commit. Other rooms import `promise` and `promises`.", "tells of `promises`"),
    ],
)
def test_a_room_that_does_not_explain_itself_is_found(docstring: str | None, complaint: str) -> None:
    """A docstring that leaves out either sentence, or names what is not there, is found."""
    found = unexplained_rooms(made_up_room(docstring))
    assert complaint in "\n".join(found)


@pytest.mark.parametrize(
    "docstring",
    [
        "Group commit.\n\nOther rooms import `Promise` from `commit.promise`.",
        "Group commit.\n\nIt keeps a thread.\nOther rooms import `promise` and\n`done`.",
        "Group commit. Other rooms import `SECONDS_MAX` and `Answer` from `promise`.",
        "Group commit. Only the `clock` imports it.",
        "Group commit.\n\nOther rooms import nothing.",
    ],
)
def test_a_room_that_explains_itself_passes(docstring: str) -> None:
    """A docstring may name modules of any room, and what the room's own modules define."""
    assert unexplained_rooms(made_up_room(docstring)) == []


def made_up_room(docstring: str | None) -> list[Module]:
    """Make a package up that has one room, of this docstring."""
    return [
        Module("holdbook", "", is_package=True),
        Module("holdbook.clock", ""),
        Module("holdbook.commit", "" if docstring is None else repr(docstring), is_package=True),
        Module("holdbook.commit.promise", "class Promise: ...\ndef done(): ...\nSECONDS_MAX: int = 1\nAnswer = str"),
    ]


def test_a_room_without_an_init_is_found() -> None:
    """A folder of modules without an `__init__` is a room that says nothing."""
    found = unexplained_rooms([Module("holdbook.commit.promise", "")])
    assert [line.partition(":")[0] for line in found] == ["holdbook.commit", "holdbook.commit"]


def strange_folders(folders: Iterable[str], found: Iterable[Module]) -> list[str]:
    """Name the folders of tests, as paths below tests/unit, that are no rooms of the package."""
    known = {room.removeprefix("holdbook.").replace(".", "/") for room in rooms(found)}
    return [f"tests/unit/{name}: the package has no room {name}" for name in folders if name not in known]


def test_unit_tests_lie_in_the_rooms_of_the_code() -> None:
    """Each folder below tests/unit has the path of a room."""
    paths = {path.parent.relative_to(UNIT_TESTS) for path in UNIT_TESTS.rglob("*.py")} - {Path()}
    folders = sorted(path.as_posix() for path in paths)
    assert {"domain", "infrastructure/resources/providers"} <= set(folders)
    found = strange_folders(folders, modules())
    assert not found, "\n".join(found)


def test_a_folder_of_tests_that_is_no_room_is_found() -> None:
    """A folder that is named after no room, or after a module, or lies in the wrong place, is found."""
    read = [Module("holdbook.domain.pool", ""), Module("holdbook.replay.history.stories", "")]
    assert strange_folders(["domain", "replay/history", "history", "replay/history/stories"], read) == [
        "tests/unit/history: the package has no room history",
        "tests/unit/replay/history/stories: the package has no room replay/history/stories",
    ]
