"""What callers were told, held against what the log holds, read past all of our code."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from holdbook import LogUnavailable
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from support.logs import query, raw_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdbook import Allocate, Command, Ledger, Outcome

DEADLINE_SECONDS: Final = 60.0
"""How long a test waits for what has to come."""

Row = tuple[Any, ...]


def submit_all(ledger: Ledger, commands: Sequence[Command]) -> list[Future[Outcome]]:
    """Submit each command from a thread of its own, all at once; all of them wait in the queue when this returns."""
    with ThreadPoolExecutor(len(commands)) as threads:
        return list(threads.map(ledger.submit, commands))


def answers(futures: Iterable[Future[Outcome]]) -> list[Outcome]:
    """Wait for outcomes, refusals among them."""
    return [future.result(DEADLINE_SECONDS) for future in futures]


def told_unknown(futures: Iterable[Future[Outcome]]) -> list[str]:
    """Wait until each caller was told that its command's outcome is not known; give the commands' ids."""
    errors = [future.exception(DEADLINE_SECONDS) for future in futures]
    return [unknown_id(error) for error in errors]


def unknown_id(error: BaseException | None) -> str:
    """Check that an error says that a command's outcome is not known, and give the command's id."""
    assert isinstance(error, LogUnavailable), f"an outcome or another error: {error!r}"
    assert error.command_id is not None
    assert error.command_id in str(error), "a person who reads the message learns what to send again"
    return error.command_id


def again(command: Command, command_id: str) -> Command:
    """Make the command that a caller sends again, by its id."""
    return command.model_copy(update={"command_id": command_id})


def count(url: str, command_id: str) -> int:
    """Count a command's events in the log."""
    return len([row for row in raw_rows(url) if row[5] == command_id])


def by_command(url: str) -> dict[str, list[Row]]:
    """Read the log's rows by command, having checked that positions are dense and every command is there whole."""
    rows = raw_rows(url)
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1)), "positions are not dense"
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[5]].append(row)
    for command_id, some in found.items():
        assert [(row[6], row[7]) for row in some] == [(n, len(some)) for n in range(len(some))], (
            f"command {command_id} is not there as a whole, once"
        )
        assert [row[0] for row in some] == list(range(some[0][0], some[0][0] + len(some))), "others are in between"
    return found


def check_told(url: str, outcomes: Iterable[Outcome]) -> None:
    """Check that the log holds what callers were told, each command once."""
    log = by_command(url)
    for outcome in outcomes:
        rows = log.get(outcome.command_id, [])
        told = [
            (record.position, record.event.stream_id, record.version, type(record.event).__name__)
            for record in outcome.records
        ]
        assert told == [(row[0], row[1], row[2], row[3]) for row in rows], "a caller was told what is not in the log"


def check_same(ledger: Ledger, command: Command, outcome: Outcome) -> None:
    """Check that a command sent again, by its id, gets the outcome its caller was told, and appends nothing."""
    repeated = ledger.submit(again(command, outcome.command_id)).result(DEADLINE_SECONDS)
    assert repeated.repeated
    assert repeated.records == outcome.records
    assert (repeated.refusal and (repeated.refusal.code, repeated.refusal.data)) == (
        outcome.refusal and (outcome.refusal.code, outcome.refusal.data)
    )


def send_until_known(ledger: Ledger, url: str, commands: Iterable[tuple[str, Allocate]]) -> None:
    """Send commands of unknown outcome again, by their ids; each is in the log exactly once afterwards."""
    for command_id, command in commands:
        present = count(url, command_id)
        outcome = ledger.execute(again(command, command_id))
        assert outcome.repeated or not present  # it may have come late, after it was looked for
        assert count(url, command_id) == len(outcome.records) == len(command.quantities)


def check_promises(ledger: Ledger) -> None:
    """Check every promise on the whole log, as ``holdbook verify`` does."""
    report = verify_ledger(ledger)
    assert not report.findings, report.findings[:10]


def holds(url: str, pool: str) -> int:
    """Count the units of a pool that were granted and not given back, from the log alone; each grant is of one unit."""
    kinds = query(url, f"SELECT type FROM events WHERE stream_id = 'pool:{pool}'")  # noqa: S608 - a test's own names
    return sum({"Allocated": 1, "Released": -1}.get(kind, 0) for (kind,) in kinds)
