"""Servers that answer a raw HTTP request as a test wants, and a pool of connections to them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from server.gemini.connection_pool import ConnectionPool
from server.gemini.endpoint import Endpoint

REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"
HINTED = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def pool_to(serve: Serve, **options) -> AsyncIterator[ConnectionPool]:
    """A pool of connections to a server that treats each connection with ``serve``."""
    served: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(one, "127.0.0.1", 0) as server:
        pool = ConnectionPool(Endpoint.parse("http://{}:{}".format(*server.sockets[0].getsockname()), None), **options)
        try:
            yield pool
        finally:
            pool.close()
            if served:
                await asyncio.wait(served, timeout=5)


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
