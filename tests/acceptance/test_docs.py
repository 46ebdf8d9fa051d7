"""What the documentation shows is what happens, and what it lists is what there is."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.engine import make_url
from typer.main import get_command

import holdbook
from holdbook import Ledger, Projector, Rebuilt, ViewStatus
from holdbook.domain.commands import COMMANDS, Command
from holdbook.domain.events import EVENTS
from holdbook.domain.limits import Limits
from holdbook.domain.records import LOG_FORMAT, StoredRow, canonical_bytes, chain_hash, genesis
from holdbook.domain.refusals import RefusalCode, explain, is_transient
from holdbook.infrastructure.cli.app import app
from holdbook.infrastructure.database.tables import events, generations, skipped_events
from holdbook.infrastructure.settings import Settings
from holdbook.projections.generations import GenerationState
from holdbook.projections.views.catalogue import VIEWS
from holdbook.replay.verification.findings import Check, Harm
from support.documents import ROOT, Block, Page, Session, check_output, first_cells, pages

REFERENCE = ROOT / "docs" / "reference"
RUNNABLE = {"python", "sh", "console", "sql", "json", "jsonl", "diff"}

MAKE = re.compile(r"make ([a-z]+)")
NOT_RUN = {
    "pip install .": "changes the environment that the tests run in; test_wheel.py builds and installs the wheel",
}
"""Shell lines that are not run, each with its reason; `make` is not run either, as it would start these tests again."""

SHARED_OPTIONS = {"--database", "--json", "--actor", "--command-id", "--correlation-id", "--causation-id", "--dry-run"}

BOOKS = {"generations": generations, "skipped_events": skipped_events}
"""The tables that tell how views were built."""

ESCAPES = {'"': r"\"", "\\": r"\\", "\b": r"\b", "\t": r"\t", "\n": r"\n", "\f": r"\f", "\r": r"\r"}
"""The short escapes of RFC 8785."""


def reference(name: str) -> Page:
    """Open a page of the reference."""
    return Page(REFERENCE / name)


def shell_lines(block: Block) -> list[str]:
    """List the lines of a shell block without their comments."""
    return [shlex.join(shlex.split(line, comments=True)) for line in block.text.splitlines() if line.strip()]


def is_not_run(block: Block) -> bool:
    """Tell whether a block is left out on purpose: all of its lines are."""
    return block.language == "sh" and all(MAKE.fullmatch(line) or line in NOT_RUN for line in shell_lines(block))


def runnable_blocks(page: Page) -> list[Block]:
    """List the blocks of a page that run, those that show what they print included."""
    return [block for block in page.blocks if not is_not_run(block)]


def cases() -> Iterator[Any]:
    """List every page that has something to run, with each database that it runs on."""
    for page in pages():
        if any(block.language in RUNNABLE for block in runnable_blocks(page)):
            for backend in page.runs_on:
                yield pytest.param(page, backend, id=f"{page.name}-{backend}")


# What is shown


@pytest.mark.untraced  # some pages change the source: its lines would be counted as lines of the package
@pytest.mark.parametrize(("page", "backend"), list(cases()))
def test_every_block_does_what_it_shows(
    page: Page, backend: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader who types in a page from top to bottom sees what the page shows."""
    for name in ("HOLDBOOK_DATABASE_URL", "HOLDBOOK_ACTOR", "HOLDBOOK_LOG_LEVEL", "HOLDBOOK_LOG_FORMAT", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    url = None
    if backend == "postgresql":
        url = request.getfixturevalue("empty_postgres_url")
        monkeypatch.setenv("HOLDBOOK_DATABASE_URL", url)
    session = Session(page, tmp_path, url)
    for block in runnable_blocks(page):
        session.run(block)
    session.end()


def test_no_code_hides_from_the_tests() -> None:
    """Every block names its kind, and none is written by indentation, which nothing would run."""
    for page in pages():
        assert all(block.language in RUNNABLE | {"text", "mermaid"} for block in page.blocks), page.name
        indented = [number for number, line in page.prose if line.startswith("    ") or "~~~" in line]
        assert indented == [], page.name


def test_what_is_not_run_is_on_the_list_with_its_reason() -> None:
    """The list of lines that are not run has no entry that no page needs."""
    lines = {line for page in pages() for block in page.blocks if block.language == "sh" for line in shell_lines(block)}
    assert lines >= NOT_RUN.keys()
    assert all(NOT_RUN.values())


def test_every_make_target_that_is_shown_is_there() -> None:
    """What is not run is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = {line for page in pages() for block in page.blocks if block.language == "sh" for line in shell_lines(block)}
    spans = {span for page in pages() for span in page.named}
    shown = {found[1] for line in lines | spans if (found := MAKE.fullmatch(line))}
    assert shown - targets == set()
    assert {"demo", "test"} <= shown


@pytest.mark.parametrize(
    ("printed", "shown"), [("b\n", "a"), ("a\nb\n", "a"), ("a\n", "a\nb"), ("a\n", "a…b"), ("ab\n", "a\n…\nb")]
)
def test_the_comparison_can_fail(printed: str, shown: str) -> None:
    """Output that differs from what a page shows is found."""
    with pytest.raises(AssertionError, match="somewhere"):
        check_output(printed, shown, "somewhere")


@pytest.mark.untraced
@pytest.mark.parametrize(
    "source",
    [
        "```python\nassert 1 == 2\n```",
        "```python\nprint('a')\n```",
        "```python\nprint('a')\n```\n```text\nb\n```",
        "```python\nprint('a')\n```\nwords\n```text\na\n```",
        "```sh\nfalse\n```",
        "```sh\nfalse | true\n```",
        "```console\n$ echo a\nb\n```",
        "```console\n$ false\n```",
        "```console\n$ exit 0\n$ echo a\na\n```",
        "```sql\nSELECT * FROM events WHERE position = 77\n```",
        "```sql\nUPDATE ledger_meta SET epoch = 2 WHERE epoch = 77\n```",
        '```jsonl\n{"command": "allot"}\n```',
        "```json\n{'a': 1}\n```",
        "```diff\n```",
        "```diff\n+++ b/projections/definition.py\n@@\n-what is not there\n```",
        "```diff\n+++ b/projections/definition.py\n@@\n+raise SystemExit(7)\n```",
        "```diff\n+++ b/projections/definition.py\n@@\n-import hashlib\n+1 / 0\n```\n```sh\nholdbook\n```",
        "```ruby\nputs 1\n```",
    ],
)
def test_a_page_that_is_wrong_is_found(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that does not do what it shows fails."""
    monkeypatch.delenv("HOLDBOOK_DATABASE_URL", raising=False)
    path = tmp_path / "page.md"
    path.write_text(source)
    monkeypatch.setattr("support.documents.ROOT", tmp_path)
    session = Session(Page(path), tmp_path)
    with pytest.raises((AssertionError, ValueError)):
        run_all(session)


METRICS_OF_LEDGERS = """
```python
from holdbook import Ledger
from holdbook.metrics import registry

def ledgers():
    return [sample.name for metric in registry.collect() for sample in metric.samples if sample.name == "holdbook_up"]

print(ledgers())
with Ledger.in_memory():
    print(ledgers())
```
```text
[]
['holdbook_up']
```
"""
"""A page that prints how many ledgers its process has open, before it opens one and then."""


@pytest.mark.untraced
def test_a_page_sees_no_ledger_that_others_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that prints the metrics of its process prints those of its own ledgers, and of no other test's."""
    path = tmp_path / "page.md"
    path.write_text(METRICS_OF_LEDGERS)
    monkeypatch.setattr("support.documents.ROOT", tmp_path)
    with Ledger.in_memory():
        run_all(Session(Page(path), tmp_path))


def run_all(session: Session) -> None:
    """Run the blocks of a page."""
    for block in session.page.blocks:
        session.run(block)
    session.end()


# Links


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Page) -> None:
    """A link within the repository leads to a file, and to a heading of it where it names one."""
    for target in page.links:
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.path.parent / name).resolve() if name else page.path
        assert path.exists(), target
        assert not anchor or anchor in Page(path).anchors, target


