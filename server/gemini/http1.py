"""One HTTP/1.1 connection of the built-in client: a request as bytes in, a whole answer out, one at a time.

No request is sent twice: a connection that breaks after a byte was written fails its call, and it is for the retry
policy to decide.
"""

from __future__ import annotations

import asyncio
import select
from typing import Final, NamedTuple, Protocol, cast

import httptools

from server.errors import UpstreamUnavailable

_MOST_BODY_BYTES: Final = 64 * 1024 * 1024


class HttpAnswer(NamedTuple):
    """One answer: status, whole body, and the ``Retry-After`` header if there was one."""

    status: int
    body: bytes
    retry_after: str | None


class Owner(Protocol):
    """Who keeps connections: told when one is free, and when one is gone."""

    def release(self, connection: Connection) -> None:
        """``connection`` has its answer and can serve another call."""
        ...

    def lost(self, connection: Connection) -> None:
        """``connection`` is closed."""
        ...


class Connection(asyncio.Protocol):
    """One connection of ``owner``. ``idle_since_s`` is the owner's to set."""

    idle_since_s = 0.0

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[HttpAnswer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._retry_after: str | None = None
        self._forget()

    def send(self, request: bytes, timeout_s: float | None) -> asyncio.Future[HttpAnswer]:
        """Write ``request``; the future has the answer, ``TimeoutError`` or an ``UpstreamUnavailable``."""
        self._answered = answered = self._loop.create_future()
        self._transport.write(request)
        if timeout_s is not None:
            self._timer = self._loop.call_later(timeout_s, self._fail, TimeoutError("Gemini did not answer in time"))
        return answered

    def is_open(self) -> bool:
        """Whether a request can be written, as far as the event loop knows."""
        return not self._transport.is_closing()

    def is_quiet(self) -> bool:
        """Whether nothing has come that the event loop has not read yet, such as the peer's close. Asks the kernel."""
        unread = select.poll()
        unread.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not unread.poll(0)

    def abort(self) -> None:
        """Drop the connection; a call that waits on it fails."""
        self._owner.lost(self)
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse; bytes that are no HTTP end the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # an error of this program, not of the peer
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(UpstreamUnavailable("Gemini's answer is not HTTP", upstream_status=self._status))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner. An answer without a length ends here; any other is cut short."""
        self._owner.lost(self)
        if self._answered is None:
            return
        if exc is None and self._status >= 200 and not self._framed:
            self._complete()
        elif self._status:
            self._fail(UpstreamUnavailable("Gemini's answer was cut short", upstream_status=self._status))
        else:
            self._fail(UpstreamUnavailable("Gemini closed the connection without an answer"))

    # httptools callbacks

    def on_message_begin(self) -> None:
        """An answer begins; one that nobody asked for ends the connection."""
        if self._answered is None:
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; only framing and ``Retry-After`` matter here."""
        match name.lower():
            case b"content-length" | b"transfer-encoding":
                self._framed = True
            case b"retry-after":
                self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Part of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > _MOST_BODY_BYTES:
            self._fail(UpstreamUnavailable("Gemini's answer is too large", upstream_status=self._status))
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """A whole answer; a 1xx is not one yet."""
        if self._status < 200:
            self._forget()
        else:
            self._complete()

    # the answer

    def _forget(self) -> None:
        self._status = 0
        self._framed = False
        self._retry_after = None
        self._body: list[bytes] = []
        self._body_bytes = 0

    def _complete(self) -> None:
        answer = HttpAnswer(self._status, b"".join(self._body), self._retry_after)
        transport = self._transport
        # Answered before the request was written to its end: what is left of it would come before the next one.
        all_sent = transport.get_write_buffer_size() == 0
        keep = all_sent and self._framed and self._parser.should_keep_alive() and not transport.is_closing()
        answered = self._end_call()
        if keep:
            self._forget()
            self._owner.release(self)
        elif all_sent:
            transport.close()
        else:
            transport.abort()
        if answered is not None and not answered.done():
            answered.set_result(answer)

    def _fail(self, error: Exception) -> None:
        answered = self._end_call()
        self.abort()
        if answered is not None and not answered.done():
            answered.set_exception(error)

    def _end_call(self) -> asyncio.Future[HttpAnswer] | None:
        answered, self._answered = self._answered, None
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        return answered
