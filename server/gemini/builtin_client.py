"""Gemini over REST on the HTTP/1.1 client of this package: the default live client, at a fourth of aiohttp's cost."""

from __future__ import annotations

import ssl
from functools import partial

from server.gemini.blocking_rest import BlockingRest
from server.gemini.connection_pool import ConnectionPool
from server.gemini.endpoint import Endpoint
from server.gemini.protocol import GeminiCall, GeminiReply
from server.gemini.rest_wire import call_path, decode_answer, encode_call


class BuiltinGemini:
    """A :class:`server.gemini.protocol.GeminiClient` on :class:`server.gemini.connection_pool.ConnectionPool`.

    ``max_connections`` bounds the pool, 0 does not. Redirects are not followed, so the key goes to ``endpoint`` alone.
    ``tls`` replaces the default certificate checks.
    """

    name = "builtin"

    def __init__(self, endpoint: Endpoint, *, max_connections: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._endpoint = endpoint
        self._key = endpoint.key.get_secret_value()
        self._open_pool = partial(ConnectionPool, endpoint, max_connections=max_connections, tls=tls)
        self._pool: ConnectionPool | None = None
        self._blocking = BlockingRest(endpoint, tls=tls)
        self._heads: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"BuiltinGemini({self._endpoint.base_url!r})"

    async def generate(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """One call on a pooled connection."""
        pool = self._pool
        if pool is None:
            pool = self._pool = self._open_pool()
        body = encode_call(call)
        head = self._heads.get(call.model) or self._head(call.model)
        trace = f"traceparent: {call.traceparent}\r\n".encode() if call.traceparent else b""
        request = b"%b%d\r\n%b\r\n%b" % (head, len(body), trace, body)
        status, answer, retry_after = await pool.request(request, timeout_s)
        return decode_answer(call, status, answer, retry_after=retry_after, key=self._key)

    def generate_blocking(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """One call on the calling thread's own connection."""
        return self._blocking.generate(call, timeout_s)

    async def aclose(self) -> None:
        """Close all connections."""
        self._blocking.close()
        if self._pool is not None:
            self._pool.close()

    def _head(self, model: str) -> bytes:
        if len(self._heads) >= 256:
            self._heads.clear()
        head = self._heads[model] = (
            f"POST {self._endpoint.prefix}{call_path(model)} HTTP/1.1\r\nHost: {self._endpoint.authority}\r\n"
            f"Content-Type: application/json\r\nx-goog-api-key: {self._key}\r\nContent-Length: "
        ).encode()
        return head
