"""Provide scratch directories: one for each right, with a quota, removed with all that is in it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from holdbook.domain.limits import Limits
from holdbook.infrastructure.clock import new_id
from holdbook.infrastructure.log.memory_log import MemoryEventLog
from holdbook.infrastructure.resources.providers.base import BaseProvider, check_size, make_or_undo

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.domain.resources import Resource, ResourceMetadata

_PREFIX: Final = "right-"
"""Begins the name of a directory. The right's id comes after it, quoted."""
_PREFIX_OF_HASH: Final = "right~"
"""Begins the name of a directory whose right has an id too long for a name. The id's SHA-256 comes after it."""
_SUFFIX_OF_LINK: Final = ".id"
"""Ends the name of the link beside such a directory. What it points to is the whole id, quoted."""
_MARK: Final = ".holdbook-pool"
"""The name of the link under the root that points to the ledger and pool that the directories belong to."""
_NAME_BYTES_MAX: Final = 200
"""The length of the longest name with an id in it; file systems allow 255 bytes."""
_UNQUOTED: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
"""The bytes that stand for themselves in a quoted id."""


class DirectoryResourceProvider(BaseProvider[Path, int]):
    """Provides scratch directories under one root: a resource is the path of one, empty and for this user only.

    The pool's unit is bytes: the option ``size`` is a directory's quota. `validate` reports a directory that is over
    its quota; nothing stops it from growing. The root is made when it is needed, and must be used for nothing else.
    """

    def __init__(self, root: str | os.PathLike[str], *, total: int, max_size: int | None = None) -> None:
        """Take the root, and the number of bytes for all directories and at most for one; raises `Malformed`."""
        super().__init__()
        self._root = Path(root).absolute()
        self._limits = Limits(total=total, max_size=max_size)

    def pool_limits(self) -> Limits:
        """Return the limits of the pool: those given, in bytes."""
        return self._limits

    def quantity(self, options: Mapping[str, Any]) -> int:
        """Return how much of the pool a request takes: its ``size``, the quota in bytes; raises `Malformed`."""
        return check_size(options.get("size"))

    def registered(self, ledger: LedgerInterface, resource_type: str) -> None:
        """Mark the root as that of this pool of this ledger; raises ValueError if it is marked as another's.

        Reconciling removes what is under the root and has no right in this pool, so nobody else may use the root.
        """
        mark = self._root / _MARK
        ours = f"{ledger.log.ledger_id}/{_quoted(resource_type)}"
        if not isinstance(ledger.log, MemoryEventLog):  # one that ends with the process needs no mark
            self._root.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                mark.symlink_to(ours)
        if mark.is_symlink() and str(mark.readlink()) != ours:
            message = f"{self._root} has the directories of another pool, or ledger; give each a root of its own"
            raise ValueError(message)

    async def allocate(
        self,
        resource_type: str,  # noqa: ARG002 - the port's
        metadata: ResourceMetadata,
        **options: Any,  # noqa: ANN401 - the seed's signature
    ) -> Resource[Path]:
        """Make a directory; raises `Malformed` for the size, and OSError if it cannot be made or is there already."""
        size = self.quantity(options)
        right = options.get("allocation_id") or new_id()
        path = await make_or_undo(lambda: self._make(right), lambda _: self._remove(right))
        return self._keep(metadata, {"allocation_id": right}, size, path)

    async def validate(self, resource: Resource[Path]) -> list[str]:
        """List what is wrong with a directory: not allocated, missing, not readable in part, or over its quota."""
        quota = self._kept.get(resource.id)
        if quota is None:
            return ["Directory not allocated"]
        return await asyncio.to_thread(_faults, self._path(resource.id), quota)

    async def inventory(self) -> Collection[str]:
        """List the ids of the rights of all directories under the root, whichever process made them."""
        return await asyncio.to_thread(lambda: set(self._listed()))

    async def reclaim(self, right: str) -> None:
        """Remove the directory of a right with all in it, whichever process made it; raises OSError if that fails."""
        await asyncio.to_thread(self._remove, right)
        self._kept.pop(right, None)

    async def _take_back(self, right: str, thing: int) -> None:  # noqa: ARG002 - the right is enough
        await asyncio.to_thread(self._remove, right)

    # Files

    def _path(self, right: str) -> Path:
        """Give the path of the directory of a right."""
        name = _PREFIX + _quoted(right)
        if len(name) > _NAME_BYTES_MAX:
            name = _PREFIX_OF_HASH + hashlib.sha256(right.encode()).hexdigest()
        return self._root / name

    def _make(self, right: str) -> Path:
        """Make the directory of a right, and the link with the whole id that it may need."""
        path = self._path(right)
        self._root.mkdir(parents=True, exist_ok=True)
        if not path.name.startswith(_PREFIX_OF_HASH):
            path.mkdir(mode=0o700)
            return path
        link = path.with_suffix(_SUFFIX_OF_LINK)
        link.symlink_to(_quoted(right))  # made first and removed last, so that every directory is listed
        try:
            path.mkdir(mode=0o700)
        except OSError:
            link.unlink()
            raise
        return path

    def _remove(self, right: str) -> None:
        """Remove the directory of a right with all in it, and then its link, if they are there."""
        path = self._path(right)
        _remove(path)
        if path.name.startswith(_PREFIX_OF_HASH):
            path.with_suffix(_SUFFIX_OF_LINK).unlink(missing_ok=True)

    def _listed(self) -> Iterator[str]:
        """Give the ids of the rights whose directories or links are under the root; other files are left out."""
        for path in self._root.iterdir() if self._root.exists() else ():
            if path.name.startswith(_PREFIX):
                right = _unquoted(path.name.removeprefix(_PREFIX))
            elif path.name.startswith(_PREFIX_OF_HASH) and path.is_symlink():
                right = _unquoted(str(path.readlink()))
            else:
                continue
            if right is not None and self._path(right) in {path, path.with_suffix("")}:
                yield right


