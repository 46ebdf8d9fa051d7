"""Scratch directories: made for one right, measured, gone with all that is in them."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings

from holdbook import DirectoryResourceProvider, Ledger, Limits, Malformed, UnifiedResourceManager, make_or_undo
from support.asking import made_by
from support.strategies import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.conftest import Messages

HARD_IDS = (
    ".",
    "..",
    "a/../../b",
    "/etc",
    "right-a",
    "%2e",
    "A",
    "a",
    "é",
    "e\u0301",
    "🚀" * 255,
    "x" * 255,
    "a b~.id",
)
"""Ids that are no names of files, or are another's on some file systems."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory that is not there yet."""
    return tmp_path / "deep" / "scratch"


@pytest.fixture
def provider(root: Path) -> DirectoryResourceProvider:
    """A provider of a thousand bytes."""
    return DirectoryResourceProvider(root, total=1000, max_size=500)


@contextmanager
def as_nobody() -> Iterator[Path]:
    """Give a directory of a user to whom permissions mean something: as root, those of nobody."""
    with tempfile.TemporaryDirectory() as folder:
        root = os.geteuid() == 0
        if root:
            os.chown(folder, 65_534, 65_534)
            os.seteuid(65_534)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)


def listed(folder: Path) -> list[str]:
    """List what is in a directory, by name."""
    return sorted(path.name for path in folder.iterdir())


def make_directory(path: Path) -> None:
    """Make a directory and those above it."""
    path.mkdir(parents=True)


async def test_a_directory_is_empty_and_for_this_user(provider: DirectoryResourceProvider, root: Path) -> None:
    """A resource is the path of an empty directory under the root that nobody else may look into."""
    resource = await made_by(provider, "0199-abc", size=100)
    assert resource.data == root / "right-0199-abc"
    assert listed(resource.data) == []
    assert stat.S_IMODE(resource.data.stat().st_mode) == 0o700
    assert provider.pool_limits() == Limits(total=1000, max_size=500)
    assert (await made_by(provider, size=1)).data.parent == root


async def test_a_directory_goes_with_all_in_it(provider: DirectoryResourceProvider, tmp_path: Path) -> None:
    """What links lead to is left alone."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o750)
    (outside / "file").write_text("mine")
    resource = await made_by(provider, size=100)
    (resource.data / "deep" / "deeper").mkdir(parents=True)
    (resource.data / "deep" / "file").write_text("x")
    (resource.data / "to-directory").symlink_to(outside)
    (resource.data / "to-file").symlink_to(outside / "file")
    await provider.release(resource)
    assert not resource.data.exists()
    assert (outside / "file").read_text() == "mine"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o750


async def test_what_may_not_be_written_goes_too() -> None:
    """Directories that may not be written, nor read, are removed, at any depth."""
    with as_nobody() as folder:
        provider = DirectoryResourceProvider(folder, total=100)
        resource = await made_by(provider, size=100)
        for path in ("a/b/c", "d"):
            (resource.data / path).mkdir(parents=True)
            (resource.data / path / "file").touch(mode=0o400)
        for path, mode in (("a/b/c", 0o000), ("a/b", 0o500), ("a", 0o500), ("d", 0o000), ("", 0o500)):
            (resource.data / path).chmod(mode)
        assert await provider.validate(resource) == [
            f"Directory cannot be read: {resource.data / 'a/b/c'}",
            f"Directory cannot be read: {resource.data / 'd'}",
        ]
        await provider.release(resource)
        assert listed(folder) == []


async def test_what_cannot_be_removed_stays_listed() -> None:
    """A directory of which something is left is held, until it can be removed."""
    with as_nobody() as folder:
        provider = DirectoryResourceProvider(folder, total=100)
        resource = await made_by(provider, "r", size=100)
        folder.chmod(0o500)
        with pytest.raises(PermissionError):
            await provider.release(resource)
        assert await provider.inventory() == {"r"}
        with pytest.raises(ExceptionGroup, match=r"not taken back: .*right-r"):
            await provider.cleanup()
        folder.chmod(0o700)
        await provider.cleanup()
        assert await provider.inventory() == set()


async def test_what_cannot_be_undone_is_told(messages: Messages) -> None:
    """If what a cancelled maker made cannot be undone, the log says why, and no password; nobody else hears of it."""
    begun, may_end = Event(), Event()

    def make() -> str:
        begun.set()
        may_end.wait()
        return "thing"

    def fail(thing: str) -> None:
        message = f"the {thing} is stuck at postgresql://ann:hunter2@db"
        raise OSError(message)

    making = asyncio.create_task(make_or_undo(make, fail))
    await asyncio.to_thread(begun.wait)
    making.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await making
    [message] = messages.of("Resource not undone")
    assert message["error"].startswith("the thing is stuck at ")
    assert "hunter2" not in message["error"]


async def test_quotas(provider: DirectoryResourceProvider) -> None:
    """A directory that holds more bytes than were asked for is reported with both; a file of two names counts once."""
    resource = await made_by(provider, size=100)
    (resource.data / "deep").mkdir()
    (resource.data / "deep" / "a").write_bytes(bytes(60))
    (resource.data / "b").hardlink_to(resource.data / "deep" / "a")
    (resource.data / "c").write_bytes(bytes(40))
    assert await provider.validate(resource) == []
    (resource.data / "d").write_bytes(bytes(3))
    assert await provider.validate(resource) == ["Directory over its quota: 103 bytes of 100"]


async def test_what_a_holder_does_to_its_directory(provider: DirectoryResourceProvider, tmp_path: Path) -> None:
    """A directory that its holder removed or replaced is reported as gone, and can be released."""
    gone, linked, file = [await made_by(provider, size=1) for _ in range(3)]
    for one in (gone, linked, file):
        one.data.rmdir()
    linked.data.symlink_to(tmp_path)
    file.data.touch()
    for one in (gone, linked, file):
        assert await provider.validate(one) == [f"Directory is gone: {one.data}"]
        await provider.release(one)
        assert await provider.validate(one) == ["Directory not allocated"]
    assert await provider.inventory() == set()
    assert listed(tmp_path) == ["deep"]


async def test_an_id_has_one_directory(provider: DirectoryResourceProvider) -> None:
    """A directory that is there is not given again, and nothing of it is touched; nor is one of a long id."""
    for right in ("r", "x" * 255):
        resource = await made_by(provider, right, size=1)
        (resource.data / "file").write_text("mine")
        with pytest.raises(FileExistsError):
            await made_by(provider, right, size=1)
        assert (resource.data / "file").read_text() == "mine"
    assert await provider.inventory() == {"r", "x" * 255}


async def test_a_long_id_whose_directory_cannot_be_made(provider: DirectoryResourceProvider, root: Path) -> None:
    """Where the directory's name is taken, nothing stays listed."""
    long = await made_by(provider, "x" * 255, size=1)
    name = long.data
    await provider.release(long)
    name.touch()
    with pytest.raises(FileExistsError):
        await made_by(provider, "x" * 255, size=1)
    assert listed(root) == [name.name]
    assert await provider.inventory() == set()


