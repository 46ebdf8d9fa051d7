"""The Merkle tree over the log as the database keeps it: 256 hashes a tile, as c2sp.org/tlog-tiles cuts it.

Tile (L, N) holds the hashes of tree level 8 L from index 256 N on; at the right edge, as many as there are yet. A tile
only grows, and what it says follows from the log: whoever builds it, and however often, writes the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from holdbook.domain.errors import HoldbookError
from holdbook.infrastructure.database.tables import seal_tiles
from holdbook.replay.evidence.merkle import HASH_BYTES, fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

TILE_LEVELS: Final = 8
"""How many levels of the tree a tile spans."""

TILE_HASHES: Final = 1 << TILE_LEVELS
"""How many hashes a whole tile holds."""

_TILES_PER_READ: Final = 64


@dataclass(slots=True)
class Tile:
    """One tile."""

    level: int
    number: int
    hashes: bytes
    chain: bytes | None = None
    """Of level 0, the hash of the last event that it covers."""

    @property
    def count(self) -> int:
        """How many hashes it holds."""
        return len(self.hashes) // HASH_BYTES


def root_of(hashes: bytes) -> bytes:
    """Compute the root of hashes that number a power of two."""
    return fold(_cut(hashes))


def _cut(hashes: bytes) -> list[bytes]:
    return [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]


class TreeEdge:
    """The right edge of the stored tree, which grows."""

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
        """The hash of the last event that the tree covers; None if there is none."""
        return self._last[0].chain if self._last else None

    def append(self, leaf: bytes, chain: bytes) -> None:
        """Append a leaf, of an event whose hash in the chain is given."""
        self._push(0, leaf).chain = chain

    def _push(self, level: int, hashed: bytes) -> Tile:
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
        """Write the tiles that have changed; one that has grown further meanwhile is left as it is."""
        dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
        adding = dialect.insert(seal_tiles)
        grown = func.length(adding.excluded.hashes) > func.length(seal_tiles.c.hashes)
        changed = {"hashes": adding.excluded.hashes, "chain": adding.excluded.chain}
        adding = adding.on_conflict_do_update(index_elements=["level", "number"], set_=changed, where=grown)
        rows = [  # in order, so that two who write wait for each other, and for nothing else
            {"level": one.level, "number": one.number, "hashes": one.hashes, "chain": one.chain}
            for _, one in sorted(self._changed.items())
        ]
        connection.execute(adding, rows)
        self._changed = {}


def _last_tile(connection: Connection, level: int) -> Tile | None:
    last = select(seal_tiles).where(seal_tiles.c.level == level).order_by(seal_tiles.c.number.desc()).limit(1)
    found = connection.execute(last).first()
    return Tile(*found) if found else None


class TreeDamaged(HoldbookError):
    """The stored tree lacks a hash that it should have."""


class StoredTree:
    """Reads hashes of the stored tree by level and index; each tile that is needed is read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tiles: dict[tuple[int, int], bytes] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """Give the hash of a whole subtree; raises `TreeDamaged` if it is not there."""
        tile_level, above = divmod(level, TILE_LEVELS)
        number, first = divmod(index << above, TILE_HASHES)
        hashes = self._tile(tile_level, number)[first * HASH_BYTES : (first + (1 << above)) * HASH_BYTES]
        if len(hashes) != HASH_BYTES << above:
            message = f"the stored tree lacks the hash {index} of level {level}"
            raise TreeDamaged(f"{message}: delete the rows of seal_tiles, and `holdbook seal` makes them again")
        return root_of(hashes)

    def _tile(self, level: int, number: int) -> bytes:
        if (level, number) not in self._tiles:
            wanted = (seal_tiles.c.level == level) & (seal_tiles.c.number == number)
            found = self._connection.execute(select(seal_tiles.c.hashes).where(wanted)).scalar()
            self._tiles[level, number] = bytes(found or b"")
        return self._tiles[level, number]


def read_leaves(connection: Connection, after: int, tiles: int = _TILES_PER_READ) -> Sequence[bytes]:
    """Read the stored hashes of the rows after a position, as far as a number of tiles goes and none is missing."""
    number, skipped = divmod(after, TILE_HASHES)
    tile = seal_tiles.c
    page = select(tile.number, tile.hashes).where(tile.level == 0, tile.number >= number).order_by(tile.number)
    found = connection.execute(page.limit(tiles)).all()
    return _cut(b"".join(_in_a_row(found, number))[skipped * HASH_BYTES :])


def _in_a_row(found: Sequence[Any], number: int) -> Iterator[bytes]:
    for expected, (present, hashes) in enumerate(found, start=number):
        if present != expected:
            return
        yield hashes
        if len(hashes) != TILE_HASHES * HASH_BYTES:
            return
