"""Gemini over REST on aiohttp, for where its years with odd servers count; the parse is ours, not an SDK's models."""

from __future__ import annotations

import ssl
from typing import Final

import aiohttp
from yarl import URL

from server.errors import UpstreamUnavailable
from server.gemini.blocking_rest import BlockingRest
from server.gemini.endpoint import Endpoint
from server.gemini.protocol import GeminiCall, GeminiReply
from server.gemini.rest_wire import call_path, decode_answer, encode_call

_CONNECT_TIMEOUT_S: Final = 5.0
_KEEP_ALIVE_S: Final = 60.0


class AiohttpGemini:
    """A pooled keep-alive client (:class:`server.gemini.protocol.GeminiClient`), HTTP/1.1 with or without TLS.

    ``max_connections`` bounds the pool, 0 does not: the bulkhead is where concurrency is limited. Redirects are not
    followed, so the key goes to ``endpoint`` alone. ``tls`` replaces the default certificate checks.
    """

    name = "aiohttp"

    def __init__(self, endpoint: Endpoint, *, max_connections: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._endpoint = endpoint
        self._key = endpoint.key.get_secret_value()
        self._max_connections = max_connections
        self._tls = tls
        self._blocking = BlockingRest(endpoint, connect_timeout_s=_CONNECT_TIMEOUT_S, tls=tls)
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}

    def __repr__(self) -> str:
        return f"AiohttpGemini({self._endpoint.base_url!r})"

    async def generate(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """One call on a pooled connection."""
        session = self._session or self._open_session()
        try:
            # Awaited, not entered: a whole read gives the connection back, and a failed one closes it.
            response = await session.post(
                self._urls.get(call.model) or self._url(call.model),
                data=encode_call(call),
                headers={"traceparent": call.traceparent} if call.traceparent else None,
                timeout=aiohttp.ClientTimeout(timeout_s, sock_connect=_CONNECT_TIMEOUT_S),
                allow_redirects=False,
            )
            body = await response.read()
        except aiohttp.ServerTimeoutError:
            raise UpstreamUnavailable(f"Gemini could not be reached within {_CONNECT_TIMEOUT_S:g} s") from None
        except TimeoutError:
            raise TimeoutError(f"Gemini did not answer within {timeout_s} s") from None
        except aiohttp.ClientPayloadError:
            raise UpstreamUnavailable("Gemini's answer was cut short", upstream_status=200) from None
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnavailable(f"no answer from Gemini: {type(error).__name__}") from None
        return decode_answer(
            call, response.status, body, retry_after=response.headers.get("Retry-After"), key=self._key
        )

    def generate_blocking(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """One call on the calling thread's own connection."""
        return self._blocking.generate(call, timeout_s)

    async def aclose(self) -> None:
        """Close all connections."""
        self._blocking.close()
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        # On the first call and not at construction: a session belongs to the running loop.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._max_connections, keepalive_timeout=_KEEP_ALIVE_S, ssl=self._tls or True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json", "x-goog-api-key": self._key},
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )
        return self._session

    def _url(self, model: str) -> URL:
        if len(self._urls) >= 256:
            self._urls.clear()
        url = self._urls[model] = URL(self._endpoint.base_url + call_path(model), encoded=True)
        return url
