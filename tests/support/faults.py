"""A TCP proxy before a PostgreSQL server that fails when it is told to, at the moment it is told to.

It knows just enough of the protocol to find the COMMIT of a transaction that wrote: the messages that a client sends,
and which of them end its unit of work. Nothing here is random, and nothing depends on how fast anything is.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, Final, Literal, Self

from sqlalchemy.engine import make_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Mode = Literal["pass", "delay", "blackhole", "reset"]
Part = Literal["reply", "request"]

_CHUNK_BYTES: Final = 65536
_CONNECT_SECONDS_MAX: Final = 10
_JOIN_SECONDS_MAX: Final = 30
_STARTUP_MAJOR: Final = 3
"""The protocol's major version; what comes before a message with it are requests for encryption, and untyped too."""

_WRITE: Final = re.compile(rb"\b(?:COPY|EXECUTE\s+holdbook_(?:insert|append)|INSERT\s+INTO\s+queue)\s", re.IGNORECASE)
_COMMIT: Final = re.compile(rb"\bCOMMIT\b", re.IGNORECASE)
_END: Final = re.compile(rb"\b(?:COMMIT|ROLLBACK)\b", re.IGNORECASE)
_REPLY_TO_COMMIT: Final = re.compile(rb"C\0\0\0.(?:COMMIT|ROLLBACK)\0|E.{4}S", re.DOTALL)
"""What the server says to a COMMIT: that it is done, that it was undone, or an error."""


@dataclass
class Loss:
    """One COMMIT to be lost."""

    part: Part
    meanwhile: Callable[[], object]
    happened: Event = field(default_factory=Event)
    """Set when it was lost: the server is done with it, and the client is about to learn that something broke."""


