"""A lean HTTP/1.1 client in gevent's loop: one keep-alive connection a user, llhttp (httptools) as its parser.

It is cheap because a reply costs one wake-up: the loop reads, parses and stamps it, and switches to the user's greenlet
only when the message is complete. The read watcher stays on between requests, so a server that closes an idle
connection is noticed at once and the next request opens a new one. Nothing is ever sent twice: a request whose
connection breaks is a failure, told as such.
"""

from __future__ import annotations

import errno
import os
import socket as patched_socket
from collections.abc import Sequence
from operator import setitem
from time import perf_counter_ns
from types import MethodType
from typing import Any, Final

import gevent.socket
from gevent import monkey
from gevent.hub import get_hub
from greenlet import getcurrent, greenlet
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

Address = tuple[int, Any]
"""Address family and socket address, as getaddrinfo gives them."""

MAX_REPLY_BYTES: Final = 64 << 20
_READ: Final = 1
_WRITE: Final = 2
_IN_PROGRESS: Final = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)
switch = greenlet.switch  # to the hub, without the look for a switch_out method that gevent's own takes
_Socket = monkey.get_original("socket", "socket")


class Transport:
    """What the connections of one process share: where to connect, the time limit, the receive buffer.

    ``timeout_s`` bounds an exchange from its first byte sent to its last byte received, and a connect by itself.
    """

    def __init__(self, addresses: Sequence[Address], timeout_s: float) -> None:
        self.addresses = addresses
        self.timeout_s = timeout_s
        self.hub = get_hub()
        self.buffer = memoryview(bytearray(256 * 1024))
        self.waiting: dict[LeanClient, int] = {}  # in the order of sending, so the first is the first to time out
        self._timeout_ns = int(timeout_s * 1e9)
        every_s = min(0.1, timeout_s / 10)
        self._sweeper = self.hub.loop.timer(every_s, every_s)
        self._sweeper.start(self._time_out)

    def _time_out(self) -> None:
        limit_ns = perf_counter_ns() - self._timeout_ns
        late = []
        for client, sent_ns in self.waiting.items():
            if sent_ns > limit_ns:
                break
            late.append(client)
        for client in late:
            client.time_out()


