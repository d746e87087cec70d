"""HTTP Basic over everything, sockets included: what a bind beyond loopback needs."""

from __future__ import annotations

import base64
import binascii
import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_CHALLENGE = [(b"www-authenticate", b'Basic realm="tailgate", charset="UTF-8"'), (b"content-type", b"text/plain")]


class RequirePassword:
    """ASGI middleware: 401 (or a refused WebSocket) unless the password comes with the request; any user name."""

    def __init__(self, app: ASGIApp, password: str) -> None:
        self._app = app
        self._password = password.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] == "lifespan" or self._accepts(Headers(scope=scope).get("authorization", "")):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "password required"})
        else:
            await send({"type": "http.response.start", "status": 401, "headers": _CHALLENGE})
            await send({"type": "http.response.body", "body": b"A password is required.\n"})

    def _accepts(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            decoded = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            return False
        return hmac.compare_digest(decoded.partition(b":")[2], self._password)