class FaultProxy:
    """Passes what a client and a server say to each other on, until it is told to do something else."""

    def __init__(self, url: str) -> None:
        self._direct = make_url(url)
        self._upstream = (self._direct.host or "127.0.0.1", self._direct.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._mode: Mode = "pass"
        self._closed = False
        self._changed = Condition()
        self._losses: deque[Loss] = deque()
        self._connections: list[_Connection] = []
        self._accepting = Thread(target=self._accept, name="proxy")
        self.delay_seconds = 0.01
        """How long each chunk waits in the mode ``delay``."""

    @property
    def url(self) -> str:
        """The database's address, through the proxy; nothing is encrypted, so that the proxy can read it."""
        host, port = self._listener.getsockname()
        through = self._direct.set(host=host, port=port).update_query_dict({"sslmode": "disable"})
        return through.render_as_string(hide_password=False)

    def set(self, mode: Mode) -> None:
        """Do something else from now on; what a black hole kept goes on its way, ``reset`` ends every connection."""
        with self._changed:
            self._mode = mode
            self._changed.notify_all()
        if mode == "reset":
            self._reset_all()

    def lose(self, part: Part, *, meanwhile: Callable[[], object] = lambda: None) -> Loss:
        """Lose the next COMMIT of a transaction that wrote, or the reply to it, once; called again: one more.

        When ``meanwhile`` is called, the server has committed, or it is rolling back; the client knows nothing yet.
        """
        loss = Loss(part, meanwhile)
        self._losses.append(loss)
        return loss

    def redirect(self, url: str) -> None:
        """Lead to another server from now on, and break what leads to the present one."""
        other = make_url(url)
        self._upstream = (other.host or "127.0.0.1", other.port or 5432)
        self._reset_all()

    def close(self) -> None:
        """End every connection and every thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(_JOIN_SECONDS_MAX)
        self._reset_all()
        for connection in self._connections:
            connection.join()

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # For the connections

    def hold(self) -> None:
        """Keep a chunk as long as the mode says so."""
        with self._changed:
            if self._mode == "delay":
                self._changed.wait_for(lambda: self._mode != "delay" or self._closed, self.delay_seconds)
            self._changed.wait_for(lambda: self._mode != "blackhole" or self._closed)

    def next_loss(self) -> Loss | None:
        """Take the loss that was asked for, if one was."""
        with contextlib.suppress(IndexError):
            return self._losses.popleft()
        return None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            self._lead(client)

    def _lead(self, client: socket.socket) -> None:
        upstream = self._upstream
        try:
            if self._refuses():
                raise ConnectionRefusedError
            server = socket.create_connection(upstream, _CONNECT_SECONDS_MAX)
        except OSError:
            _reset(client)
            return
        connection = _Connection(self, client, server)
        self._connections.append(connection)
        connection.start()
        if upstream != self._upstream or self._refuses():  # told so meanwhile
            connection.reset()

    def _refuses(self) -> bool:
        return self._mode == "reset"

    def _reset_all(self) -> None:
        for connection in list(self._connections):
            connection.reset()


class _Connection:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: FaultProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.settimeout(None)
        self._losing: Loss | None = None
        """The loss whose COMMIT is on its way to the server."""
        self._breaking = False
        """True while a loss is happening: the client is told at its end, not before."""
        self._threads = [
            Thread(target=self._run, args=(way,), name="proxy-connection", daemon=True)
            for way in (self._upwards, self._downwards)
        ]

    def start(self) -> None:
        """Begin to pass on."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until both directions have ended."""
        for thread in self._threads:
            thread.join(_JOIN_SECONDS_MAX)

    def reset(self) -> None:
        """Break both connections."""
        _reset(self._server)
        _reset(self._client)

    def _run(self, way: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            way()
            return
        if not self._breaking:
            self.reset()

    def _upwards(self) -> None:
        messages = _Messages()
        while data := self._client.recv(_CHUNK_BYTES):
            self._proxy.hold()
            for message in messages.split(data):
                loss = self._proxy.next_loss() if message.commits_a_write else None
                if loss is not None and loss.part == "request":
                    self._break(loss)
                    return
                self._losing = loss or self._losing  # before the server can answer
                self._server.sendall(message.content)
        self._server.shutdown(socket.SHUT_WR)

    def _downwards(self) -> None:
        kept = b""
        while data := self._server.recv(_CHUNK_BYTES):
            self._proxy.hold()
            if self._losing is None:
                self._client.sendall(data)
                continue
            kept += data
            if _REPLY_TO_COMMIT.search(kept):
                self._break(self._losing)
                return
        if not self._breaking:
            self._client.shutdown(socket.SHUT_WR)

    def _break(self, loss: Loss) -> None:
        self._breaking = True
        _reset(self._server)
        try:
            loss.meanwhile()
            loss.happened.set()
        finally:
            _reset(self._client)


@dataclass(frozen=True)
class _Message:
    content: bytes
    commits_a_write: bool


class _Messages:
    """Splits what a client sends into its messages."""

    def __init__(self) -> None:
        self._rest = b""
        self._started = False
        self._wrote = False

    def split(self, data: bytes) -> Iterator[_Message]:
        """Give the messages that are complete."""
        self._rest += data
        while content := self._next():
            yield _Message(content, self._commits(content))

    def _next(self) -> bytes:
        head = 1 if self._started else 0  # the type of a message, which the first ones do not have
        if len(self._rest) < head + 4:
            return b""
        (length,) = struct.unpack_from("!I", self._rest, head)
        if len(self._rest) < head + length:
            return b""
        content, self._rest = self._rest[: head + length], self._rest[head + length :]
        if not self._started:
            (major,) = struct.unpack_from("!H", content, 4)
            self._started = major == _STARTUP_MAJOR
        return content

    def _commits(self, content: bytes) -> bool:
        if content[:1] not in {b"Q", b"P"}:  # a query, or one to be parsed
            return False
        text = content[5:]  # without its type and its length
        self._wrote = self._wrote or _WRITE.search(text) is not None
        commits = self._wrote and _COMMIT.search(text) is not None
        if _END.search(text):
            self._wrote = False
        return commits


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits in recv
    with contextlib.suppress(OSError):
        connection.close()
