"""The Merkle tree over the log, stored in tiles of 256 hashes as c2sp.org/tlog-tiles describes.

Tile number N of tile level L holds the hashes of level 8 L of the tree, from index 256 N on; the last tile of a level
holds as many as there are so far. A tile only ever grows, and its content follows from the log alone, so that two
sealers write the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from holdbook.domain.errors import HoldbookError
from holdbook.infrastructure.database.tables import seal_tiles, upsert
from holdbook.replay.evidence.merkle import HASH_BYTES, fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

TILE_LEVELS: Final = 8
"""How many levels of the tree a tile spans."""

TILE_HASHES: Final = 1 << TILE_LEVELS
"""How many hashes a full tile holds."""

_TILES_PER_READ: Final = 64
"""How many tiles are read at a time."""


@dataclass(slots=True)
class Tile:
    """A tile: its level, its number within the level, and its hashes, one after the other."""

    level: int
    number: int
    hashes: bytes
    chain: bytes | None = None
    """The hash, in the chain, of the last event that the tile covers; None above level 0."""

    @property
    def count(self) -> int:
        """How many hashes it holds."""
        return len(self.hashes) // HASH_BYTES


def root_of(hashes: bytes) -> bytes:
    """Compute the root over hashes whose number is a power of two."""
    return fold(_split(hashes))


def _split(hashes: bytes) -> list[bytes]:
    """Split hashes that stand one after the other."""
    return [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]


class TreeEdge:
    """The last tile of each level of the stored tree, to which leaves are appended."""

    def __init__(self, tiles: Iterable[Tile]) -> None:
        self._last = {tile.level: tile for tile in tiles}
        self._changed: dict[tuple[int, int], Tile] = {}

    @classmethod
    def load(cls, connection: Connection) -> TreeEdge:
        """Read the last tile of each level."""
        found: list[Tile] = []
        while tile := _last_tile(connection, len(found)):
            found.append(tile)
        return cls(found)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        last = self._last.get(0)
        return last.number * TILE_HASHES + last.count if last else 0

    @property
    def chain(self) -> bytes | None:
        """The hash, in the chain, of the last event that the tree covers; None if there is none."""
        return self._last[0].chain if self._last else None

    def append(self, leaf: bytes, chain: bytes) -> None:
        """Append the leaf of an event, whose hash in the chain is given too."""
        self._push(0, leaf).chain = chain

    def _push(self, level: int, hashed: bytes) -> Tile:
        """Append a hash to a level and, if that fills a tile, the tile's root to the level above; give the tile."""
        tile = self._last.get(level)
        if tile is None:
            tile = Tile(level, 0, b"")
        elif tile.count == TILE_HASHES:
            tile = Tile(level, tile.number + 1, b"")
        tile.hashes += hashed
        self._last[level] = self._changed[level, tile.number] = tile
        if tile.count == TILE_HASHES:
            self._push(level + 1, root_of(tile.hashes))
        return tile

    def save(self, connection: Connection) -> None:
        """Write the tiles that have changed, except those that another sealer has extended further meanwhile."""
        adding = upsert(connection, seal_tiles)
        grown = func.length(adding.excluded.hashes) > func.length(seal_tiles.c.hashes)
        changed = {"hashes": adding.excluded.hashes, "chain": adding.excluded.chain}
        adding = adding.on_conflict_do_update(index_elements=["level", "number"], set_=changed, where=grown)
        rows = [  # in order, so that two sealers cannot wait for each other in a circle
            {"level": one.level, "number": one.number, "hashes": one.hashes, "chain": one.chain}
            for _, one in sorted(self._changed.items())
        ]
        connection.execute(adding, rows)
        self._changed = {}


def _last_tile(connection: Connection, level: int) -> Tile | None:
    """Read the last tile of a level; None if the level has none."""
    last = select(seal_tiles).where(seal_tiles.c.level == level).order_by(seal_tiles.c.number.desc()).limit(1)
    found = connection.execute(last).first()
    return Tile(*found) if found else None


class TreeDamaged(HoldbookError):
    """The stored tree lacks a hash that it should have."""


class StoredTree:
    """Reads the hashes of the stored tree. It reads each tile once, and keeps it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tiles: dict[tuple[int, int], bytes] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """Give the hash at an index of a level of the tree; raises `TreeDamaged` if it is not stored."""
        tile_level, above = divmod(level, TILE_LEVELS)
        number, first = divmod(index << above, TILE_HASHES)
        hashes = self._tile(tile_level, number)[first * HASH_BYTES : (first + (1 << above)) * HASH_BYTES]
        if len(hashes) != HASH_BYTES << above:
            message = f"the stored tree lacks the hash {index} of level {level}"
            raise TreeDamaged(f"{message}: delete the rows of seal_tiles, and `holdbook seal` makes them again")
        return root_of(hashes)

    def _tile(self, level: int, number: int) -> bytes:
        if (level, number) not in self._tiles:
            which = (seal_tiles.c.level == level) & (seal_tiles.c.number == number)
            found = self._connection.execute(select(seal_tiles.c.hashes).where(which)).scalar()
            self._tiles[level, number] = bytes(found or b"")
        return self._tiles[level, number]


def read_leaves(connection: Connection, after: int, tiles: int = _TILES_PER_READ) -> Sequence[bytes]:
    """Read the stored leaves of the rows after a position, from so many tiles at most; none after a missing one."""
    number, skipped = divmod(after, TILE_HASHES)
    tile = seal_tiles.c
    page = select(tile.number, tile.hashes).where(tile.level == 0, tile.number >= number).order_by(tile.number)
    found = connection.execute(page.limit(tiles)).all()
    return _split(b"".join(_contiguous(found, number))[skipped * HASH_BYTES :])


def _contiguous(found: Sequence[Any], number: int) -> Iterator[bytes]:
    """Give the hashes of tiles from a number on, up to the first gap or the first tile that is not full."""
    for expected, (present, hashes) in enumerate(found, start=number):
        if present != expected:
            return
        yield hashes
        if len(hashes) != TILE_HASHES * HASH_BYTES:
            return
