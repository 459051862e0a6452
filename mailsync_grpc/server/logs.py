"""Logs: structured, one event a line, to standard error; for people or as JSON."""

import logging
import sys

import structlog

from mailsync_grpc.config import Config


def configure(config: Config) -> None:
    """Set up logging of this process. Values are quoted by both renderers, so none can begin a line of its own."""
    for_people = config.log_format == "console"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
            if for_people
            else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[config.log_level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
