"""A server whose truth is known: it holds each request for a time from a seeded law and logs when it came and went.

``python -m tests.truth_server --law mixture --seed 1 --log FILE`` serves until SIGTERM, then writes one line a
request: its ``X-Request-Id``, and when it had been read and when its reply was handed to the kernel, in ns since the
epoch on a clock that is monotonic as the load generator's is. The reply repeats the request's body, and says that it
was a miss.
"""

import argparse
import asyncio
import functools
import itertools
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import httptools
import uvloop

Row = tuple[bytes, int, int]
"""A request's id, when it had been read, when its reply went out (perf_counter ns)."""

LAWS = ("mixture", "constant", "instant")
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Status: tailgate; fwd=miss; stored\r\n"
    b"X-Attempts: 1\r\nX-Request-Id: %b\r\nContent-Length: %d\r\n\r\n"
)


def delays_s(law: str, seed: int) -> Iterator[float]:
    """Seconds to hold each request, endlessly.

    ``mixture``: 100 (70%), 250 (25%) or 600 ms (5%), log-normal around each, so that p50, p90 and p99 come from
    different parts of it. ``constant``: 5 ms.
    """
    if law == "instant":
        return itertools.repeat(0.0)
    if law == "constant":
        return itertools.repeat(0.005)
    rng = Random(seed)
    medians = rng.choices([0.1, 0.25, 0.6], [70, 25, 5], k=10_000)
    return itertools.cycle([median * rng.lognormvariate(0.0, 0.15) for median in medians])


class _Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, delays: Iterator[float], log: Callable[[Row], None]) -> None:
        self._delays = delays
        self._log = log
        self._parser = httptools.HttpRequestParser(self)
        self._id = b""
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name == b"X-Request-Id":
            self._id = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        read_ns = time.perf_counter_ns()
        request_id, body, self._body = self._id, self._body, b""
        delay_s = next(self._delays)
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._reply, request_id, body, read_ns)
        else:
            self._reply(request_id, body, read_ns)

    def _reply(self, request_id: bytes, body: bytes, read_ns: int) -> None:
        reply = _HEAD % (request_id, len(body)) + body
        replied_ns = time.perf_counter_ns()  # before the write, so that a client can only measure more
        self._transport.write(reply)
        if request_id:  # others, who look for a Tailgate here, are no load
            self._log((request_id, read_ns, replied_ns))


async def serve(law: str, seed: int, keep: bool) -> list[Row]:
    """Serve until SIGTERM; the requests that were answered, if they are to be kept."""
    loop = asyncio.get_running_loop()
    rows: list[Row] = []
    log = rows.append if keep else lambda row: None
    server = await loop.create_server(
        functools.partial(_Connection, delays_s(law, seed), log), "127.0.0.1", 0, backlog=4096
    )
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    print(f"truth on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    return rows


def main() -> None:
    """Read the flags and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--law", choices=LAWS, default="constant")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    offset_ns = time.time_ns() - time.perf_counter_ns()
    rows = uvloop.run(serve(options.law, options.seed, keep=options.log is not None))
    if options.log is not None:
        options.log.write_text(
            "".join(f"{name.decode()} {read + offset_ns} {replied + offset_ns}\n" for name, read, replied in rows)
        )


if __name__ == "__main__":
    main()
