"""OpenTelemetry spans around commands, commits and calls of providers, if the program has set a tracer provider.

This module never imports OpenTelemetry: a program that has set a tracer provider has imported it. In any other program
a span costs one look-up in a dictionary. Spans carry ids, names of pools, codes and sizes, and never tags, options,
addresses or the text of an error.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Self

from holdbook.infrastructure.telemetry.context import about_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from types import TracebackType

    from opentelemetry.trace import Span, SpanContext, Tracer, TracerProvider

    from holdbook.domain.handling.commit_attempt import CommitAttempt
    from holdbook.domain.handling.outcome import Outcome, PendingCommand

NAME: Final = "holdbook"
"""The name of the tracer."""

_API: Final = "opentelemetry.trace"
"""The name of OpenTelemetry's module, as it is in `sys.modules` once a program has imported it."""

_unanswered: Final[dict[str, SpanContext]] = {}
"""The spans of the commands that are not answered yet, by command id."""


def _tracer() -> Tracer | None:
    """Give a tracer; None if the program has not set a tracer provider."""
    api: Any = sys.modules.get(_API)
    if api is None or not hasattr(api, "get_tracer_provider"):  # another thread may be about to import it
        return None
    provider = api.get_tracer_provider()
    if isinstance(provider, api.ProxyTracerProvider | api.NoOpTracerProvider):
        return None
    return _tracer_of(provider)


@lru_cache(maxsize=1)
def _tracer_of(provider: TracerProvider) -> Tracer:
    return provider.get_tracer(NAME)


class Untraced:
    """The span of a command in a program that does not trace: it does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def answered(self, outcome: Outcome) -> None:
        """Note the outcome of the command."""

    def goes_on(self, answering: Future[Outcome]) -> None:
        """Let the span end when the future is done, instead of at the end of the block."""


class CommandSpan(Untraced):
    """The span of a command, from when it is asked until it is answered. A context manager."""

    def __init__(self, span: Span, asked: PendingCommand) -> None:
        self._span = span
        self._command_id = asked.command_id
        self._goes_on = False
        _unanswered[asked.command_id] = span.get_span_context()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._goes_on:
            self._end(error)

    def answered(self, outcome: Outcome) -> None:
        """Note the outcome of the command."""
        self._span.set_attributes(_outcome_attributes(outcome))

    def goes_on(self, answering: Future[Outcome]) -> None:
        """Let the span end when the future is done, instead of at the end of the block."""
        self._goes_on = True
        answering.add_done_callback(self._done)

    def _done(self, answering: Future[Outcome]) -> None:
        if answering.cancelled():
            self._span.set_attribute("holdbook.cancelled", value=True)
            self._end(None)
            return
        error = answering.exception()
        if error is None:
            self.answered(answering.result())
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        _unanswered.pop(self._command_id, None)
        if error is not None:
            _fail(self._span, error)
        self._span.end()


_UNTRACED: Final = Untraced()


def command_span(asked: PendingCommand) -> Untraced:
    """Begin the span of a command, as a child of the caller's span; its name is ``holdbook`` and the command's verb.

    As a context manager, it ends the span at the end of the block. A refusal is a decision and no error: its code is an
    attribute of the span.
    """
    tracer = _tracer()
    if tracer is None:
        return _UNTRACED
    about = about_command(asked.command)
    attributes = {
        "holdbook.command.id": asked.command_id,
        "holdbook.command.verb": asked.command.verb,
        "holdbook.pools": about.get("pools"),
        "holdbook.allocation.id": about.get("allocation_id"),
    }
    return CommandSpan(tracer.start_span(f"holdbook {asked.command.verb}", attributes=_known(attributes)), asked)


def commit_span(attempt: CommitAttempt) -> AbstractContextManager[None]:
    """Make a block the span of a commit, with links to the spans of the commands that are decided in it."""
    tracer = _tracer()
    return nullcontext() if tracer is None else _commit_span(tracer, attempt)


@contextmanager
def _commit_span(tracer: Tracer, attempt: CommitAttempt) -> Iterator[None]:
    with _span(tracer, "holdbook commit", {}) as span:
        try:
            yield
        finally:  # not before: commands may join the batch until its transaction has the lock
            for one in attempt.asked:
                context = _unanswered.get(one.command_id)
                if context is not None:
                    span.add_link(context)
            attributes = {
                "holdbook.commit.commands": len(attempt.asked),
                "holdbook.commit.events": attempt.events,
                "holdbook.position": attempt.end and attempt.end.position,
            }
            span.set_attributes(_known(attributes))


def provider_call(
    call: str, resource_type: str | None = None, allocation_id: str | None = None
) -> AbstractContextManager[None]:
    """Make a block the span of a call of a provider, as a child of the caller's span."""
    tracer = _tracer()
    return nullcontext() if tracer is None else _provider_call(tracer, call, resource_type, allocation_id)


@contextmanager
def _provider_call(tracer: Tracer, call: str, resource_type: str | None, allocation_id: str | None) -> Iterator[None]:
    attributes = {"holdbook.resource.type": resource_type, "holdbook.allocation.id": allocation_id}
    with _span(tracer, f"holdbook provider {call}", attributes):
        yield


@contextmanager
def _span(tracer: Tracer, name: str, attributes: dict[str, Any]) -> Iterator[Span]:
    """Make a block a span, the current one while it runs; of an error raised in it, only the type is noted."""
    with tracer.start_as_current_span(
        name, attributes=_known(attributes), record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            _fail(span, error)
            raise


def _fail(span: Span, error: BaseException) -> None:
    """Mark a span as failed, with the type of the error and without its text."""
    api: Any = sys.modules[_API]
    kind = type(error).__name__
    span.set_attribute("error.type", kind)
    span.set_status(api.Status(api.StatusCode.ERROR, kind))


def _outcome_attributes(outcome: Outcome) -> dict[str, Any]:
    """Give the attributes of an outcome: its position, its pools, its allocation, and the code of a refusal."""
    events = [record.event for record in outcome.records]
    attributes = {
        "holdbook.position": outcome.position,
        "holdbook.repeated": outcome.repeated or None,
        "holdbook.refusal.code": outcome.refusal and outcome.refusal.code.value,
        "holdbook.pools": sorted({event.pool for event in events if getattr(event, "pool", None)}),  # type: ignore[attr-defined]  # as tested
        "holdbook.allocation.id": getattr(events[-1], "allocation_id", None) if events else None,
    }
    return _known(attributes)


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    """Leave out attributes that have no value."""
    return {name: value for name, value in attributes.items() if value is not None and value != []}
