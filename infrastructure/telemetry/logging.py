"""Log messages: structlog, on top of the standard library's logger ``holdbook``.

A program that embeds Holdbook configures that logger as it likes; the command line calls `configure_logging`. Each
message carries the command id, the correlation id and the actor of its context, and each error what it is about.
Passwords and other secrets are masked (see `masking`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter

from holdbook.infrastructure.telemetry.masking import mask_message

if TYPE_CHECKING:
    from collections.abc import Collection

    from structlog.typing import Processor

    from holdbook.infrastructure.settings import Settings

NAME: Final = "holdbook"
"""The name of the standard library's logger."""

_SHARED: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    mask_message,
]
"""What every message goes through, whether structlog or the standard library made it."""

logging.getLogger(NAME).addHandler(logging.NullHandler())


def get_logger() -> BoundLogger:
    """Make a structlog logger that writes to the logger of this package."""
    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(NAME),
        processors=[structlog.stdlib.filter_by_level, *_SHARED, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger


def configure_logging(settings: Settings, *, silent: Collection[str] = ()) -> None:
    """Write messages to standard error, in the format and from the level that the settings say.

    Events whose names are in ``silent`` are left out.
    """
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        ProcessorFormatter(processors=[ProcessorFormatter.remove_processors_meta, renderer], foreign_pre_chain=_SHARED)
    )
    handler.addFilter(lambda record: _event_name(record) not in silent)
    logger = logging.getLogger(NAME)
    logger.handlers[:] = [handler]
    logger.setLevel(settings.log_level.upper())
    logger.propagate = False


def _event_name(record: logging.LogRecord) -> str:
    """Give the name of a message's event; a message that structlog did not make has only its text."""
    return str(record.msg["event"] if isinstance(record.msg, dict) else record.msg)
