"""Who may call: API keys, and the origins of browser pages."""

from __future__ import annotations

import hmac
from hashlib import sha256

from aiohttp import web

from server.errors import ForbiddenOrigin, Unauthorized

_EXPOSED = "Server-Timing, Cache-Status, X-Attempts, X-Request-Id, traceparent, Retry-After"


class ApiKeys:
    """The accepted keys, by their SHA-256. Without any, everyone is let in."""

    __slots__ = ("_digests",)

    def __init__(self, sha256_hex: tuple[str, ...]) -> None:
        self._digests = tuple(bytes.fromhex(each) for each in sha256_hex)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def check(self, request: web.BaseRequest) -> None:
        """Raise :class:`Unauthorized` unless ``X-API-Key`` is one of the keys. Compares in constant time, with all."""
        sent = request.headers.get("X-API-Key")
        if sent is None:
            raise Unauthorized("send an API key in X-API-Key")
        digest = sha256(sent.encode("utf-8", "surrogateescape")).digest()
        if not sum(hmac.compare_digest(digest, known) for known in self._digests):
            raise Unauthorized("the API key in X-API-Key is not a known one")


class Origins:
    """The origins whose pages may call (CORS); ``*`` is all of them. None: no CORS header is ever sent."""

    __slots__ = ("_allowed", "_any")

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = frozenset(allowed)
        self._any = "*" in allowed

    def __bool__(self) -> bool:
        return bool(self._allowed)

    def headers(self, request: web.BaseRequest) -> str:
        """The header lines that let the page read the reply; without them its browser does not."""
        origin = request.headers.get("Origin")
        if origin is None:
            return "" if self._any else "Vary: Origin\r\n"
        if self._any:
            return f"Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: {_EXPOSED}\r\n"
        if origin not in self._allowed:
            return "Vary: Origin\r\n"
        return f"Access-Control-Allow-Origin: {origin}\r\nVary: Origin\r\nAccess-Control-Expose-Headers: {_EXPOSED}\r\n"

    def check_websocket(self, request: web.BaseRequest) -> None:
        """Raise :class:`ForbiddenOrigin` for a page of another origin: browsers do not protect WebSockets by CORS."""
        origin = request.headers.get("Origin")
        if origin is None or self._any or origin in self._allowed or origin == f"http://{request.host}":
            return
        raise ForbiddenOrigin(f"origin {origin!r:.80} is not in cors_origins")


def preflight_headers(methods: tuple[str, ...]) -> str:
    """What a preflight for a route that takes ``methods`` is told, besides the origins' own headers."""
    return (
        f"Access-Control-Allow-Methods: {', '.join(methods)}\r\n"
        "Access-Control-Allow-Headers: Content-Type, Cache-Control, X-API-Key, X-Request-Id, traceparent\r\n"
        "Access-Control-Max-Age: 600\r\n"
    )
