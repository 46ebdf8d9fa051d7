"""The published names on PostgreSQL: what auditors were granted survives, and no reader queues behind a switch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from time import sleep
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url

from holdbook import Ledger, LogUnavailable
from holdbook.infrastructure.views import publication as publishing
from holdbook.projections.generations import GenerationState
from holdbook.projections.views.allocation_history import ALLOCATION_HISTORY
from support.logs import account, execute, query, raw_connection
from support.projecting import check_right, generations, head_of, keeper, log_of, status_of, with_columns
from support.story import Clock, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

HISTORY = "allocation_history"
COLUMNS = dict(ALLOCATION_HISTORY.published.columns)
FEWER = with_columns(ALLOCATION_HISTORY, {name: kind for name, kind in COLUMNS.items() if name != "actor"})
MORE = with_columns(ALLOCATION_HISTORY, {**COLUMNS, "ordinal": int}, lambda fact: {"ordinal": fact.ordinal})


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[Ledger]:
    """A ledger in which everything has happened, its views up to date."""
    clock = Clock()
    with Ledger.open(postgres_url, clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
        ledger.projector().catch_up()
        yield ledger


class TestGrants:
    """What was granted on a published name stays granted, whatever generation is behind it."""

    @pytest.mark.parametrize("view", [ALLOCATION_HISTORY, MORE, FEWER], ids=["same", "more", "fewer"])
    def test_they_survive(self, ledger: Ledger, postgres_url: str, view: Any) -> None:  # noqa: ANN401 - a view
        """Grants on the view and on its columns, to accounts and to all, with the right to pass them on."""
        with account(postgres_url, "USAGE ON SCHEMA public TO CURRENT_USER; GRANT SELECT") as url:
            name = make_url(url).username
            execute(
                postgres_url,
                f'REVOKE ALL ON ALL TABLES IN SCHEMA public FROM "{name}"',
                f'GRANT SELECT ON {HISTORY} TO "{name}" WITH GRANT OPTION',
                f"GRANT SELECT (position, actor) ON {HISTORY} TO PUBLIC",
                f'GRANT UPDATE (owner) ON {HISTORY} TO "{name}"',
            )
            before, column_grant = grants(postgres_url), ("PUBLIC", "SELECT", "actor", "NO")
            assert column_grant in before
            [built] = keeper(ledger, view).rebuild()
            assert built.published
            gone = {one for one in before if one[2] == "actor"} if view is FEWER else set()
            assert grants(postgres_url) == before - gone
            assert query(url, f"SELECT count(*) FROM {HISTORY}") == [(built.compared_rows,)]  # noqa: S608 - names of our own
            keeper(ledger, view).roll_back(HISTORY)
            assert grants(postgres_url) == before - ({column_grant} if view is FEWER else set())

    def test_others_views(self, ledger: Ledger, postgres_url: str) -> None:
        """An auditor's own view on a published name goes on, also when columns are added behind it."""
        execute(postgres_url, f"CREATE VIEW mine AS SELECT position, actor FROM {HISTORY}")  # noqa: S608 - names of our own
        before = query(postgres_url, "SELECT * FROM mine")
        for view in (ALLOCATION_HISTORY, MORE):
            assert [one.published for one in keeper(ledger, view).rebuild()] == [True]
            assert query(postgres_url, "SELECT * FROM mine") == before
        assert query(postgres_url, f"SELECT ordinal FROM {HISTORY} WHERE position = 1") == []  # noqa: S608 - names of our own

    def test_others_views_on_columns_that_go(self, ledger: Ledger, postgres_url: str) -> None:
        """Where columns are to go, whoever depends on the name is named, and nothing is switched; then it goes on."""
        execute(postgres_url, f"CREATE VIEW mine AS SELECT position, actor FROM {HISTORY}")  # noqa: S608 - names of our own
        before = query(postgres_url, "SELECT * FROM mine")
        with pytest.raises(LogUnavailable, match=r"others depend on it: view mine .*drop those first"):
            keeper(ledger, FEWER).rebuild()
        assert query(postgres_url, "SELECT * FROM mine") == before
        assert [(one.number, one.state) for one in generations(ledger, HISTORY)] == [
            (1, GenerationState.LIVE),
            (2, GenerationState.BUILDING),
        ]
        execute(postgres_url, "DROP VIEW mine")
        [built] = keeper(ledger, FEWER).rebuild()
        assert (built.published, built.resumed_from) == (True, head_of(ledger))


def grants(url: str) -> set[tuple[Any, ...]]:
    """List what is granted on the columns of a published name that it had at first, as the catalogue tells it."""
    found = query(
        url,
        "SELECT grantee, privilege_type, column_name, is_grantable FROM information_schema.column_privileges "
        "WHERE table_name = 'allocation_history'",
    )
    return {row for row in found if row[2] in COLUMNS}


@contextmanager
def reading(url: str, name: str) -> Iterator[psycopg.Connection[Any]]:
    """Read a view in a transaction that lasts as long as the block, as a long report does."""
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)) as reader:
        reader.execute(f"SELECT count(*) FROM {name}")  # noqa: S608 - names of our own
        yield reader


