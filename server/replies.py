"""HTTP replies, written as one block of bytes each.

aiohttp's ``Response`` builds a multidict of headers and has it serialised again for each reply, which costs more than
all of Tailgate's policies. :class:`Reply` takes its place at aiohttp's two calls (``prepare`` and ``write_eof``).
"""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion11, web

JSON: Final = "application/json"
_STATUS_LINE: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: tailgate\r\n" for status in HTTPStatus
}


class _Date:
    """The ``Date`` header, made once a second (RFC 9110 wants one in each reply)."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._line = ""

    def line(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n"
        return self._line


_date: Final = _Date()


class Reply:
    """A whole reply: ``status``, ``headers`` as lines that each end in CRLF, and ``body``.

    ``Date``, ``Server``, ``Content-Type``, ``Content-Length`` and ``Connection`` are added when it is sent.
    ``keep_alive`` is what aiohttp reads after sending: whether the connection stays.
    """

    __slots__ = ("body", "content_type", "headers", "keep_alive", "status")

    def __init__(
        self, status: int, body: bytes, *, headers: str = "", content_type: str = JSON, close: bool = False
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.content_type = content_type
        self.keep_alive = not close

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send everything; raise ``ConnectionResetError`` if the client has gone."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        connection = ""
        if not (self.keep_alive and request.keep_alive):
            self.keep_alive = False
            connection = "Connection: close\r\n"
        elif request.version < HttpVersion11:
            connection = "Connection: keep-alive\r\n"
        body = self.body
        head = (
            f"{_STATUS_LINE[self.status]}{_date.line()}Content-Type: {self.content_type}\r\n"
            f"Content-Length: {len(body)}\r\n{connection}{self.headers}\r\n"
        ).encode("latin-1")
        transport.write(head if request.method == "HEAD" else head + body)
        if request.protocol.writing_paused:
            await request.protocol._drain_helper()

    async def write_eof(self) -> None:
        """Nothing is left to send."""
