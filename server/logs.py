"""The log: one JSON object a line on stderr, written by a thread of its own so that no request waits for a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue

import orjson

# These write a line a call at level info: an access log, of which the server has none.
_CHATTY = ("google_genai", "httpx", "httpx2")


class JsonLines(logging.Formatter):
    """A record as ``{"time", "level", "logger", "message", "error"?, "traceback"?}`` and what ``extra`` carried."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        request_id = getattr(record, "request_id", None)
        if request_id is not None:
            line["request_id"] = request_id
        if record.exc_info:
            line["error"] = repr(record.exc_info[1])
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class _AsItIs(QueueHandler):
    """Hands records over unformatted: formatting is the thread's work."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


@contextmanager
def logging_to_stderr(level: str) -> Iterator[None]:
    """Log from ``level`` on, Python's warnings too; on leaving, write what is still queued."""
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(JsonLines())
    listener = QueueListener(queue, stream)
    handler = _AsItIs(queue)
    root = logging.getLogger()
    chatty = [logging.getLogger(name) for name in _CHATTY]
    before = [(logger, logger.level) for logger in (root, *chatty)]
    root.addHandler(handler)
    root.setLevel(level.upper())
    for logger in chatty:
        logger.setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(True)
    listener.start()
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        for logger, its_level in before:
            logger.setLevel(its_level)
        listener.stop()
