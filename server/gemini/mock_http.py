"""HTTP/1.1 for the mock server: one connection, its requests in order, answers written as a script of waits and bytes.

A protocol on httptools instead of a web framework for two reasons: a benchmark's upstream must cost less than what it
measures, and faults need the transport itself (a reset, a body cut short, a connection that stays silent).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from typing import Final, NamedTuple, cast

import httptools

MOST_BODY_BYTES: Final = 20 * 1024 * 1024
"""Google's own limit on a request."""

_MOST_HEAD_BYTES: Final = 64 * 1024
_LINGER_0: Final = struct.pack("ii", 1, 0)  # closing then sends RST


class End(Enum):
    """What becomes of the connection after an answer."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()


class Request(NamedTuple):
    """One request: ``target`` as sent, ``key`` from ``x-goog-api-key`` (empty when absent), the whole body."""

    method: str
    target: str
    key: str
    body: bytes


class Answer(NamedTuple):
    """What to send: ``steps`` of (seconds to wait, bytes to write after that), then ``end``.

    ``ended`` is called once: with ``True`` when all was written, with ``False`` when the caller was gone before.
    """

    steps: Iterable[tuple[float, bytes]]
    end: End = End.KEEP
    ended: Callable[[bool], None] | None = None


def refusal(status: str) -> Answer:
    """An empty answer with a status line such as ``400 Bad Request``, after which the connection closes."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    return Answer([(0.0, head)], End.CLOSE)


class HttpConnection(asyncio.Protocol):
    """One connection. ``handle`` makes an answer of each request; ``connections`` holds all that are open."""

    def __init__(self, handle: Callable[[Request], Answer], connections: set[HttpConnection]) -> None:
        self._handle = handle
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._answer: Answer | None = None
        self._steps: Iterator[tuple[float, bytes]] = iter(())
        self._timer: asyncio.TimerHandle | None = None
        self._keep_alive = True
        self._writable = True
        self._body_bytes = self._head_bytes = 0
        self._too_large = ""
        self._begin_request()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection and what it was waiting for."""
        self._connections.discard(self)
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._end_answer(complete=False)

    def data_received(self, data: bytes) -> None:
        """Parse and answer; what is no HTTP, or too large, ends the connection with a 4xx."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse("501 Not Implemented")
        except httptools.HttpParserCallbackError:
            raise  # an error of this program, not of the peer
        except httptools.HttpParserError:
            self._refuse("400 Bad Request")
        if self._too_large:
            self._refuse(self._too_large)
        else:
            self._answer_next()

    def pause_writing(self) -> None:
        """Answer no further request while the peer does not read."""
        self._writable = False

    def resume_writing(self) -> None:
        """Go on with the requests that wait."""
        self._writable = True
        self._answer_next()

    # httptools callbacks

    def on_url(self, url: bytes) -> None:
        """Part of the request target."""
        self._target += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; only the key, ``Expect`` and a body announced too large matter here."""
        self._count_head(len(name) + len(value) + 4)
        match name.lower():
            case b"content-length" if value.isdigit() and int(value) > MOST_BODY_BYTES:
                self._too_large = "413 Content Too Large"
            case b"x-goog-api-key":
                self._key = value.decode("latin-1")
            case b"expect":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Part of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > MOST_BODY_BYTES:
            self._too_large = "413 Content Too Large"
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """A whole request; it is answered after those before it."""
        method = self._parser.get_method().decode()
        request = Request(method, self._target.decode("latin-1"), self._key, b"".join(self._body))
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._begin_request()

    # requests and answers

    def _begin_request(self) -> None:
        self._target = b""
        self._key = ""
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > _MOST_HEAD_BYTES:
            self._too_large = "431 Request Header Fields Too Large"

    def _refuse(self, status: str) -> None:
        if not self._transport.is_closing():
            self._waiting.clear()
            self._start(refusal(status), keep_alive=False)

    def _answer_next(self) -> None:
        while self._waiting and self._answer is None and self._writable and not self._transport.is_closing():
            request, keep_alive = self._waiting.popleft()
            self._start(self._handle(request), keep_alive=keep_alive)

    def _start(self, answer: Answer, *, keep_alive: bool) -> None:
        self._answer = answer
        self._keep_alive = keep_alive
        self._steps = iter(answer.steps)
        self._write_until_wait()

    def _write_until_wait(self) -> None:
        for wait_s, data in self._steps:
            if wait_s > 0:
                self._timer = self._loop.call_later(wait_s, self._write_late, data)
                return
            self._transport.write(data)
        self._finish()

    def _write_late(self, data: bytes) -> None:
        self._timer = None
        self._transport.write(data)
        self._write_until_wait()
        self._answer_next()

    def _finish(self) -> None:
        end = self._answer.end if self._answer is not None else End.CLOSE
        self._end_answer(complete=True)
        if end is End.RESET:
            connection: socket.socket | None = self._transport.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
            self._transport.abort()
        elif end is End.CLOSE or not self._keep_alive:
            self._transport.close()

    def _end_answer(self, *, complete: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and answer.ended is not None:
            answer.ended(complete)
