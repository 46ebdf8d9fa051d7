"""TCP ports: bound until their holder takes them, and never given twice on one machine."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from holdbook import Limits, Malformed, PortResourceProvider
from support.asking import made_by
from support.machine import HOST, bound, free_ports, is_free


async def test_a_port_is_bound() -> None:
    """A resource is the first port that is free; nobody else can bind it until it is released."""
    ports = free_ports(2)
    provider = PortResourceProvider(ports)
    assert (provider.pool_limits(), provider.quantity({})) == (Limits(total=2), 1)
    one, two = await made_by(provider), await made_by(provider)
    assert ([one.data, two.data], bound(ports)) == (ports, 2)
    await provider.release(one)
    assert (is_free(ports[0]), is_free(ports[1])) == (True, False)
    assert (await made_by(provider)).data == ports[0]
    await provider.cleanup()
    assert bound(ports) == 0


async def test_two_providers_never_give_the_same() -> None:
    """Providers that know nothing of each other, with the same ports, share them out."""
    ports = free_ports(4)
    one, other = PortResourceProvider(range(ports[0], ports[-1] + 1)), PortResourceProvider(ports)
    made = await asyncio.gather(*(made_by(provider) for provider in (one, other, one, other)))
    assert sorted(resource.data for resource in made) == ports
    await asyncio.gather(one.cleanup(), other.cleanup())


async def test_none_is_free() -> None:
    """Where the ledger grants and the machine has none left, the error says who has them."""
    ports = free_ports(2)
    provider = PortResourceProvider(ports)
    with socket.socket() as other:
        other.bind((HOST, ports[0]))
        await made_by(provider)
        with pytest.raises(
            OSError, match=r"no port is free on 127\.0\.0\.1: of 2 .*, 1 are held here, the others by other"
        ):
            await made_by(provider)
    assert (await made_by(provider)).data == ports[0]
    await provider.cleanup()


async def test_the_socket_is_handed_over() -> None:
    """The holder gets the socket that is bound, once, and serves on it; released, it is closed."""
    [port] = free_ports(1)
    provider = PortResourceProvider([port])
    resource = await made_by(provider)
    listening = provider.hand_over(resource)
    with pytest.raises(ValueError, match=f"^Port handed over before: {port}$"):
        provider.hand_over(resource)
    server = await asyncio.start_server(lambda _, writer: writer.close(), sock=listening)
    reader, writer = await asyncio.open_connection(HOST, port)
    assert await reader.read() == b""
    writer.close()
    assert await provider.validate(resource) == []
    server.close()
    await server.wait_closed()
    assert await provider.validate(resource) == []
    await provider.release(resource)
    with pytest.raises(ValueError, match="Resource not allocated here"):
        provider.hand_over(resource)


async def test_a_release_closes_what_was_handed_over() -> None:
    """A port whose holder forgot to close it is free after the release."""
    [port] = free_ports(1)
    provider = PortResourceProvider([port])
    resource = await made_by(provider)
    with provider.hand_over(resource) as listening:
        listening.listen()
        await provider.release(resource)
        assert (listening.fileno(), is_free(port)) == (-1, True)


async def test_faults() -> None:
    """A port that is not bound any more is reported, and can be had by the next."""
    [port] = free_ports(1)
    provider = PortResourceProvider([port])
    resource = await made_by(provider)
    provider._thing(resource).socket.close()  # noqa: SLF001 - nobody else can
    assert await provider.validate(resource) == [f"Port not bound: {port}"]
    assert (await made_by(provider)).data == port
    await provider.release(resource)
    assert await provider.validate(resource) == ["Port not allocated"]
    await provider.cleanup()


async def test_another_family() -> None:
    """Ports of an IPv6 address are bound as well."""
    [port] = free_ports(1)
    provider = PortResourceProvider([port], host="::1")
    with provider.hand_over(await made_by(provider)) as listening:
        assert listening.getsockname()[:2] == ("::1", port)


async def test_an_address_that_is_elsewhere() -> None:
    """What the system does not let us bind is an error that names port and address; nothing is tried after it."""
    with pytest.raises(OSError, match=r"port 20000 of 192\.0\.2\.1 cannot be bound: Cannot assign"):
        await made_by(PortResourceProvider([20000, 20001], host="192.0.2.1"))


@pytest.mark.parametrize(
    ("ports", "host", "named"),
    [
        ([], HOST, "ports: expected at least one"),
        ([1, 1], HOST, "ports: expected at least one port, each once"),
        ([0], HOST, "ports: expected whole numbers from 1 to 65535; got 0"),
        ([65536], HOST, "ports"),
        ([True], HOST, "ports"),
        ([1], "localhost", "host: expected an IP address"),
    ],
)
def test_ports_that_are_none(ports: list[int], host: str, named: str) -> None:
    """What is no port or no address is an error that names it, when the provider is made."""
    with pytest.raises(Malformed, match=named):
        PortResourceProvider(ports, host)


@pytest.mark.parametrize("size", [2, 0, True, "1"])
def test_one_at_a_time(size: Any) -> None:  # noqa: ANN401 - whatever a caller gives
    """A request is for one port; one for more is an error before the ledger is asked."""
    with pytest.raises(Malformed, match="size: expected 1, or none: a request is for one port"):
        PortResourceProvider([1]).quantity({"size": size})
