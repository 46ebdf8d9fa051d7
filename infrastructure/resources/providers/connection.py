"""Provide connections to a database, checked out of an engine of SQLAlchemy."""

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
    """Provides connections to a database: a resource is a `sqlalchemy.Connection`, checked out of an engine.

    If the engine's own pool (``pool_size`` and ``max_overflow``) is smaller than the ledger's, an allocation may wait
    for a connection until the engine's ``pool_timeout``.
    """

    def __init__(self, engine: Engine, *, total: int) -> None:
        """Take an engine, and the number of connections that may be checked out at once; raises `Malformed`."""
        super().__init__()
        if not isinstance(engine, Engine):
            raise Malformed("engine", type(engine), "expected an engine of SQLAlchemy, not an asynchronous one")
        self._engine = engine
        self._limits = Limits(total=total)

    def pool_limits(self) -> Limits:
        """Return the limits of the pool: the total given."""
        return self._limits

    def quantity(self, options: Mapping[str, Any]) -> int:
        """Return how much of the pool a request takes: one connection."""
        return check_one(options, "connection")

    async def allocate(
        self,
        resource_type: str,  # noqa: ARG002 - the port's
        metadata: ResourceMetadata,
        **options: Any,  # noqa: ANN401 - the seed's signature
    ) -> Resource[Connection]:
        """Check a connection out of the engine.

        Raises ConnectionError if the engine gives none; the message names the database, and no password. A task that
        is cancelled waits until the engine is done, by its timeouts at the latest.
        """
        connection = await make_or_undo(self._connect, _give_back)
        return self._keep(metadata, options, connection, connection)

    async def validate(self, resource: Resource[Connection]) -> list[str]:
        """List what is wrong with a connection: not allocated, closed or invalidated. Sends nothing to the database."""
        connection = self._kept.get(resource.id)
        if connection is None:
            return ["Connection not allocated"]
        if connection.closed:
            return ["Connection closed by its holder"]
        return ["Connection invalidated: it broke, or its holder gave it up"] if connection.invalidated else []

    async def _take_back(self, right: str, thing: Connection) -> None:  # noqa: ARG002 - the connection is enough
        await asyncio.to_thread(_give_back, thing)

    def _connect(self) -> Connection:
        """Check a connection out; raises ConnectionError."""
        try:
            return self._engine.connect()
        except SQLAlchemyError as error:
            told = self._without_secrets(str(error).partition("\n(Background on this error")[0])
            address = self._engine.url.set(query={}).render_as_string(hide_password=True)
            message = f"no connection to {address}: {told}"
            raise ConnectionError(message) from None  # the cause has the secrets that are masked here

    def _without_secrets(self, text: str) -> str:
        """Mask the passwords of the engine's address in a text: its own, and those among its options."""
        url = self._engine.url
        given = [url.password, *(value for key, value in url.normalized_query.items() if "pass" in key.lower())]
        for one in given:
            for secret in (one,) if isinstance(one, str) else one or ():
                text = text.replace(secret, "***")
        return text


def _give_back(connection: Connection) -> None:
    """Roll a connection back, or invalidate it so that it is not used again, and return it to its engine."""
    if connection.closed:
        return
    try:
        connection.rollback()
    except SQLAlchemyError:
        connection.invalidate()
    connection.close()
