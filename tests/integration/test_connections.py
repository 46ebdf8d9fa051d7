"""Connections from an engine: rolled back and returned, on both databases."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL

from holdbook import ConnectionResourceProvider, Limits, Malformed
from support.asking import made_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

SECRET = "hunter2"  # noqa: S105 - a password to be looked for in messages


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine that keeps one connection, and gives no second."""
    engine = create_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    yield engine
    engine.dispose()


def driver(connection: Connection) -> Any:  # noqa: ANN401 - a driver's
    """Give the driver's own connection."""
    return connection.connection.driver_connection


async def test_a_connection_is_rolled_back_and_returned(engine: Engine) -> None:
    """What its holder did not commit is gone, and the next holder has the same connection of the driver's."""
    provider = ConnectionResourceProvider(engine, total=1)
    assert (provider.pool_limits(), provider.quantity({"size": 1})) == (Limits(total=1), 1)
    resource = await made_by(provider)
    connection, before = resource.data, driver(resource.data)
    await asyncio.to_thread(connection.execute, text("CREATE TABLE scratch (x int)"))
    connection.commit()
    connection.execute(text("INSERT INTO scratch VALUES (1)"))
    assert await provider.validate(resource) == []
    await provider.release(resource)
    assert connection.closed
    again = await made_by(provider)
    assert driver(again.data) is before
    assert again.data.execute(text("SELECT count(*) FROM scratch")).scalar() == 0
    await provider.release(again)


async def test_what_a_holder_does_to_its_connection(engine: Engine) -> None:
    """One that its holder closed or invalidated is reported, and can be released."""
    provider = ConnectionResourceProvider(engine, total=1)
    for spoil, fault in (
        ("close", "Connection closed by its holder"),
        ("invalidate", "Connection invalidated: it broke, or its holder gave it up"),
    ):
        resource = await made_by(provider)
        getattr(resource.data, spoil)()
        assert await provider.validate(resource) == [fault]
        await provider.release(resource)
        assert await provider.validate(resource) == ["Connection not allocated"]
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool


async def test_one_that_is_broken_is_not_used_again(engine: Engine) -> None:
    """A connection that cannot be rolled back is given up; the next holder gets a new one."""
    provider = ConnectionResourceProvider(engine, total=1)
    resource = await made_by(provider)
    resource.data.execute(text("SELECT 1"))
    broken = driver(resource.data)
    broken.close()
    await provider.release(resource)
    again = await made_by(provider)
    assert driver(again.data) is not broken
    assert again.data.execute(text("SELECT 1")).scalar() == 1
    await provider.cleanup()


async def test_the_engine_has_none_left(engine: Engine) -> None:
    """Where the ledger grants and the engine has none, the engine's error is told."""
    provider = ConnectionResourceProvider(engine, total=2)
    await made_by(provider)
    with pytest.raises(ConnectionError, match=r"no connection to .*: QueuePool limit of size 1 overflow 0 reached"):
        await made_by(provider)
    await provider.cleanup()


@pytest.mark.parametrize("query", [{}, {"password": SECRET}, {"sslpassword": (SECRET, SECRET)}])
async def test_no_message_holds_a_password(query: dict[str, str | tuple[str, ...]]) -> None:
    """Whatever the driver says, the error names the database and no password, and hides no cause that would."""
    password = None if query else SECRET

    def connect() -> Any:  # noqa: ANN401 - never gives one
        raise psycopg.OperationalError(f"could not connect with {SECRET}")

    url = URL.create("postgresql+psycopg", "ann", password, "db.example", 5432, "ledger", query=query)
    engine = create_engine(url, creator=connect)
    with pytest.raises(ConnectionError) as told:
        await made_by(ConnectionResourceProvider(engine, total=1))
    hidden = ":***" if password else ""
    assert f"no connection to postgresql+psycopg://ann{hidden}@db.example:5432/ledger: " in str(told.value)
    assert "could not connect with ***" in str(told.value)
    assert SECRET not in repr(told.value)
    assert told.value.__suppress_context__


def test_what_is_no_engine() -> None:
    """Something else than an engine, and a total out of range, are errors that name them."""
    with pytest.raises(Malformed, match="engine: expected an engine of SQLAlchemy"):
        ConnectionResourceProvider("sqlite://", total=1)  # type: ignore[arg-type]  # that is what is wrong
    with pytest.raises(Malformed, match="total"):
        ConnectionResourceProvider(create_engine("sqlite://"), total=-1)
