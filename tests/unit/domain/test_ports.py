"""What the ledger asks of the world is all there in memory."""

import inspect

import pytest

from holdbook import MemoryEventLog
from holdbook.domain import ports
from holdbook.domain.ports import EventLog, LogReader, LogWriter


def methods(port: type) -> set[str]:
    """Name what a port asks for."""
    return {name for name, _ in inspect.getmembers(port) if not name.startswith("_")}


@pytest.mark.parametrize("port", [EventLog, LogReader, LogWriter])
def test_the_log_in_memory_has_everything_that_a_port_asks_for(port: type) -> None:
    """The log, its reader and its writer; mypy compares the signatures."""
    log: EventLog = MemoryEventLog()
    with log.reading() as reader, log.writing() as writer:
        adapters: dict[type, object] = {EventLog: log, LogReader: reader, LogWriter: writer}
    assert methods(port)
    assert {name for name in methods(port) if not hasattr(adapters[port], name)} == set()


def test_a_writer_is_a_reader_that_may_append() -> None:
    """What the log's lock adds: to append, to move the queue, to find out whether an earlier commit was done."""
    assert methods(LogWriter) - methods(LogReader) == {"append", "holds", "move_queue"}
    assert ports.__doc__