def test_every_page_is_reached_from_the_index() -> None:
    """Whoever starts at the index of the documentation finds every page of it."""
    reached, waiting = set(), [ROOT / "docs" / "README.md"]
    while waiting:
        path = waiting.pop()
        if path not in reached and path.suffix == ".md":
            reached.add(path)
            waiting += [(path.parent / link.partition("#")[0]).resolve() for link in Page(path).links]
    assert {page.path for page in pages() if "docs" in page.path.parts} <= reached


def test_decisions_are_numbered_and_listed() -> None:
    """The records of decisions are numbered from 0001 without gaps, and the index lists them in order."""
    records = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("0*.md"))
    assert [name[:4] for name in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    assert Page(ROOT / "docs" / "decisions" / "README.md").links == records


def test_the_glossary_is_in_order_and_has_each_word_once() -> None:
    """A word is found where the alphabet has it, and means one thing."""
    words = re.findall(r"^- \*\*(.+?)\*\*:", Page(ROOT / "docs" / "glossary.md").source, re.MULTILINE)
    assert words == sorted(set(words))


# Lists


def test_refusals_are_all_there_in_order_each_of_its_class() -> None:
    """The page of refusals lists the codes in their order of precedence, permanent or transient."""
    rows = reference("refusals.md").tables["Refusals"]
    classes = {True: "transient", False: "permanent"}
    assert [row[:2] for row in rows] == [[f"`{code}`", classes[is_transient(code)]] for code in RefusalCode]


def test_refusals_are_explained_by_the_data_that_is_listed() -> None:
    """The entries that the page lists for a code are enough to make its message."""
    tables = reference("refusals.md").tables
    shared = {word for row in tables["Data"] for word in re.findall(r"`(\w+)`", row[0])}
    for row in tables["Refusals"]:
        entries = shared | set(re.findall(r"`(\w+)`", row[3]))
        assert explain(RefusalCode(row[0].strip("`")), dict.fromkeys(entries, "…"))


def test_events_are_all_there_with_every_field() -> None:
    """The page of events lists each type and its fields, in order."""
    tables = reference("events.md").tables
    listed = {heading: first_cells(rows) for heading, rows in tables.items() if heading != "Events"}
    assert list(listed) == list(EVENTS)
    assert listed == {name: list(kind.model_fields) for name, kind in EVENTS.items()}


def test_events_say_which_fields_may_be_null() -> None:
    """The page of events says null where a field may be null, and nowhere else."""
    tables = reference("events.md").tables
    for name, kind in EVENTS.items():
        said = {row[0].strip("`"): "null" in row[1] for row in tables[name]}
        assert said == {field: allows_none(info.annotation) for field, info in kind.model_fields.items()}, name


def allows_none(annotation: object) -> bool:
    """Tell whether a type has None in it."""
    return type(None) in getattr(annotation, "__args__", ())


def test_commands_are_all_there_with_every_field() -> None:
    """The page of commands lists each verb and its own fields, and says which of them are needed."""
    tables = reference("commands.md").tables
    shared = Command.model_fields
    assert needed(tables["Every command"]) == {name: field.is_required() for name, field in shared.items()}
    assert [heading for heading in tables if heading in COMMANDS] == list(COMMANDS)
    for verb, kind in COMMANDS.items():
        own = {name: field.is_required() for name, field in kind.model_fields.items() if name not in shared}
        assert needed(tables[verb]) == own, verb


def needed(rows: list[list[str]]) -> dict[str, bool]:
    """Read which fields a table says are needed."""
    return {row[0].strip("`"): row[2] == "yes" for row in rows}


def test_limits_are_all_there() -> None:
    """The page of limits lists each limit, and says which must be given."""
    rows = reference("limits.md").tables["Limits"]
    assert first_cells(rows) == list(Limits.model_fields)
    assert [row[0].strip("`") for row in rows if row[1] == "–"] == [  # noqa: RUF001 - the dash of the page
        name for name, field in Limits.model_fields.items() if field.is_required()
    ]


def test_settings_are_all_there_with_their_defaults() -> None:
    """The page of settings lists each variable and its default."""
    rows = reference("settings.md").tables["Settings"]
    prefix = Settings.model_config["env_prefix"]
    variables = [f"{prefix}{name}".upper() for name in Settings.model_fields]
    assert [name for name in first_cells(rows) if name.startswith(prefix)] == variables
    defaults = [field.default for field in Settings.model_fields.values()]
    assert all(f"`{default}`" == row[1] for row, default in zip(rows, defaults, strict=False) if default is not None)


def test_views_are_all_there_with_every_column() -> None:
    """The page of views lists each view, its columns in order, and its key."""
    page = reference("views.md")
    tables = {heading: rows for heading, rows in page.tables.items() if rows and heading not in BOOKS}
    assert {name: first_cells(rows) for name, rows in tables.items()} == {
        view.name: list(view.published.columns) for view in VIEWS
    }
    keys = [re.findall(r"`(\w+)`", line) for _, line in page.prose if line.startswith("Key:")]
    assert keys == [list(view.published.key) for view in VIEWS]


def test_the_books_on_views_are_all_there_with_every_column() -> None:
    """The page of views lists the columns of the tables that tell of generations and of skipped events."""
    tables = reference("views.md").tables
    assert {name: first_cells(tables[name]) for name in BOOKS} == {name: book.c.keys() for name, book in BOOKS.items()}


def test_states_of_generations_are_all_there() -> None:
    """The page of views names each state of a generation."""
    assert set(GenerationState) <= reference("views.md").named


def test_views_say_which_columns_are_numbers() -> None:
    """The page of views says of each column whether it is text or a number."""
    tables = reference("views.md").tables
    for view in VIEWS:
        said = {row[0].strip("`"): row[1].split()[0] for row in tables[view.name]}
        assert said == {name: "text" if kind is str else "number" for name, kind in view.published.columns.items()}


def test_checks_are_all_there() -> None:
    """The page about verification lists every check."""
    assert first_cells(reference("verify.md").tables["What verify checks"]) == [check.value for check in Check]


def test_kinds_of_harm_are_all_there() -> None:
    """The page about verification lists every kind of harm."""
    assert first_cells(reference("verify.md").tables["Kinds of harm"]) == [harm.value for harm in Harm]


def test_columns_of_the_log_are_all_there_with_their_types() -> None:
    """The page of the log's format lists each column with its type in both databases."""
    rows = reference("log-format.md").tables["Columns"]
    dialects = [make_url(url).get_dialect()() for url in ("sqlite://", "postgresql+psycopg://")]
    assert first_cells(rows) == list(StoredRow._fields) == list(events.c.keys())
    for row, column in zip(rows, events.c, strict=True):
        for cell, dialect in zip(row[1:3], dialects, strict=True):
            kind = column.type.compile(dialect=dialect).partition(" ")[0]
            assert cell == (f"{kind} or NULL" if column.nullable else kind), column.name


def test_constraints_of_the_log_are_named() -> None:
    """The page of the log's format names each constraint that the log relies on."""
    unique = [index for index in events.indexes if index.unique]
    named = [one for one in events.constraints if one.name and str(one.name).startswith(("uq_", "ck_"))]
    found: list[Index | Any] = [*unique, *named]
    assert any(isinstance(one, UniqueConstraint) for one in found)
    assert {str(one.name) for one in found} <= reference("log-format.md").named


def test_every_public_name_is_documented() -> None:
    """Every name in `holdbook.__all__` has a docstring and is on the page about Python."""
    named = reference("python-api.md").named
    words = {word for span in named for word in re.findall(r"\w+", span)}
    assert set(holdbook.__all__) - words == set()
    assert [name for name in holdbook.__all__ if not (getattr(holdbook, name).__doc__ or "").strip()] == []


def test_the_keeper_of_the_views_is_described_whole() -> None:
    """The page about Python lists every method of `Projector`, and every field of what its answers are."""
    page = reference("python-api.md")
    calls = {cell.partition("(")[0] for cell in first_cells(page.tables["Views"])}
    assert calls == {name for name, one in vars(Projector).items() if callable(one) and name[0] != "_"} - {"view"}
    for kind in (ViewStatus, Rebuilt):
        (described,) = re.findall(rf"^- `{kind.__name__}`: (.+?)^(?:- |#)", page.source, re.MULTILINE | re.DOTALL)
        assert {one.name for one in fields(kind)} <= set(re.findall(r"`(\w+)`", described)), kind


def command_tree() -> dict[str, set[str]]:
    """Find every command that does something, with its options."""
    found: dict[str, set[str]] = {}
    waiting: list[tuple[str, Any]] = [("holdbook", get_command(app))]
    while waiting:
        path, one = waiting.pop()
        inside: Mapping[str, Any] = getattr(one, "commands", {})
        waiting += [(f"{path} {name}", child) for name, child in inside.items()]
        if not inside or one.params:
            found[path] = {word for parameter in one.params for word in parameter.opts if word.startswith("--")}
    del found["holdbook"]
    return found


def test_the_command_line_is_all_there_with_every_option() -> None:
    """The page of the command line lists each command with its own options, and the shared ones once."""
    tables = reference("command-line.md").tables
    listed = {heading: set(first_cells(rows)) for heading, rows in tables.items() if heading.startswith("holdbook ")}
    tree = command_tree()
    assert listed == {path: options - SHARED_OPTIONS - {"--help"} for path, options in tree.items()}
    assert set(first_cells(tables["Shared options"])) == SHARED_OPTIONS


def test_the_readme_names_every_command() -> None:
    """The table in the README leaves no command out."""
    named = Page(ROOT / "README.md").named
    assert {path for path in command_tree() if path != "holdbook projections"} <= named


# Test vectors


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    """The test vectors of the log's format."""
    read: dict[str, Any] = json.loads((REFERENCE / "log-format-vectors.json").read_text())
    return read


def test_the_log_s_format_is_that_of_the_vectors(vectors: dict[str, Any]) -> None:
    """Rows are written and chained as the published vectors say, for ever."""
    assert vectors["format"] == LOG_FORMAT
    previous = genesis(vectors["ledger_id"])
    assert previous.hex() == vectors["genesis"]
    for vector in vectors["rows"]:
        row = StoredRow(**vector["columns"], hash=b"")
        assert canonical_bytes(row) == vector["canonical"].encode()
        previous = chain_hash(previous, row)
        assert previous.hex() == vector["hash"]


def test_the_vectors_are_right(vectors: dict[str, Any]) -> None:
    """A computation that follows the page, and shares no code with Holdbook, comes to the same vectors."""
    previous = hashlib.sha256(b"holdbook-log-1" + bytes(1) + vectors["ledger_id"].encode("utf-8")).digest()
    assert previous == bytes.fromhex(vectors["genesis"])
    columns = [row[0].strip("`") for row in reference("log-format.md").tables["Columns"]]
    for vector in vectors["rows"]:
        assert [*vector["columns"], "hash"] == columns
        canonical = "[" + ",".join(written(value) for value in vector["columns"].values()) + "]"
        assert canonical == vector["canonical"]
        previous = hashlib.sha256(previous + canonical.encode("utf-8")).digest()
        assert previous.hex() == vector["hash"]


def test_the_vectors_try_every_escape(vectors: dict[str, Any]) -> None:
    """The vectors hold missing values, accents, an emoji, and every kind of character that is escaped."""
    values = [value for vector in vectors["rows"] for value in vector["columns"].values()]
    text = "".join(value for value in values if isinstance(value, str))
    assert None in values
    assert set(text) >= {*ESCAPES, "\0", "\x1f", "\x7f", "\u2028", "é", "🚀", "/"}


def written(value: str | int | None) -> str:
    """Write a number, a text or nothing as RFC 8785 says."""
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    return '"' + "".join(ESCAPES.get(one) or (f"\\u{ord(one):04x}" if one < " " else one) for one in value) + '"'
