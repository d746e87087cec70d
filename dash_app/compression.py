"""Scripts compressed once, answers compressed lightly: plotly.js alone is 4.8 MB.

Component scripts have the package's version and build time in their names, so what was compressed once stays right for
the life of the process.
"""

from __future__ import annotations

import asyncio
import gzip
from collections import OrderedDict

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dash_app.scripts import SUITES, compiled_once

_KEPT = 128
_SCRIPT_LEVEL = 6


class PrecompressedSuites:
    """ASGI middleware that keeps the gzip form of every component script in memory.

    A reply other than 200 passes through untouched, and so does a browser that does not accept gzip.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: OrderedDict[str, tuple[list[tuple[bytes, bytes]], bytes]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a kept script, or make and keep it."""
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(SUITES):
            await self._app(scope, receive, send)
            return
        if "gzip" not in Headers(scope=scope).get("accept-encoding", ""):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path not in self._kept:
            start, body = await self._whole_reply(scope, receive)
            if start["status"] != 200:
                await send(start)
                await send({"type": "http.response.body", "body": body})
                return
            packed = await asyncio.to_thread(_packed, body)
            headers = MutableHeaders(raw=list(start["headers"]))
            headers["content-encoding"] = "gzip"
            headers["content-length"] = str(len(packed))
            headers["vary"] = "Accept-Encoding"
            self._kept[path] = (headers.raw, packed)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        raw, packed = self._kept[path]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        await send({"type": "http.response.body", "body": packed})

    async def _whole_reply(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))

        await self._app(scope, receive, collect)
        return start, bytes(body)


def _packed(script: bytes) -> bytes:
    return gzip.compress(compiled_once(script), _SCRIPT_LEVEL, mtime=0)
