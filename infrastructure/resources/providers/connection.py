"""Connections to a database, checked out of an engine of SQLAlchemy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from holdbook.domain.errors import Malformed
from holdbook.domain.limits import Limits
from holdbook.infrastructure.resources.providers.base import BaseProvider, check_one, make_or_undo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdbook.domain.resources import Resource, ResourceMetadata


class ConnectionResourceProvider(BaseProvider[Connection, Connection]):
    """Connections to a database: a resource is a `sqlalchemy.Connection`, checked out of the engine given.

    The engine's own pool has to be large enough (``pool_size`` and ``max_overflow``), or its ``pool_timeout`` decides.
    """

    def __init__(self, engine: Engine, *, total: int) -> None:
        """Take an engine, and how many connections there may be; raises `Malformed`."""
        super().__init__()
        if not isinstance(engine, Engine):
            raise Malformed("engine", type(engine), "expected an engine of SQLAlchemy, not an asynchronous one")
        self._engine = engine
        self._limits = Limits(total=total)

    def pool_limits(self) -> Limits:
        """Tell what a pool enforces: the total given."""
        return self._limits

    def quantity(self, options: Mapping[str, Any]) -> int:
        """Tell how much of the pool a request takes: one connection."""
        return check_one(options, "connection")

    async def allocate(
        self,
        resource_type: str,  # noqa: ARG002 - the port's
        metadata: ResourceMetadata,
        **options: Any,  # noqa: ANN401 - the seed's signature
    ) -> Resource[Connection]:
        """Check a connection out; raises ConnectionError, which names the database and no password, if there is none.

        Whoever is cancelled meanwhile waits for the engine, up to its timeouts.
        """
        connection = await make_or_undo(self._connect, _give_back)
        return self._keep(metadata, options, connection, connection)

    async def validate(self, resource: Resource[Connection]) -> list[str]:
        """List what is wrong with a connection: not allocated, closed, invalidated. Asks nothing of the database."""
        connection = self._kept.get(resource.id)
        if connection is None:
            return ["Connection not allocated"]
        if connection.closed:
            return ["Connection closed by its holder"]
        return ["Connection invalidated: it broke, or its holder gave it up"] if connection.invalidated else []

    async def _take_back(self, right: str, thing: Connection) -> None:  # noqa: ARG002 - the connection says it all
        await asyncio.to_thread(_give_back, thing)

    def _connect(self) -> Connection:
        try:
            return self._engine.connect()
        except SQLAlchemyError as error:
            told = self._without_secrets(str(error).partition("\n(Background on this error")[0])
            address = self._engine.url.set(query={}).render_as_string(hide_password=True)
            message = f"no connection to {address}: {told}"
            raise ConnectionError(message) from None  # the cause would tell what was left out

    def _without_secrets(self, text: str) -> str:
        url = self._engine.url
        given = [url.password, *(value for key, value in url.normalized_query.items() if "pass" in key.lower())]
        for one in given:
            for secret in (one,) if isinstance(one, str) else one or ():
                text = text.replace(secret, "***")
        return text


def _give_back(connection: Connection) -> None:
    """Roll a connection back and return it to its engine; one that cannot be rolled back is not used again."""
    if connection.closed:
        return
    try:
        connection.rollback()
    except SQLAlchemyError:
        connection.invalidate()
    connection.close()
