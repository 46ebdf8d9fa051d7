"""Spans around commands, commits and calls of providers: with OpenTelemetry's own SDK, and without any of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracerProvider, StatusCode

from holdbook import (
    Allocate,
    CommandIdReused,
    Ledger,
    Limits,
    LogUnavailable,
    Overloaded,
    Refused,
    Release,
    UnifiedResourceManager,
)
from holdbook.infrastructure.telemetry import tracing
from holdbook.infrastructure.telemetry.tracing import provider_call
from support.providers import Scripted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

HIDDEN = "hush"


class Spans:
    """The spans that have ended."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def named(self, name: str) -> list[ReadableSpan]:
        """List those of one name, in the order of their ends."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """Find the only one of a name."""
        (span,) = self.named(name)
        return span

    def texts(self) -> str:
        """Write all of them out."""
        return "".join(span.to_json() for span in self._exporter.get_finished_spans())


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """Spans of a program that has set a tracer provider."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return Spans(exporter)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger with a pool of two, opened before anybody traces."""
    with Ledger.in_memory() as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=2))
        yield ledger


@contextmanager
def caller() -> Iterator[int]:
    """Be a caller with a span of its own; gives its id."""
    with trace.get_tracer("caller").start_as_current_span("caller") as span:
        yield span.get_span_context().span_id


def parent_of(span: ReadableSpan) -> int | None:
    """Find the id of a span's parent."""
    return span.parent.span_id if span.parent else None


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """Read what a span says."""
    return dict(span.attributes or {})


def test_a_grant(ledger: Ledger, spans: Spans) -> None:
    """A command is a child of its caller's span, and tells its id, its verb, where, and what it is about."""
    with caller() as parent:
        ledger.allocate({"gpu": 1}, owner="a", tags={"password": HIDDEN}, allocation_id="job-1", command_id="c-1")
    span = spans.one("holdbook allocate")
    assert parent_of(span) == parent
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span) == {
        "holdbook.command.id": "c-1",
        "holdbook.command.verb": "allocate",
        "holdbook.pools": ("gpu",),
        "holdbook.allocation.id": "job-1",
        "holdbook.position": 2,
    }
    assert HIDDEN not in spans.texts()


def test_what_a_command_only_learns_when_it_is_decided(ledger: Ledger, spans: Spans) -> None:
    """An allocation that the ledger names, and pools that a command does not, are told at its end; a repeat too."""
    held = ledger.allocate({"gpu": 1}, owner="a")
    assert attributes(spans.one("holdbook allocate"))["holdbook.allocation.id"] == held.id
    ledger.release(held.id, command_id="r-1")
    ledger.release(held.id, command_id="r-1")
    first, again = map(attributes, spans.named("holdbook release"))
    assert (first["holdbook.pools"], first["holdbook.allocation.id"]) == (("gpu",), held.id)
    assert "holdbook.repeated" not in first
    assert again["holdbook.repeated"] is True


def test_a_refusal_is_no_error(ledger: Ledger, spans: Spans) -> None:
    """A refusal is a decision: its span has the code, and no status of an error."""
    with pytest.raises(Refused):
        ledger.allocate({"gpu": 9}, owner="a")
    ledger.submit(Allocate(quantities={"gpu": 9}, owner="a")).result()
    for span in spans.named("holdbook allocate"):
        assert span.status.status_code is StatusCode.UNSET
        assert attributes(span)["holdbook.refusal.code"] == "above_capacity"
    assert len(spans.named("holdbook allocate")) == 2


def test_an_error(ledger: Ledger, spans: Spans) -> None:
    """An error is told by its type, and not by its text, whether the caller waited or went on."""
    ledger.allocate({"gpu": 1}, owner="a", command_id="c-1")
    again = Allocate(quantities={"gpu": 1}, owner=HIDDEN, command_id="c-1")
    with pytest.raises(CommandIdReused):
        ledger.execute(again)
    assert isinstance(ledger.submit(again).exception(), CommandIdReused)
    failed = spans.named("holdbook allocate")[1:]
    assert [(span.status.status_code, attributes(span)["error.type"]) for span in failed] == [
        (StatusCode.ERROR, "CommandIdReused")
    ] * 2
    assert HIDDEN not in spans.texts()


