"""Scratch directories: one for each right, with a quota, gone with all in it when the right ends."""

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
_PREFIX_OF_HASH: Final = "right~"
_SUFFIX_OF_LINK: Final = ".id"
_MARK: Final = ".holdbook-pool"
_NAME_BYTES_MAX: Final = 200
"""The longest file name that holds an id; of a longer id it holds the hash."""
_UNQUOTED: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")


class DirectoryResourceProvider(BaseProvider[Path, int]):
    """Scratch directories under one root: a resource is the path of one, empty, for this user only.

    The pool's unit is bytes: the option ``size`` is the directory's quota, which `validate` holds it to. The root is
    the provider's own; it is made when it is needed.
    """

    def __init__(self, root: str | os.PathLike[str], *, total: int, max_size: int | None = None) -> None:
        """Take the root, and how many bytes there are, in all and at most for one; raises `Malformed`."""
        super().__init__()
        self._root = Path(root).absolute()
        self._limits = Limits(total=total, max_size=max_size)

    def pool_limits(self) -> Limits:
        """Tell what a pool enforces: the limits given, in bytes."""
        return self._limits

    def quantity(self, options: Mapping[str, Any]) -> int:
        """Tell how much of the pool a request takes: the quota, ``size`` bytes, which has to be given."""
        return check_size(options.get("size"))

    def registered(self, ledger: LedgerInterface, resource_type: str) -> None:
        """Mark the root as this pool's of this ledger; raises ValueError if it is another's.

        What is under the root and has no right here is taken back, so what is another's must not be there.
        """
        mark = self._root / _MARK
        ours = f"{ledger.log.ledger_id}/{_quoted(resource_type)}"
        if not isinstance(ledger.log, MemoryEventLog):  # a ledger in memory ends with the process
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
        """Make a directory; raises OSError if that cannot be done, or if there is one of that id."""
        size = self.quantity(options)
        right = options.get("allocation_id") or new_id()
        path = await make_or_undo(lambda: self._make(right), lambda _: self._remove(right))
        return self._keep(metadata, {"allocation_id": right}, size, path)

    async def validate(self, resource: Resource[Path]) -> list[str]:
        """List what is wrong with a directory: not allocated; missing; unreadable in part; over its quota."""
        quota = self._kept.get(resource.id)
        if quota is None:
            return ["Directory not allocated"]
        return await asyncio.to_thread(_faults, self._path(resource.id), quota)

    async def inventory(self) -> Collection[str]:
        """List the ids of the rights of all directories under the root, whoever made them."""
        return await asyncio.to_thread(lambda: set(self._listed()))

    async def reclaim(self, right: str) -> None:
        """Remove the directory of a right, whoever made it, with all in it; raises OSError if it is still there."""
        await asyncio.to_thread(self._remove, right)
        self._kept.pop(right, None)

    async def _take_back(self, right: str, thing: int) -> None:  # noqa: ARG002 - the right says it all
        await asyncio.to_thread(self._remove, right)

    # Files

    def _path(self, right: str) -> Path:
        name = _PREFIX + _quoted(right)
        if len(name) > _NAME_BYTES_MAX:
            name = _PREFIX_OF_HASH + hashlib.sha256(right.encode()).hexdigest()
        return self._root / name

    def _make(self, right: str) -> Path:
        path = self._path(right)
        self._root.mkdir(parents=True, exist_ok=True)
        if not path.name.startswith(_PREFIX_OF_HASH):
            path.mkdir(mode=0o700)
            return path
        link = path.with_suffix(_SUFFIX_OF_LINK)
        link.symlink_to(_quoted(right))  # there from before until after the directory: it lists what is half-made
        try:
            path.mkdir(mode=0o700)
        except OSError:
            link.unlink()
            raise
        return path

    def _remove(self, right: str) -> None:
        path = self._path(right)
        _remove(path)
        if path.name.startswith(_PREFIX_OF_HASH):
            path.with_suffix(_SUFFIX_OF_LINK).unlink(missing_ok=True)

    def _listed(self) -> Iterator[str]:
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
    """Write an id as a name that every file system keeps as it is: lower case, ASCII, no dots."""
    return "".join(chr(byte) if byte in _UNQUOTED else f"%{byte:02x}" for byte in text.encode())


def _unquoted(quoted: str) -> str | None:
    """Read what `_quoted` wrote; None if it cannot have."""
    try:
        text = unquote_to_bytes(quoted).decode()
    except ValueError:
        return None
    return text if _quoted(text) == quoted else None


def _remove(path: Path) -> None:
    """Remove what is at a path, whatever it is; a directory with all in it. Links are not followed."""
    try:
        is_directory = stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_directory:
        path.unlink()
        return
    path.chmod(0o700)
    for folder, inside, _ in os.walk(path):  # from the top: each is opened up before the walk goes into it
        for name in inside:
            one = Path(folder, name)
            if not one.is_symlink():
                one.chmod(0o700)
    shutil.rmtree(path)


def _faults(path: Path, quota: int) -> list[str]:
    if path.is_symlink() or not path.is_dir():
        return [f"Directory is gone: {path}"]
    unread: list[OSError] = []
    used = sum(_sizes(path, unread).values())
    faults = [f"Directory cannot be read: {error.filename}" for error in unread]
    if used > quota:
        faults.append(f"Directory over its quota: {used} bytes of {quota}")
    return faults


def _sizes(path: Path, unread: list[OSError]) -> dict[tuple[int, int], int]:
    """Measure every file under a path, in bytes, by device and inode: one with two names counts once."""
    found = {}
    for folder, _, names in os.walk(path, onerror=unread.append):
        for name in names:
            with suppress(FileNotFoundError):  # removed meanwhile
                status = os.lstat(Path(folder, name))
                found[status.st_dev, status.st_ino] = status.st_size
    return found