class LeanClient:
    """One user's connection. After :meth:`exchange` the attributes tell of the last reply.

    ``status`` (0 before the first), ``headers`` (names as sent), ``body``; ``sent_ns`` and ``done_ns`` are
    perf_counter times of the first byte sent and of the last byte received, or of the failure.
    """

    __slots__ = (
        "_chunks", "_head_open", "_hub", "_keep_alive", "_outcome", "_parked", "_parser", "_received", "_rest",
        "_socket", "_transport", "_watcher", "_writer", "body", "done_ns", "headers", "on_body", "on_header",
        "on_headers_complete", "sent_ns", "status",
    )  # fmt: skip

    def __init__(self, transport: Transport) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.sent_ns = 0
        self.done_ns = 0
        self._transport = transport
        self._hub = transport.hub
        self._chunks: list[bytes] = []
        self._received = 0
        self._head_open = [True]
        self._keep_alive = False
        self._outcome: str | None = None
        self._parked: Any = None
        self._socket: Any = None
        self._watcher: Any = None
        self._writer: Any = None
        self._rest = memoryview(b"")
        self._parser: Any = None
        # What the parser calls for each header, at the end of the head, for each piece of body: built-in methods, so
        # that no frame is made. The head is complete when _head_open is empty.
        self.on_header = MethodType(setitem, self.headers)  # quicker to call than headers.__setitem__
        self.on_headers_complete = self._head_open.clear
        self.on_body = self._chunks.append

    @property
    def connected(self) -> bool:
        """Whether there is a connection that the server has not closed."""
        return self._socket is not None

    def connect(self) -> str:
        """Open the connection; return ``""``, or ``connect`` or ``timeout`` when no address accepted one."""
        error = "connect"
        for family, address in self._transport.addresses:
            sock = _Socket(family, patched_socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                sock.setsockopt(patched_socket.IPPROTO_TCP, patched_socket.TCP_NODELAY, 1)
                code = sock.connect_ex(address)
                if code not in _IN_PROGRESS:
                    raise OSError(code, os.strerror(code))
                if code:
                    gevent.socket.wait_write(sock.fileno(), self._transport.timeout_s)
                    code = sock.getsockopt(patched_socket.SOL_SOCKET, patched_socket.SO_ERROR)
                    if code:
                        raise OSError(code, os.strerror(code))
            except OSError as failure:
                sock.close()
                error = "timeout" if isinstance(failure, TimeoutError) else "connect"
            except BaseException:
                self.done_ns = perf_counter_ns()
                sock.close()
                raise
            else:
                self._socket = sock
                self._parser = HttpResponseParser(self)
                self._watcher = self._hub.loop.io(sock.fileno(), _READ)
                self._watcher.start(self._readable)
                return ""
        return error

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._stop_writing()
            self._watcher.stop()
            self._watcher.close()
            self._socket.close()
            self._socket = self._watcher = None

    def exchange(self, request: bytes) -> str:
        """Send ``request`` and wait for the whole reply, connecting first where needed.

        Returns ``""`` for a complete reply of whatever status, else ``connect``, ``timeout``, ``reset`` (the
        connection broke) or ``protocol`` (the answer is not HTTP). A greenlet killed meanwhile leaves no connection.
        """
        self.sent_ns = perf_counter_ns()
        if self._socket is None:
            error = self.connect()
            if error:
                self.done_ns = perf_counter_ns()
                return error
            self.sent_ns = perf_counter_ns()
        self.headers.clear()
        self._chunks.clear()
        self._received = 0
        self._head_open.append(True)
        self._outcome = None
        waiting = self._transport.waiting
        waiting[self] = self.sent_ns
        self._parked = getcurrent()
        try:
            sent = self._send(request)
            if sent < len(request):
                self._send_later(memoryview(request)[sent:])
            switch(self._hub)
        except BaseException:
            self.done_ns = perf_counter_ns()
            self._parked = None
            self.close()
            raise
        finally:
            del waiting[self]
        return self._outcome or ""

    def time_out(self) -> None:
        """Give up the exchange that is under way."""
        self.done_ns = perf_counter_ns()
        self._end("timeout")

    def _send(self, data: bytes | memoryview) -> int:
        """Bytes that the socket took; all of them, when it has failed and there is nothing left to try."""
        try:
            return self._socket.send(data)  # type: ignore[no-any-return]
        except BlockingIOError:
            return 0
        except OSError:
            # The reply may have come before the server closed (413, draining): let the read find out.
            return len(data)

    def _send_later(self, rest: memoryview) -> None:
        """Have the loop send what the socket had no room for, while the reply is awaited already."""
        self._rest = rest
        self._writer = self._hub.loop.io(self._socket.fileno(), _WRITE)
        self._writer.start(self._writable)

    def _writable(self) -> None:
        self._rest = self._rest[self._send(self._rest) :]
        if not self._rest:
            self._stop_writing()

    def _stop_writing(self) -> None:
        if self._writer is not None:
            self._writer.stop()
            self._writer.close()
            self._writer = None

    def _readable(self) -> None:
        buffer = self._transport.buffer
        try:
            size = self._socket.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError:
            size = -1
        self.done_ns = perf_counter_ns()
        if size > 0:
            parked = self._parked
            if parked is None:  # nobody has asked: such a connection is of no use
                self._end("protocol")
                return
            try:
                self._parser.feed_data(buffer[:size])
            except (HttpParserError, HttpParserUpgrade):
                self._end("protocol")
                return
            if self._outcome is not None:
                if not self._keep_alive or self._writer is not None:  # the latter: answered before it had read all
                    self.close()
                self._parked = None
                parked.switch()
                return
            self._received += size
            if self._received > MAX_REPLY_BYTES:
                self._end("protocol")
        elif size == 0 and self._ends_with_connection():
            self.status = self._parser.get_status_code()
            self.body = b"".join(self._chunks)
            self._end("")
        else:
            self._end("reset")

    def _ends_with_connection(self) -> bool:
        """Whether a body without a length (HTTP/1.0's way) is what the end of the connection has just completed."""
        if self._head_open or self._outcome is not None:
            return False
        names = {name.lower() for name in self.headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    def on_message_complete(self) -> None:
        """Take, from the parser, a whole message. Raises when there was one already: such a connection is of no use."""
        if self._outcome is not None:
            raise ValueError("a second reply to one request")
        parser = self._parser
        self.status = status = parser.get_status_code()
        if 100 <= status < 200:  # an interim reply; the final one follows
            self.headers.clear()
            self._head_open.append(True)
            return
        self._keep_alive = parser.should_keep_alive()  # the parser knows only now
        chunks = self._chunks
        self.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._outcome = ""

    def _end(self, outcome: str) -> None:
        """Close the connection; end the exchange, if there is one, and wake the user who waits for it."""
        self.close()
        self._outcome = outcome
        if self._parked is not None:
            parked, self._parked = self._parked, None
            parked.switch()
