"""Provide TCP ports: each is kept bound, so that no other program gets it, until its holder takes the socket."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.errors import Malformed
from holdbook.domain.limits import Limits
from holdbook.infrastructure.resources.providers.base import BaseProvider, check_one, make_or_undo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdbook.domain.resources import Resource, ResourceMetadata

PORT_MAX: Final = 65_535
"""The highest TCP port."""


@dataclass(slots=True)
class _BoundPort:
    """A port that this provider has bound."""

    port: int
    socket: socket.socket
    handed_over: bool = False
    """True once the holder has taken the socket."""


class PortResourceProvider(BaseProvider[int, _BoundPort]):
    """Provides TCP ports on one address of this machine: a resource is the number of a port that is bound.

    The provider binds it with a socket without SO_REUSEADDR and SO_REUSEPORT, so that the system gives the port to no
    other process, even one with another ledger. `hand_over` returns the socket, to listen on.
    """

    def __init__(self, ports: Sequence[int], host: str = "127.0.0.1") -> None:
        """Take the numbers of the ports, 1 to 65535 and each once, and the IP address to bind; raises `Malformed`."""
        super().__init__()
        for port in ports:
            if type(port) is not int or not 1 <= port <= PORT_MAX:
                raise Malformed("ports", port, f"expected whole numbers from 1 to {PORT_MAX}")
        if not ports or len(set(ports)) < len(ports):
            raise Malformed("ports", ports, "expected at least one port, each once")
        self._ports = tuple(ports)
        self._host = host
        self._family = _address_family(host)

    def pool_limits(self) -> Limits:
        """Return the limits of the pool: the number of ports."""
        return Limits(total=len(self._ports))

    def quantity(self, options: Mapping[str, Any]) -> int:
        """Return how much of the pool a request takes: one port."""
        return check_one(options, "port")

    async def allocate(
        self,
        resource_type: str,  # noqa: ARG002 - the port's
        metadata: ResourceMetadata,
        **options: Any,  # noqa: ANN401 - the seed's signature
    ) -> Resource[int]:
        """Bind the first port that is free on this machine; raises OSError if none is, or if the system refuses one."""
        bound = await make_or_undo(self._bind_first, _close)
        return self._keep(metadata, options, bound, bound.port)

    def hand_over(self, resource: Resource[int]) -> socket.socket:
        """Return the socket that is bound to the port, to listen on; each socket is handed over once.

        Releasing the resource closes the socket. Raises ValueError if the port is not allocated here, or its socket was
        handed over before.
        """
        bound = self._thing(resource)
        if bound.handed_over:
            message = f"Port handed over before: {bound.port}"
            raise ValueError(message)
        bound.handed_over = True
        return bound.socket

    async def validate(self, resource: Resource[int]) -> list[str]:
        """List what is wrong with a port: not allocated, or, unless it was handed over, not bound any more."""
        bound = self._kept.get(resource.id)
        if bound is None:
            return ["Port not allocated"]
        if bound.handed_over or bound.socket.fileno() >= 0:
            return []
        return [f"Port not bound: {bound.port}"]

    async def _take_back(self, right: str, thing: _BoundPort) -> None:  # noqa: ARG002 - the port is enough
        _close(thing)

    def _bind_first(self) -> _BoundPort:
        """Bind the first port that is free; raises OSError."""
        ours = {bound.port for bound in list(self._kept.values()) if bound.socket.fileno() >= 0}
        for port in self._ports:
            if port not in ours and (found := self._bind(port)) is not None:
                return _BoundPort(port, found)
        message = (
            f"no port is free on {self._host}: of {len(self._ports)} from {min(self._ports)} to {max(self._ports)}, "
            f"{len(ours)} are held here, the others by other programs"
        )
        raise OSError(errno.EADDRINUSE, message)

    def _bind(self, port: int) -> socket.socket | None:
        """Bind a port; None if another program has it. Raises OSError if the system refuses for another reason."""
        found = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            found.bind((self._host, port))
        except OSError as error:
            found.close()
            if error.errno == errno.EADDRINUSE:
                return None
            message = f"port {port} of {self._host} cannot be bound: {error.strerror}"
            raise OSError(error.errno, message) from error
        return found


def _close(bound: _BoundPort) -> None:
    bound.socket.close()


def _address_family(host: str) -> socket.AddressFamily:
    """Tell whether an IP address is of version 4 or 6; raises `Malformed` if it is none."""
    try:
        return socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET  # noqa: PLR2004 - IPv6
    except ValueError:
        raise Malformed("host", host, "expected an IP address of this machine, such as 127.0.0.1") from None
