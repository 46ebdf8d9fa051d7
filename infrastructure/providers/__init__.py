"""Providers of real things: memory, directories, ports, connections, and units that have names."""

from bursar.infrastructure.providers.connection import ConnectionResourceProvider
from bursar.infrastructure.providers.directory import DirectoryResourceProvider
from bursar.infrastructure.providers.keeping import make_or_undo
from bursar.infrastructure.providers.memory import REPORTED_SIZE_MAX, TOTAL_DEFAULT, MemoryResourceProvider
from bursar.infrastructure.providers.port import PortResourceProvider
from bursar.infrastructure.providers.units import UnitResourceProvider

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
