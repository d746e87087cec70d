"""The built-in client's connections to one endpoint: kept alive, bounded, let go of when idle for long."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import OrderedDict
from typing import Final

from aiohappyeyeballs import start_connection

from server.errors import UpstreamUnavailable
from server.gemini.endpoint import Endpoint
from server.gemini.http1 import Connection, HttpAnswer

# A host whose first address does not answer is tried at the next one after this long (RFC 8305).
_NEXT_ADDRESS_S: Final = 0.25
# A connection used less than this long ago is taken as it is; the kernel is asked about an older one.
_FRESH_S: Final = 1.0


class ConnectionPool:
    """Connections to ``endpoint``, the one used last first. At most ``max_connections`` at once; 0 sets no limit.

    One that has been idle for ``keep_alive_s`` is closed. One that the peer closed while idle is not taken, even where
    the event loop was too busy to hear of it. ``tls`` replaces the default certificate checks. Made in the loop that
    uses it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        max_connections: int = 0,
        keep_alive_s: float = 60.0,
        connect_timeout_s: float = 5.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._endpoint = endpoint
        self._keep_alive_s = keep_alive_s
        self._connect_timeout_s = connect_timeout_s
        self._tls = (tls or _checking_certificates()) if endpoint.tls else None
        self._places = asyncio.Semaphore(max_connections) if max_connections else None
        # OrderedDict: taken from its end, expired from its start, and left from the middle, all in constant time.
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._open: set[Connection] = set()
        self._expiry: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<ConnectionPool {self._endpoint.authority} open={len(self._open)} idle={len(self._idle)}>"

    async def request(self, request: bytes, timeout_s: float | None) -> HttpAnswer:
        """Send ``request`` and wait for its answer. Raises ``TimeoutError`` after ``timeout_s``, which includes waiting
        for a place and connecting, and :class:`server.errors.UpstreamUnavailable`."""
        places = self._places
        if places is None:
            return await self._exchange(request, timeout_s)
        if places.locked():
            asked_s = self._loop.time()
            async with asyncio.timeout(timeout_s):
                await places.acquire()
            timeout_s = self._left_s(timeout_s, asked_s)
        else:
            await places.acquire()
        try:
            return await self._exchange(request, timeout_s)
        finally:
            places.release()

    def release(self, connection: Connection) -> None:
        """``connection`` has its answer and can serve another call."""
        connection.idle_since_s = self._loop.time()
        self._idle[connection] = None
        if self._expiry is None:
            self._expiry = self._loop.call_later(self._keep_alive_s, self._expire)

    def lost(self, connection: Connection) -> None:
        """``connection`` is closed."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def close(self) -> None:
        """Drop every connection; calls that wait fail."""
        if self._expiry is not None:
            self._expiry.cancel()
        for connection in tuple(self._open):
            connection.abort()

    async def _exchange(self, request: bytes, timeout_s: float | None) -> HttpAnswer:
        connection = self._kept()
        if connection is None:
            asked_s = self._loop.time()
            connection = await self._connect(timeout_s)
            timeout_s = self._left_s(timeout_s, asked_s)
        try:
            return await connection.send(request, timeout_s)
        except asyncio.CancelledError:
            connection.abort()
            raise

    def _kept(self) -> Connection | None:
        """An idle connection that can still be used, if there is one."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_open():
                idle_s = self._loop.time() - connection.idle_since_s
                if idle_s < _FRESH_S or (idle_s < self._keep_alive_s and connection.is_quiet()):
                    return connection
                connection.abort()
        return None

    def _expire(self) -> None:
        self._expiry = None
        while self._idle:
            oldest = next(iter(self._idle))
            left_s = oldest.idle_since_s + self._keep_alive_s - self._loop.time()
            if left_s > 0.0:
                self._expiry = self._loop.call_later(left_s, self._expire)
                return
            oldest.abort()

    def _left_s(self, timeout_s: float | None, asked_s: float) -> float | None:
        return None if timeout_s is None else max(0.001, timeout_s - (self._loop.time() - asked_s))

    async def _connect(self, timeout_s: float | None) -> Connection:
        endpoint = self._endpoint
        within_s = self._connect_timeout_s if timeout_s is None else min(timeout_s, self._connect_timeout_s)
        try:
            async with asyncio.timeout(within_s):
                addresses = await self._loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
                connected = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S, loop=self._loop)
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self, self._loop),
                    sock=connected,
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


def _checking_certificates() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