def _quoted(text: str) -> str:
    """Write an id in characters that every file system keeps as they are: ASCII in lower case, without dots."""
    return "".join(chr(byte) if byte in _UNQUOTED else f"%{byte:02x}" for byte in text.encode())


def _unquoted(quoted: str) -> str | None:
    """Read an id that `_quoted` wrote; None if it did not write this."""
    try:
        text = unquote_to_bytes(quoted).decode()
    except ValueError:
        return None
    return text if _quoted(text) == quoted else None


def _remove(path: Path) -> None:
    """Remove what is at a path, if anything is: a directory with all in it, or a file or link. Follows no links."""
    try:
        is_directory = stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_directory:
        path.unlink()
        return
    path.chmod(0o700)
    for folder, inside, _ in os.walk(path):  # from the top, to make each readable before it is walked
        for name in inside:
            one = Path(folder, name)
            if not one.is_symlink():
                one.chmod(0o700)
    shutil.rmtree(path)


def _faults(path: Path, quota: int) -> list[str]:
    """List what is wrong with a directory of a quota in bytes."""
    if path.is_symlink() or not path.is_dir():
        return [f"Directory is gone: {path}"]
    unread: list[OSError] = []
    used = sum(_sizes(path, unread).values())
    faults = [f"Directory cannot be read: {error.filename}" for error in unread]
    if used > quota:
        faults.append(f"Directory over its quota: {used} bytes of {quota}")
    return faults


def _sizes(path: Path, unread: list[OSError]) -> dict[tuple[int, int], int]:
    """Give the size in bytes of every file under a path. By device and inode, a file with two names counts once.

    Errors of directories that cannot be read are added to ``unread``.
    """
    found = {}
    for folder, _, names in os.walk(path, onerror=unread.append):
        for name in names:
            with suppress(FileNotFoundError):  # it was removed in the meantime
                status = os.lstat(Path(folder, name))
                found[status.st_dev, status.st_ino] = status.st_size
    return found