def test_a_commit_is_linked_to_its_commands(ledger: Ledger, spans: Spans) -> None:
    """Commands that wait while another is committed share one commit, whose span links to each of theirs."""
    with ledger._handler.own_cache():  # noqa: SLF001 - nothing is committed meanwhile
        promises = [ledger.submit(Allocate(quantities={"gpu": 1}, owner="a", command_id=f"c-{n}")) for n in range(3)]
    for promise in promises:
        promise.result()
    ledger.close()
    commits = spans.named("holdbook commit")
    ids = {span.context.span_id for span in spans.named("holdbook allocate") if span.context}
    assert [link.context.span_id for commit in commits for link in commit.links] != []
    assert {link.context.span_id for commit in commits for link in commit.links} == ids
    assert sum(attributes(commit)["holdbook.commit.commands"] for commit in commits) == 3
    assert sum(attributes(commit)["holdbook.commit.events"] for commit in commits) == 3
    assert attributes(commits[-1])["holdbook.position"] == 4
    assert {parent_of(commit) for commit in commits} == {None}


def test_an_import_is_committed_where_it_is_called(ledger: Ledger, spans: Spans) -> None:
    """A batch that brings its own times has a commit, a child of its caller's span; its commands have no spans."""
    with caller() as parent:
        ledger.record([Allocate(quantities={"gpu": 1}, owner="a")])
    assert parent_of(spans.one("holdbook commit")) == parent
    assert spans.named("holdbook allocate") == []


