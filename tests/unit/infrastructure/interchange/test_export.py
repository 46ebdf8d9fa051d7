"""The log's events as lines, without a database."""

import pytest

from holdbook import Ledger, LogCorrupt
from holdbook.domain.commands import command_from
from holdbook.infrastructure.interchange.export import export_line, export_lines
from support.workloads import made_up


def test_an_export_tells_its_progress() -> None:
    """How much of what was asked for is done."""
    told: list[tuple[int, int]] = []
    with Ledger.in_memory() as ledger:
        ledger.record(list(map(command_from, made_up(100))))
        lines = list(export_lines(ledger.log, 11, 40, lambda done, total: told.append((done, total))))
    assert len(lines) == 30
    assert told == [(30, 30)]


def test_data_that_is_no_json_is_not_exported() -> None:
    """The line would not be JSON either; the position is named."""
    with Ledger.in_memory() as ledger:
        ledger.record(list(map(command_from, made_up(3))))
        row = ledger.log.rows()[1]
    with pytest.raises(LogCorrupt, match="position 2: the data of PoolOpened is no JSON"):
        export_line(row._replace(data="{"))