class Attempts:
    """Counts how often a switch gave up, by its sleeping between two attempts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, enough: int) -> None:
        self.seen = Event()
        self._left = enough
        monkeypatch.setattr(publishing, "sleep", self._slept)

    def _slept(self, seconds: float) -> None:
        self._left -= 1
        if self._left <= 0:
            self.seen.set()
        sleep(seconds)


class TestLocks:
    """A switch needs a lock that every reader of the view holds for as long as its transaction lasts."""

    @pytest.mark.parametrize("work", ["rebuild", "roll_back", "prune"])
    def test_a_long_reader(self, ledger: Ledger, postgres_url: str, monkeypatch: pytest.MonkeyPatch, work: str) -> None:
        """A switch gives up and tries again while one reads, and others read; when that one ends, it is done."""
        ledger.projector().rebuild("metrics")
        attempts = Attempts(monkeypatch, 2)
        read = "gen_metrics_1" if work == "prune" else "metrics"
        with ThreadPoolExecutor(1) as threads:
            with reading(postgres_url, read) as reader:
                working = threads.submit(getattr(ledger.projector(), work), "metrics")
                assert attempts.seen.wait(60)
                for _ in range(50):  # while it tries on, nobody waits for longer than one attempt
                    assert query(postgres_url, f"SELECT count(*) > 0 FROM {read}") == [(True,)]  # noqa: S608 - names of our own
                assert not working.done()
                assert status_of(ledger, "metrics").generation == 2
                assert reader.execute(f"SELECT count(*) > 0 FROM {read}").fetchone() == (True,)  # noqa: S608 - names of our own
            working.result(60)
        stands = [one.number for one in generations(ledger, "metrics") if one.state is GenerationState.LIVE]
        assert stands == {"rebuild": [3], "roll_back": [1], "prune": [2]}[work]
        check_right(ledger, postgres_url)

    def test_a_long_reader_of_columns_that_go(
        self, ledger: Ledger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A switch to fewer columns, for which the name is made anew, gives up and is tried again in the same way."""
        attempts = Attempts(monkeypatch, 2)
        with ThreadPoolExecutor(1) as threads:
            with reading(postgres_url, HISTORY):
                working = threads.submit(keeper(ledger, FEWER).rebuild)
                assert attempts.seen.wait(60)
                assert not working.done()
                assert len(query(postgres_url, f"SELECT actor FROM {HISTORY}")) > 0  # noqa: S608 - names of our own
            [built] = working.result(60)
        assert built.published
        with pytest.raises(psycopg.errors.UndefinedColumn):
            query(postgres_url, f"SELECT actor FROM {HISTORY}")  # noqa: S608 - names of our own

    def test_patience_ends(self, ledger: Ledger, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reader that does not end in time keeps the switch off; the next rebuild has only to switch."""
        monkeypatch.setattr(publishing, "PATIENCE_SECONDS", 0.0)
        with reading(postgres_url, "metrics"), pytest.raises(LogUnavailable, match="kept the view in use for 0 s"):
            ledger.projector().rebuild("metrics")
        status = status_of(ledger, "metrics")
        assert (status.generation, status.building, status.kept) == (1, 2, ())
        [built] = ledger.projector().rebuild("metrics")
        assert (built.generation, built.published, built.resumed_from) == (2, True, head_of(ledger))

    def test_a_follower_in_the_middle_of_it(self, ledger: Ledger, postgres_url: str) -> None:
        """A follower about to move the live generation waits for a switch that has begun: nothing is put behind it."""
        with ThreadPoolExecutor(1) as threads, Ledger.open(postgres_url) as other:
            following: list[Any] = []

            def follow(*context: Any) -> None:  # noqa: ANN401 - as SQLAlchemy tells it
                statement, parameters = context[2:4]
                if statement.startswith("UPDATE generations SET state") and "kept" in str(parameters):
                    following.append(threads.submit(other.projector().catch_up))
                    while not following[0].done() and not is_anyone_waiting(postgres_url):
                        pass

            def write(text: str) -> None:
                if "fold" in text:  # too late for what is built, and there for the follower to find
                    event.listen(log_of(ledger).database.engine, "before_cursor_execute", follow)

            def append(*_: int) -> None:
                if not following:
                    other.allocate({"cpu": 5}, owner="zoe")

            [built] = keeper(ledger, tell=write).rebuild("metrics", progress=append)
            assert built.published
            assert query(postgres_url, "SELECT sum(count) FROM metrics") >= [(built.position,)]
            following[0].result(60)
            [kept, _] = generations(ledger, "metrics")
            assert kept.position <= built.position
        ledger.projector().catch_up()
        check_right(ledger, postgres_url)


def is_anyone_waiting(url: str) -> bool:
    """Tell whether anybody waits for a lock in a database."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with raw_connection(url) as connection:
        (count,) = connection.execute(asked).fetchone() or (0,)
    return bool(count)
