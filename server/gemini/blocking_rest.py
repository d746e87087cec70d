"""Blocking REST calls on the standard library's HTTP client: one keep-alive connection a thread."""

from __future__ import annotations

import http.client
import select
import ssl
import threading
import time

from server.errors import UpstreamUnavailable
from server.gemini.deadline_socket import DeadlineSocket
from server.gemini.endpoint import Endpoint
from server.gemini.protocol import GeminiCall, GeminiReply
from server.gemini.rest_wire import call_path, decode_answer, encode_call


class _Connection(http.client.HTTPConnection):
    # It is connected, with or without TLS, before it is used.
    sock: DeadlineSocket


class BlockingRest:
    """Makes calls from any number of threads. Each thread has its own connection, opened on its first call."""

    def __init__(
        self, endpoint: Endpoint, *, connect_timeout_s: float = 5.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._endpoint = endpoint
        self._connect_timeout_s = connect_timeout_s
        self._tls = (tls or ssl.create_default_context()) if endpoint.tls else None
        self._headers = {
            "Host": endpoint.authority,
            "Content-Type": "application/json",
            "x-goog-api-key": endpoint.key.get_secret_value(),
        }
        self._own = threading.local()
        self._open: set[_Connection] = set()
        self._lock = threading.Lock()

    def generate(self, call: GeminiCall, timeout_s: float | None) -> GeminiReply:
        """One call; ``TimeoutError`` once ``timeout_s`` is over, however slowly the answer comes."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        connection = None
        try:
            connection = self._connection(deadline)
            connection.sock.ends_at = deadline
            path = self._endpoint.prefix + call_path(call.model)
            headers = self._headers | {"traceparent": call.traceparent} if call.traceparent else self._headers
            connection.request("POST", path, body=encode_call(call), headers=headers)
            response = connection.getresponse()
            body = response.read()
        except BaseException as error:
            self._drop(connection)
            if isinstance(error, TimeoutError):
                raise TimeoutError(f"Gemini did not answer within {timeout_s} s") from None
            if isinstance(error, http.client.IncompleteRead):
                raise UpstreamUnavailable("Gemini's answer was cut short", upstream_status=200) from None
            if isinstance(error, OSError | http.client.HTTPException):
                raise UpstreamUnavailable(f"no answer from Gemini: {type(error).__name__}") from None
            raise
        if response.will_close:
            self._drop(connection)
        retry_after = response.headers.get("Retry-After")
        return decode_answer(
            call, response.status, body, retry_after=retry_after, key=self._endpoint.key.get_secret_value()
        )

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            connection.close()

    def _connection(self, deadline: float | None) -> _Connection:
        connection: _Connection | None = getattr(self._own, "connection", None)
        if connection is not None and connection.sock is not None:
            # Readable while nothing was asked: the peer has closed it. Nothing was sent, so a new one is safe.
            idle = select.poll()
            idle.register(connection.sock, select.POLLIN)
            if not idle.poll(0):
                return connection
            self._drop(connection)
        return self._connect(deadline)

    def _connect(self, deadline: float | None) -> _Connection:
        endpoint = self._endpoint
        connection = _Connection(endpoint.host, endpoint.port)
        ends_at = time.monotonic() + self._connect_timeout_s
        if deadline is not None:
            ends_at = min(ends_at, deadline)
        try:
            connection.sock = DeadlineSocket.connect(endpoint.host, endpoint.port, ends_at, self._tls)
        except TimeoutError:
            if deadline is not None and time.monotonic() >= deadline:
                raise
            raise UpstreamUnavailable(f"Gemini could not be reached within {self._connect_timeout_s:g} s") from None
        self._own.connection = connection
        with self._lock:
            self._open.add(connection)
        return connection

    def _drop(self, connection: _Connection | None) -> None:
        if connection is not None:
            self._own.connection = None
            with self._lock:
                self._open.discard(connection)
            connection.close()
