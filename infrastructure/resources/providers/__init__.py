"""Providers of real things: memory, directories, TCP ports, database connections, and units that have names.

Other rooms import the providers and `make_or_undo` from here, and nothing from the modules.
"""

from holdbook.infrastructure.resources.providers.base import make_or_undo
from holdbook.infrastructure.resources.providers.connection import ConnectionResourceProvider
from holdbook.infrastructure.resources.providers.directory import DirectoryResourceProvider
from holdbook.infrastructure.resources.providers.memory import REPORTED_SIZE_MAX, TOTAL_DEFAULT, MemoryResourceProvider
from holdbook.infrastructure.resources.providers.port import PortResourceProvider
from holdbook.infrastructure.resources.providers.units import UnitResourceProvider

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
