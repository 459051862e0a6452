"""Logs: structured, one event a line, to standard error; for people or as JSON."""

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor

from mailsync_grpc.config import Config


def configure(config: Config) -> None:
    """Set up logging of this process."""
    for_people = config.log_format == "console"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,  # the renderers would show the values of local variables
            *(_for_people() if for_people else (structlog.processors.JSONRenderer(),)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[config.log_level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _for_people() -> tuple[Processor, ...]:
    return _escaped, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


def _escaped(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape what a terminal would obey: values may quote a mail server. JSON escapes by itself."""
    return {key: _printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
