"""The load: keep-alive connections that each send the next request when the reply to the last one is there.

A raw asyncio protocol, about 10 us of CPU a request, so that the machine's other core is enough to saturate a server.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import cast

import uvloop

Requests = Iterator[bytes]


class LoadError(Exception):
    """A server did not answer as it should, so what was measured says nothing."""


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Requests, ended: asyncio.Future[None], check: Callable[[bytes], bool]) -> None:
        self._requests = requests
        self._ended = ended
        self._check = check
        self._received = b""
        self._awaited = 0
        self.answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by behaviour only
        self._send()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        if not self._awaited:
            head_ends = received.find(b"\r\n\r\n")
            if head_ends < 0:
                self._received = received
                return
            head = received[:head_ends].lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self._awaited = head_ends + 4 + length
        if len(received) < self._awaited:
            self._received = received
            return
        self._received, self._awaited = b"", 0
        self.answered += 1
        if not (received.startswith(b"HTTP/1.1 200 ") and self._check(received)):
            self._end(LoadError(f"unexpected reply: {received[:600]!r}"))
            return
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(None if self._ended.done() else LoadError(f"connection lost: {exc}"))

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._end(None)
        else:
            self._transport.write(request)

    def _end(self, error: LoadError | None) -> None:
        if not self._ended.done():
            if error:
                self._ended.set_exception(error)
            else:
                self._ended.set_result(None)
            self._transport.close()


def post(body: bytes, path: str = "/process") -> bytes:
    """A whole request."""
    return b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(body),
        body,
    )


def drive(port: int, requests: Requests, *, connections: int, check: Callable[[bytes], bool] | None = None) -> int:
    """Send all ``requests`` over ``connections`` and return how many were answered, all of them with 200.

    Raises :class:`LoadError` at the first reply that is not 200 or that ``check`` does not accept.
    """
    return uvloop.run(_drive(port, requests, connections, check or (lambda reply: True)))


async def _drive(port: int, requests: Requests, connections: int, check: Callable[[bytes], bool]) -> int:
    loop = asyncio.get_running_loop()
    made: list[_Connection] = []
    ends = []
    for _ in repeat(None, connections):
        ended = loop.create_future()
        _, connection = await loop.create_connection(
            lambda ended=ended: _Connection(requests, ended, check), "127.0.0.1", port
        )
        made.append(connection)
        ends.append(ended)
    await asyncio.gather(*ends)
    return sum(each.answered for each in made)
