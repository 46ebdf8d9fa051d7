"""Providers of real things: memory, directories, ports, connections, and units that have names."""

from holdbook.infrastructure.providers.connection import ConnectionResourceProvider
from holdbook.infrastructure.providers.directory import DirectoryResourceProvider
from holdbook.infrastructure.providers.keeping import make_or_undo
from holdbook.infrastructure.providers.memory import REPORTED_SIZE_MAX, TOTAL_DEFAULT, MemoryResourceProvider
from holdbook.infrastructure.providers.port import PortResourceProvider
from holdbook.infrastructure.providers.units import UnitResourceProvider

__all__ = [
    "REPORTED_SIZE_MAX",
    "TOTAL_DEFAULT",
    "ConnectionResourceProvider",
    "DirectoryResourceProvider",
    "MemoryResourceProvider",
    "PortResourceProvider",
    "UnitResourceProvider",
    "make_or_undo",
]
