"""Serves the metrics of a ledger's database over HTTP, in the form that Prometheus reads."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from socket import AF_INET6
from socketserver import ThreadingMixIn
from threading import Event, Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from holdbook.domain.errors import HoldbookError, Malformed
from holdbook.infrastructure.cli.terminal.options import CommonOptions
from holdbook.infrastructure.cli.terminal.output import emit, say, tell_failure
from holdbook.infrastructure.cli.terminal.signals import stopping
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.monitoring.prometheus import LedgersCollector
from holdbook.infrastructure.presentation.shapes.operation import serving_shape

HOST = "127.0.0.1"
"""The address to listen at if none is given: other machines cannot reach it."""

PORT_MAX = 65_535
"""The greatest number of a port."""

READ_SECONDS_MAX = 5.0
"""Seconds that a scrape waits for a database that does not answer, and for a client that does not ask."""

POLL_SECONDS = 0.1
"""Seconds between two looks whether the server is to stop."""

PARAMETER = "--serve"
"""The option that errors name."""


class _Handler(WSGIRequestHandler):
    """Answers one scrape, without a line in the log."""

    timeout = READ_SECONDS_MAX

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
        """Log nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each scrape in a thread of its own; closing it waits for the scrapes under way."""

    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that went away, or that never asked."""


class _IPv6Server(_Server):
    """The same server at an IPv6 address."""

    address_family = AF_INET6


def address(text: str) -> tuple[str, int]:
    """Read ``[HOST:]PORT`` as a host and a port; raises `Malformed`."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) <= PORT_MAX):
        raise Malformed(
            PARAMETER, text, f"expected [HOST:]PORT, such as 9464 or 0.0.0.0:9464; a port is 0 to {PORT_MAX}"
        )
    return host.removeprefix("[").removesuffix("]") or HOST, int(port)


@contextmanager
def serving(ledger: Ledger, text: str) -> Iterator[str]:
    """Serve a ledger's metrics at ``[HOST:]PORT`` while the block runs, and give the URL of the page.

    Raises `Malformed` if nobody can listen there.
    """
    host, port = address(text)
    registry = CollectorRegistry()
    registry.register(LedgersCollector(lambda: [ledger]))
    kind, shown = (_IPv6Server, f"[{host}]") if ":" in host else (_Server, host)
    try:
        server = kind((host, port), _Handler)
    except (OSError, UnicodeError) as error:  # UnicodeError for text that cannot be a host's name
        raise Malformed(PARAMETER, text, f"expected an address to listen at ({error})") from None
    server.set_app(make_wsgi_app(registry))
    thread = Thread(target=server.serve_forever, args=[POLL_SECONDS], name="holdbook-metrics")
    thread.start()
    try:
        yield f"http://{shown}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def following(ledger: Ledger, options: CommonOptions) -> Iterator[None]:
    """Keep the views up to date in a thread while the block runs."""
    stop = Event()

    def report(error: HoldbookError) -> None:
        tell_failure(error, as_json=options.json)

    thread = Thread(target=ledger.projector().follow, args=[stop, report], name="holdbook-views")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def serve(text: str, options: CommonOptions, *, follow: bool) -> None:
    """Serve the metrics of a ledger's database until SIGINT or SIGTERM; with ``follow``, keep the views up to date."""
    address(text)
    with (
        Ledger.open(options.url, create=False, patience=READ_SECONDS_MAX) as ledger,
        stopping() as stop,
        serving(ledger, text) as url,
        following(ledger, options) if follow else nullcontext(),
    ):
        if options.json:
            emit(serving_shape(url, follow=follow))
        else:
            say(f"serving metrics at {url}; interrupt to stop")
        sys.stdout.flush()
        stop.wait()
