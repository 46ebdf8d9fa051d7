"""Databases for every kind of test. PostgreSQL is real; each test has a database of its own."""

import asyncio
import inspect
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support.postgres import DURABLE, Databases, PostgresServer, any_server
from support.tracing import untraced

BACKENDS = ("sqlite", "postgresql")

settings.register_profile("holdbook", deadline=None)  # a database's pauses are no failures
settings.load_profile("holdbook")


ASYNC_SECONDS_MAX = 120
"""How long a test in asyncio may take before it fails."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run what is marked `untraced` out of coverage's sight, its fixtures and its processes included."""
    if item.get_closest_marker("untraced") is None:
        return (yield)
    with untraced():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine, each in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), ASYNC_SECONDS_MAX))
    return True


def prepare(url: str) -> None:
    """Give an empty database the ledger's schema."""
    from holdbook import Ledger  # noqa: PLC0415 - tests that need no ledger run without it

    Ledger.open(url, create=True).close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Databases]:
    """One server for the logic tests of a worker."""
    with any_server() as databases:
        yield databases


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Databases) -> Iterator[str]:
    """Name a database that has the ledger's schema, to copy from."""
    with postgres_server.database() as name:
        prepare(postgres_server.url(name))
        yield name


@pytest.fixture
def postgres_url(postgres_server: Databases, postgres_template: str) -> Iterator[str]:
    """A fresh PostgreSQL database with the ledger's schema."""
    with postgres_server.database(postgres_template) as name:
        yield postgres_server.url(name)


@pytest.fixture
def empty_postgres_url(postgres_server: Databases) -> Iterator[str]:
    """A fresh PostgreSQL database with nothing in it."""
    with postgres_server.database() as name:
        yield postgres_server.url(name)


@pytest.fixture
def durable_postgres() -> Iterator[PostgresServer]:
    """A server of the test's own that keeps what it acknowledged: crash it and start it again."""
    with PostgresServer(DURABLE) as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that has the ledger's schema, to copy from."""
    path = tmp_path_factory.mktemp("template") / "holdbook.db"
    prepare(f"sqlite:///{path}")
    assert [file.name for file in path.parent.iterdir()] == [path.name], "a closed ledger leaves one file"
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh SQLite file with the ledger's schema."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'holdbook.db')}"


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database with the ledger's schema, on each backend in turn."""
    return str(request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]))


@pytest.fixture(params=BACKENDS)
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """A database without a schema, on each backend in turn."""
    return str(
        request.getfixturevalue({"sqlite": "empty_sqlite_url", "postgresql": "empty_postgres_url"}[request.param])
    )