@pytest.mark.parametrize("options", [{}, {"size": 0}, {"size": "1"}])
def test_a_size_has_to_be_given(provider: DirectoryResourceProvider, options: dict[str, Any]) -> None:
    """Without a quota nothing is asked of the ledger."""
    with pytest.raises(Malformed, match="size: expected a whole number from 1"):
        provider.quantity(options)


async def test_hard_ids(provider: DirectoryResourceProvider, root: Path) -> None:
    """Whatever an id is, its directory is right under the root, none is another's, and each is listed by its id."""
    made = {right: (await made_by(provider, right, size=1)).data for right in HARD_IDS}
    assert all(path.parent == root and path.is_dir() for path in made.values())
    assert len({path.name.lower() for path in made.values()}) == len(made)
    assert await provider.inventory() == set(HARD_IDS)
    for right in HARD_IDS:
        await provider.reclaim(right)
    assert listed(root) == []


@given(names)
@example("\u0130")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_are_read_back(root: Path, right: str) -> None:
    """The name of a directory tells the id that it was made for."""
    provider = DirectoryResourceProvider(root, total=1)
    path = provider._make(right)  # what `allocate` does in a thread
    try:
        assert set(provider._listed()) == {right}  # noqa: SLF001 - and `inventory`
    finally:
        shutil.rmtree(path)


async def test_what_a_dead_process_left_is_listed_and_reclaimed(root: Path) -> None:
    """Another provider on the same root sees what there is, half-made long ids too, and takes it back."""
    dead, provider = (DirectoryResourceProvider(root, total=9) for _ in range(2))
    assert await provider.inventory() == set()
    (await made_by(dead, "0199-abc", size=1)).data.joinpath("file").touch()
    (await made_by(dead, "x" * 255, size=1)).data.rmdir()
    assert await provider.inventory() == {"0199-abc", "x" * 255}
    await provider.cleanup()  # takes back what it made itself
    for right in ("0199-abc", "x" * 255, "never made"):
        await provider.reclaim(right)
    assert listed(root) == []


async def test_what_others_put_under_the_root_is_left_alone(root: Path) -> None:
    """Only what is named as a provider names it is listed."""
    for name in (
        "lost+found",
        "right-A",
        "right-%ff",
        "right-%61",
        "right-a.id",
        "right~abc",
        "backup",
        "right-\udcff",
    ):
        make_directory(root / name)
    (root / "right~def.id").symlink_to("x")
    assert await DirectoryResourceProvider(root, total=1).inventory() == set()


async def test_a_root_belongs_to_one_pool(database_url: str, root: Path) -> None:
    """What is under a root is one pool's of one ledger: another that is given it is told so before it looks."""
    with Ledger.open(database_url) as ledger, Ledger.in_memory() as other:
        for _ in range(2):
            DirectoryResourceProvider(root, total=9).registered(ledger, "scratch")
        for wrong, pool in ((ledger, "else"), (other, "scratch")):
            with pytest.raises(ValueError, match=f"{root} has the directories of another pool, or ledger"):
                DirectoryResourceProvider(root, total=9).registered(wrong, pool)


async def test_a_ledger_in_memory_leaves_no_mark(root: Path) -> None:
    """A root is as good for the next process of a ledger that ends with its process."""
    for _ in range(2):
        manager = UnifiedResourceManager()
        manager.register_provider("scratch", DirectoryResourceProvider(root, total=9))
        await manager.release((await manager.allocate("scratch", size=9)).id)
        assert listed(root) == []