def test_a_commit_that_fails(ledger: Ledger, spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away is an error of the commit and of the command; neither span has its address."""

    def fail(*_: object) -> None:
        raise LogUnavailable(f"no {HIDDEN} at postgresql://a:b@c")

    monkeypatch.setattr(ledger._handler, "try_commit", fail)  # noqa: SLF001 - as a database that is away
    with pytest.raises(LogUnavailable):
        ledger.allocate({"gpu": 1}, owner="a")
    for name in ("holdbook commit", "holdbook allocate"):
        assert spans.one(name).status.status_code is StatusCode.ERROR
        assert attributes(spans.one(name))["error.type"] == "LogUnavailable"
    assert HIDDEN not in spans.texts()


def test_a_command_that_is_cancelled_or_not_taken(spans: Spans) -> None:
    """A cancelled command's span ends and says so; that of one for which there is no room ends as an error."""
    with Ledger.in_memory() as opened, Ledger(opened.log, waiting_max=1) as ledger, ledger._handler.own_cache():  # noqa: SLF001 - as above
        ledger.submit(Release(allocation_id="a"))
        while not ledger._group.committer.committing:  # noqa: SLF001 - it is in a batch, and what comes now is in none
            sleep(0)
        waiting = ledger.submit(Release(allocation_id="b"))
        with pytest.raises(Overloaded):
            ledger.submit(Release(allocation_id="c"))
        waiting.cancel()
    ends = {attributes(span)["holdbook.allocation.id"]: span for span in spans.named("holdbook release")}
    assert attributes(ends["b"])["holdbook.cancelled"] is True
    assert ends["b"].status.status_code is StatusCode.UNSET
    assert attributes(ends["c"])["error.type"] == "Overloaded"
    assert attributes(ends["a"])["holdbook.refusal.code"] == "allocation_not_found"
    assert tracing._unanswered == {}  # noqa: SLF001 - nothing is kept of what was answered


def test_a_command_that_waits(ledger: Ledger, spans: Spans) -> None:
    """Its span lasts until it is granted, over all the commits that left it waiting, and each of them links to it."""
    held = ledger.allocate({"gpu": 2}, owner="a")
    waiting = ledger.submit(Allocate(quantities={"gpu": 1}, owner="b", wait=timedelta(hours=1)))
    while not ledger.queue():
        sleep(0)
    assert len(spans.named("holdbook allocate")) == 1
    ledger.release(held.id)
    granted = waiting.result()
    _, span = spans.named("holdbook allocate")
    assert attributes(span)["holdbook.position"] == granted.position
    assert "holdbook.refusal.code" not in attributes(span)
    ledger.close()
    links = [link.context.span_id for commit in spans.named("holdbook commit") for link in commit.links]
    assert span.context is not None
    assert links.count(span.context.span_id) >= 2


async def test_a_call_of_a_provider(spans: Spans) -> None:
    """A provider's call is a child of its caller's span, current while it lasts, and tells its type, and an error's."""
    with caller() as parent:
        with provider_call("allocate", "gpu", "job-1"):
            await asyncio.sleep(0)
            inner = trace.get_current_span().get_span_context().span_id
        with pytest.raises(OSError, match=HIDDEN), provider_call("release", "gpu"):
            raise OSError(HIDDEN)
    done, failed = spans.one("holdbook provider allocate"), spans.one("holdbook provider release")
    assert parent_of(done) == parent_of(failed) == parent
    assert done.context is not None
    assert done.context.span_id == inner
    assert attributes(done) == {"holdbook.resource.type": "gpu", "holdbook.allocation.id": "job-1"}
    assert attributes(failed) == {"holdbook.resource.type": "gpu", "error.type": "OSError"}
    assert failed.status.status_code is StatusCode.ERROR
    assert HIDDEN not in spans.texts()


async def test_a_resource(spans: Spans) -> None:
    """A manager's calls of its provider have spans beside those of the commands, all of them about one right."""
    with Ledger.in_memory() as ledger:
        provider, manager = Scripted(Limits(total=2)), UnifiedResourceManager(ledger)
        manager.register_provider("slot", provider)
        with caller() as parent:
            resource = await manager.allocate("slot", tags={"password": HIDDEN})
            await manager.validate(resource.id)

            async def fail() -> None:
                raise OSError(HIDDEN)

            provider.steps["release"] = fail
            with pytest.raises(OSError, match=HIDDEN):
                await manager.release(resource.id)
            del provider.steps["release"]
            await manager.release(resource.id)
            await manager.cleanup()
    calls = ["allocate", "validate", "release", "release", "cleanup"]
    found = [span for call in dict.fromkeys(calls) for span in spans.named(f"holdbook provider {call}")]
    assert [span.name for span in found] == [f"holdbook provider {call}" for call in calls]
    commands = [spans.one(f"holdbook {verb}") for verb in ("reserve", "confirm", "release")]
    assert {parent_of(span) for span in (*found, *commands)} == {parent}
    assert {attributes(span)["holdbook.allocation.id"] for span in (*found[:-1], *commands)} == {resource.id}
    failed = [attributes(span).get("error.type") for span in found]
    assert failed == [None, None, "OSError", None, None]
    assert HIDDEN not in spans.texts()


@pytest.mark.parametrize("provider", [None, NoOpTracerProvider()], ids=["none", "no-op"])
def test_a_program_that_traces_nothing(
    ledger: Ledger, spans: Spans, monkeypatch: pytest.MonkeyPatch, provider: NoOpTracerProvider | None
) -> None:
    """Without a provider that a program has set, no span is made, though OpenTelemetry is imported."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    ledger.allocate({"gpu": 1}, owner="a")
    with provider_call("allocate", "gpu"):
        assert not trace.get_current_span().is_recording()
    assert spans.texts() == ""


def test_nothing_of_it_is_imported() -> None:
    """A ledger works where OpenTelemetry cannot be imported, and does not try; nor does it try Prometheus's client."""
    program = """
import sys

class Blocker:
    asked = []
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"opentelemetry", "prometheus_client"}:
            self.asked.append(name)
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
import asyncio
from holdbook import Ledger, Limits, MemoryResourceProvider, UnifiedResourceManager

async def main(ledger):
    manager = UnifiedResourceManager(ledger)
    manager.register_provider("memory", MemoryResourceProvider({"total": 9}))
    resource = await manager.allocate("memory", size=1)
    await manager.release(resource.id)

with Ledger.in_memory() as ledger:
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
    ledger.allocate({"gpu": 1}, owner="a")
    asyncio.run(main(ledger))
print(Blocker.asked, [name for name in sys.modules if name.startswith(("opentelemetry", "prometheus_client"))])
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[] []\n"
