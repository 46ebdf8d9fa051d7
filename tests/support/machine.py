"""What the operating system holds: mappings, ports."""

from __future__ import annotations

import errno
import os
import socket
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HOST = "127.0.0.1"


def mappings() -> int | None:
    """Count the anonymous shared mappings of this process, which `mmap.mmap(-1, size)` makes; only Linux lists them."""
    listed = Path("/proc/self/maps")
    return listed.read_text().count("/dev/zero (deleted)") if listed.exists() else None


def is_free(port: int) -> bool:
    """Tell whether nobody has a port, by binding it."""
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def bound(ports: Iterable[int]) -> int:
    """Count the ports that somebody has."""
    return sum(not is_free(port) for port in ports)


def free_ports(number: int) -> list[int]:
    """Find ports that nobody has, below those that systems give away; each process looks in another place."""
    first = 10_000 + os.getpid() % 200 * 50
    return list(islice(filter(is_free, count(first)), number))
