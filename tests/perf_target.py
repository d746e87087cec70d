"""A fast target for load generators: ``python -m tests.perf_target [--delay-ms MEDIAN] [--log FILE]``.

It answers everything with one reply of a Tailgate's size and headers, at once or after a log-normal delay, and prints
its port first. On SIGTERM it ends, and writes to FILE (an .npy array) two numbers a request: when its last byte had
been read (ns since the epoch), and its service time (ns), which is from then until its reply was handed to the socket.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import resource
import signal
import time
from pathlib import Path
from typing import cast

import httptools
import numpy as np
import uvloop

_WORDS = b"word " * 100
_BODY = (
    b'{"request_id":"x","state":"COMPLETED","results":[{"text":"' + _WORDS + b'","model":"m","finish_reason":"STOP",'
    b'"usage":{"prompt_tokens":9,"output_tokens":41,"total_tokens":50},"attempts":1,"latency_ms":212.4}],"text":"'
    + _WORDS + b'","usage":{"prompt_tokens":9,"output_tokens":41,"total_tokens":50},"cache":"hit","attempts":1,'
    b'"timings_ms":{"queue":0.0,"validate":0.1,"cache":0.0,"gemini":212.5,"backoff":0.0,"aggregate":0.1,"total":212.7},'
    b'"degraded":false}'
)  # fmt: skip
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Server-Timing: queue;dur=0.012, validate;dur=0.101, cache;dur=0.004, gemini;dur=212.500, backoff;dur=0.000, "
    b"aggregate;dur=0.030, total;dur=212.647\r\nCache-Status: tailgate; hit; ttl=271\r\nX-Attempts: 0\r\n"
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Length: %d\r\nX-Request-Id: " % len(_BODY)
)


class _Connection(asyncio.Protocol):
    """One client. All add to one ``served``, if any: when each request was read, and its time (perf_counter ns)."""

    def __init__(self, served: list[tuple[int, int]] | None, delay_s: float) -> None:
        self._served = served
        self._delay_s = delay_s
        self._parser = httptools.HttpRequestParser(self)
        self._id = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name == b"X-Request-Id":
            self._id = value

    def on_message_complete(self) -> None:
        began_ns = time.perf_counter_ns()
        if self._delay_s:
            delay_s = self._delay_s * random.lognormvariate(0.0, 0.5)
            asyncio.get_running_loop().call_later(delay_s, self._reply, began_ns)
        else:
            self._reply(began_ns)

    def _reply(self, began_ns: int) -> None:
        self._transport.write(b"%b%b\r\n\r\n%b" % (_HEAD, self._id, _BODY))
        if self._served is not None:
            self._served.append((began_ns, time.perf_counter_ns() - began_ns))


async def _serve(served: list[tuple[int, int]] | None, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: _Connection(served, delay_s), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.disable()  # a collection would hold up requests before the clock of their service time runs
    await stop.wait()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--delay-ms", type=float, default=0.0, help="median of the log-normal delay (sigma 0.5)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="where to write what it has measured")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    served: list[tuple[int, int]] | None = [] if options.log else None
    uvloop.run(_serve(served, options.delay_ms / 1e3))
    if served is not None:
        np.save(options.log, np.array(served) + np.array([time.time_ns() - time.perf_counter_ns(), 0]))


if __name__ == "__main__":
    main()
