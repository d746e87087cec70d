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
    """Log from ``level`` on; on leaving, write what is still queued."""
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(JsonLines())
    listener = QueueListener(queue, stream)
    handler = _AsItIs(queue)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level.upper())
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        listener.stop()
