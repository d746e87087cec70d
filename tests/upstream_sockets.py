"""Servers that answer a raw HTTP request as a test wants, and a pool of connections to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.gemini.connection_pool import ConnectionPool
from server.gemini.endpoint import Endpoint
from tests.raw_upstream import Serve, upstream

REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"
HINTED = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"


@asynccontextmanager
async def pool_to(serve: Serve, **options) -> AsyncIterator[ConnectionPool]:
    """A pool of connections to a server that treats each connection with ``serve``."""
    async with upstream(serve) as url:
        pool = ConnectionPool(Endpoint.parse(url, None), **options)
        try:
            yield pool
        finally:
            pool.close()


class Answering:
    """Answers each request on each connection with the next of ``answers``, in ``pieces``; counts connections."""

    def __init__(self, *answers: bytes, pieces: list[int] | None = None, then_close: bool = False) -> None:
        self.answers = list(answers)
        self.pieces = pieces or []
        self.then_close = then_close
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            await reader.readexactly(len(REQUEST))
            answer, start = self.answers.pop(0), 0
            for piece in [*self.pieces, len(answer)]:
                writer.write(answer[start : start + piece])
                start += piece
                await asyncio.sleep(0)
            if self.then_close:
                break
