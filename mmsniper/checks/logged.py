"""What is logged while a config's parts are built."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import MMLogger

from .findings import WARNING, Finding


@contextmanager
def warnings_of(about: str, findings: list[Finding]) -> Iterator[None]:
    """Let warnings become findings, and the rest be silent.

    Args:
        about: What is built.
        findings: Changed.
    """

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            what = record.getMessage()
            findings.append(Finding(WARNING, about, what, 'Said while it was built; training goes on.'))

    logger, collector = MMLogger.get_current_instance(), Collector(logging.WARNING)
    handlers, logger.handlers = logger.handlers, [collector]
    try:
        yield
    finally:
        logger.handlers = handlers


@contextmanager
def only_errors() -> Iterator[None]:
    """Let the log be silent but for errors."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
