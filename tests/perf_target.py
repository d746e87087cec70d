"""A fast target for load generators: ``python -m tests.perf_target [--delay-ms MEDIAN]``, in a process of its own.

It answers everything with one reply of a Tailgate's size and headers, at once or after a log-normal delay, and prints
its port first. On SIGTERM it prints, as JSON, how many requests it answered and the percentiles of its own service time
in ms: from a request's last byte read to its reply handed to the socket.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import signal
import time
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
    """One client; ``served_ns`` is shared by all."""

    def __init__(self, served_ns: list[int], delay_s: float) -> None:
        self._served_ns = served_ns
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
        self._served_ns.append(time.perf_counter_ns() - began_ns)


async def _serve(delay_s: float) -> None:
    served_ns: list[int] = []
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: _Connection(served_ns, delay_s), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    p50_ms, p99_ms = np.percentile(served_ns or [0], [50, 99]) / 1e6
    print(json.dumps({"answered": len(served_ns), "p50_ms": p50_ms, "p99_ms": p99_ms}), flush=True)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--delay-ms", type=float, default=0.0, help="median of the log-normal delay (sigma 0.5)")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(_serve(options.delay_ms / 1e3))


if __name__ == "__main__":
    main()
