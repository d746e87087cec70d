"""An upstream that answers with the bytes a test gives it, to whatever client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def upstream(serve: Serve) -> AsyncIterator[str]:
    """A server that treats each connection with ``serve`` and closes it. Yields its URL; waits for all at the end."""
    served: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(one, "127.0.0.1", 0) as server:
        try:
            yield "http://{}:{}".format(*server.sockets[0].getsockname())
        finally:
            if served:
                await asyncio.wait(served, timeout=5)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head + await reader.readexactly(length)


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answers each connection's request with the next of ``answers`` and closes; yields its URL and the requests."""
    left = list(answers)
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(left.pop(0))

    async with upstream(serve) as url:
        yield url, seen


def http(status: str, body: bytes, headers: str = "") -> bytes:
    """An answer with its length."""
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
