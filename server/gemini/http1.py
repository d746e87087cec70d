"""A small HTTP/1.1 client: keep-alive connections to one endpoint, a request as bytes in, a whole answer out.

No request is sent twice. A connection that the peer closed while idle leaves the pool before it can be taken, so
nothing is lost on it; one that breaks after a byte was written fails its call, and the retry policy decides.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Final, NamedTuple, cast

import httptools

from server.errors import UpstreamUnavailable
from server.gemini.endpoint import Endpoint

_MOST_BODY_BYTES: Final = 64 * 1024 * 1024


class HttpAnswer(NamedTuple):
    """One answer: status, whole body, and the ``Retry-After`` header if there was one."""

    status: int
    body: bytes
    retry_after: str | None


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, pool: HttpPool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[HttpAnswer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._retry_after: str | None = None
        self._forget()

    def send(self, request: bytes, timeout_s: float | None) -> asyncio.Future[HttpAnswer]:
        """Write ``request``; the future has the answer, ``TimeoutError`` or an ``UpstreamUnavailable``."""
        loop = self._pool.loop
        self._answered = answered = loop.create_future()
        self._transport.write(request)
        if timeout_s is not None:
            self._timer = loop.call_later(timeout_s, self._fail, TimeoutError("Gemini did not answer in time"))
        return answered

    def abort(self) -> None:
        """Leave the pool and drop the connection; a call that waits on it fails."""
        self._pool.lost(self)
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
        """Leave the pool. An answer without a length ends here; any other is cut short."""
        self._pool.lost(self)
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
        keep = self._framed and self._parser.should_keep_alive() and not self._transport.is_closing()
        answered = self._end_call()
        if keep:
            self._forget()
            self._pool.release(self)
        else:
            self._transport.close()
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


class HttpPool:
    """Connections to ``endpoint``, the warmest first. At most ``max_connections`` at once; 0 sets no limit.

    Made in the loop that uses it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        max_connections: int = 0,
        connect_timeout_s: float = 5.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._endpoint = endpoint
        self._connect_timeout_s = connect_timeout_s
        self._tls = (tls or ssl.create_default_context()) if endpoint.tls else None
        self._places = asyncio.Semaphore(max_connections) if max_connections else None
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()

    async def request(self, request: bytes, timeout_s: float | None) -> HttpAnswer:
        """Send ``request`` and wait for its answer. Raises ``TimeoutError`` after ``timeout_s``, which includes waiting
        for a place and connecting, and :class:`server.errors.UpstreamUnavailable`."""
        if self._places is not None:
            started = self.loop.time()
            async with asyncio.timeout(timeout_s):
                await self._places.acquire()
            try:
                left_s = None if timeout_s is None else max(0.001, timeout_s - (self.loop.time() - started))
                return await self._exchange(request, left_s)
            finally:
                self._places.release()
        return await self._exchange(request, timeout_s)

    def release(self, connection: _Connection) -> None:
        """``connection`` has its answer and can serve another call."""
        self._idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        """``connection`` is closed."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Drop every connection; calls that wait fail."""
        for connection in tuple(self._open):
            connection.abort()

    async def _exchange(self, request: bytes, timeout_s: float | None) -> HttpAnswer:
        if self._idle:
            connection = self._idle.pop()
        else:
            started = self.loop.time()
            connection = await self._connect(timeout_s)
            if timeout_s is not None:
                timeout_s = max(0.001, timeout_s - (self.loop.time() - started))
        try:
            return await connection.send(request, timeout_s)
        except asyncio.CancelledError:
            connection.abort()
            raise

    async def _connect(self, timeout_s: float | None) -> _Connection:
        endpoint = self._endpoint
        within_s = self._connect_timeout_s if timeout_s is None else min(timeout_s, self._connect_timeout_s)
        try:
            async with asyncio.timeout(within_s):
                _, connection = await self.loop.create_connection(
                    lambda: _Connection(self),
                    endpoint.host,
                    endpoint.port,
                    ssl=self._tls,
                    server_hostname=endpoint.host if self._tls else None,
                )
        except TimeoutError:
            if timeout_s is not None and within_s == timeout_s:
                raise
            raise UpstreamUnavailable(f"Gemini could not be reached within {within_s:g} s") from None
        except OSError as error:
            raise UpstreamUnavailable(f"Gemini could not be reached: {type(error).__name__}") from None
        self._open.add(connection)
        return connection
