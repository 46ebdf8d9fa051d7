"""Lines of a workload, without a database."""

import io
import json
from collections import Counter

import pytest

from holdbook import CommandIdReused, Ledger, Release
from holdbook.infrastructure.interchange.json_lines import ImportStopped
from holdbook.infrastructure.interchange.workload import read_lines, run_workload, with_id
from support.workloads import made_up


def lines_of(*texts: str) -> io.BytesIO:
    """Make a file of lines."""
    return io.BytesIO("\n".join(texts).encode())


def test_lines_are_numbered_as_an_editor_does() -> None:
    """Blank lines count."""
    line = '{"at": "2026-01-01T00:00:00Z", "command": "expire"}'
    assert [one.number for one in read_lines(lines_of("", line, " ", line), "x")] == [2, 4]


def test_a_line_at_fault_is_found_where_it_is() -> None:
    """The lines before it are read."""
    lines = read_lines(lines_of('{"at": "2026-01-01T00:00:00Z", "command": "expire"}', "{"), "file")
    next(lines)
    with pytest.raises(ImportStopped, match=r"^file, line 2: line: expected one JSON object"):
        next(lines)


def test_equal_commands_of_a_file_have_ids_of_their_own() -> None:
    """Equal once parsed, however they are written."""
    seen: Counter[str] = Counter()
    first, second = (with_id(Release(allocation_id="a"), seen).command_id for _ in range(2))
    assert first != second
    assert with_id(Release(allocation_id="a"), Counter()).command_id == first
    assert with_id(Release(allocation_id="a", command_id="own"), seen).command_id == "own"


def test_an_error_about_no_line_known_names_the_first_that_has_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the value be shown in another form, the id still leads to a line."""

    def fail(*_: object) -> None:
        raise CommandIdReused("c", "owner", "a", "something else")

    line = '{"at": "2026-01-01T00:00:00Z", "command": "expire", "command_id": "c"}'
    with Ledger.in_memory() as ledger:
        monkeypatch.setattr(ledger, "record", fail)
        with pytest.raises(ImportStopped, match="x, line 1: "):
            run_workload(ledger, read_lines(lines_of(line), "x"), "x")


@pytest.mark.parametrize("batch", [7, 50, 10_000])
@pytest.mark.parametrize("seed", range(4))
def test_the_size_of_batches_changes_nothing(batch: int, seed: int) -> None:
    """What is decided depends on the commands alone, not on those it is recorded with."""
    assert told(made_up(300, seed), batch) == told(made_up(300, seed), 1)


def told(lines: list[dict[str, object]], batch: int) -> list[tuple[object, ...]]:
    """Run a workload in memory; tell what happened, less what depends on when."""
    with Ledger.in_memory() as ledger:
        run_workload(ledger, read_lines(lines_of(*map(json.dumps, lines)), "x"), "x", batch_commands=batch)
        return [(row.stream_id, row.version, row.type, row.occurred_at, row.data) for row in ledger.log.rows(0, 10_000)]
