"""A process that acquired things hundreds of times, from providers that fail, holds no more than when it began."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from holdbook import Ledger
from holdbook.replay.verification.verifier import verify
from support.leaking import acquire_and_count
from support.machine import free_ports
from support.processes import running

if TYPE_CHECKING:
    from pathlib import Path

KINDS = 5
NAME = "leaks"
"""What the process calls itself to a server."""


def connections(url: str) -> int:
    """Count the connections that the process has, as the server sees them."""
    question = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = :name")
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return int(connection.execute(question, {"name": NAME}).scalar_one())


def test_nothing_leaks(database_url: str, tmp_path: Path) -> None:
    """As many descriptors, mappings, directories, ports, threads and connections are open as when it began."""
    url = make_url(database_url)
    is_server = url.get_backend_name() == "postgresql"
    if is_server:
        url = url.update_query_dict({"application_name": NAME})
    address = url.render_as_string(hide_password=False)
    with running(acquire_and_count, [(address, str(tmp_path), free_ports(3))]) as [peer]:
        before, after = peer.receive()
        assert after == before
        while is_server and connections(database_url):  # the server may take a moment to notice that they are closed
            pass
    with Ledger.open(database_url) as ledger:
        assert ledger.allocations() == []
        assert [pool.used for pool in ledger.pools()] == [0] * KINDS
        assert verify(ledger.log).ok
