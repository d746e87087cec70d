"""Ten thousand requests in flight at once in one process: are all answered, and what is left of the memory after?"""

import asyncio
import re
import resource
import time
from contextlib import suppress
from dataclasses import dataclass

import orjson
import psutil
import uvloop

from tests.perf.arms import Arm, arm, cores
from tests.perf.load import post

_WARM_UP = 2_000
_SETTLE_S = 10.0


@dataclass(frozen=True)
class Crowd:
    """A wave of ``requests``, each on a connection of its own, all sent before an answer is read; two went before it.

    ``most_held``: the most that the server held at once, by its own ``/metrics``. Resident memory in MiB: fresh, before
    any wave; idle, after two waves; at its most during the third; after it. Python's allocator keeps the arenas of the
    first crowds (one survivor in each is enough); a leak would show in ``after_mib`` against ``idle_mib``.
    """

    mock: str
    requests: int
    failed: int
    most_held: int
    wall_s: float
    fresh_mib: float
    idle_mib: float
    peak_mib: float
    after_mib: float


def measure_crowd(mock: str, requests: int) -> Crowd:
    """Send three waves of ``requests`` to a server whose Gemini takes ``mock`` (a constant latency)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        core, _ = cores()
        # Ten thousand on one core wait for each other, which is not the upstream's fault.
        flags = ("--mock.profile", mock, "--circuit_breaker.slow_call_s", "60")
        with arm("crowd", "server", "--port", "0", *flags, core=core) as server:
            return uvloop.run(_measure(server, mock, requests))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _measure(server: Arm, mock: str, requests: int) -> Crowd:
    process = psutil.Process(server.pid)
    fresh, files = process.memory_info().rss, process.num_fds()
    failed = 0
    for name in ("first", "second"):
        failed += await _wave(server, name, requests)
        await _settled(process, files)
    idle = process.memory_info().rss
    watch = asyncio.create_task(_watch(server, process))
    started_s = time.perf_counter()
    failed += await _wave(server, "third", requests)
    wall_s = time.perf_counter() - started_s
    watch.cancel()
    peak, most_held = await watch
    await _settled(process, files)
    after = process.memory_info().rss
    mib = 1 << 20
    return Crowd(mock, requests, failed, most_held, wall_s, fresh / mib, idle / mib, peak / mib, after / mib)


async def _settled(process: psutil.Process, files: int) -> None:
    """Wait until the server has closed the connections of a wave."""
    async with asyncio.timeout(60):
        while process.num_fds() > files + 2:  # noqa: ASYNC110  # another process's files send no event
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)


async def _wave(server: Arm, name: str, requests: int) -> int:
    """Connect all, send all, read all; how many were not answered with 200."""
    connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    for start in range(0, requests, 500):
        batch = range(start, min(start + 500, requests))
        connections += await asyncio.gather(*[asyncio.open_connection("127.0.0.1", server.port) for _ in batch])
    for number, (_, writer) in enumerate(connections):
        writer.write(post(orjson.dumps({"agent_id": f"agent-{number}", "prompts": [f"{name} {number}"]})))
    answers = await asyncio.gather(*[_answer(reader) for reader, _ in connections])
    for _, writer in connections:
        writer.close()
    return sum(not answer.startswith(b"HTTP/1.1 200 ") for answer in answers)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    with suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
        async with asyncio.timeout(60):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            return head + await reader.readexactly(length)
    return b""


async def _watch(server: Arm, process: psutil.Process) -> tuple[int, int]:
    """Until cancelled: the most memory (bytes) and the most requests that the server held at once."""
    peak = most_held = 0
    with suppress(asyncio.CancelledError):
        while True:
            peak = max(peak, process.memory_info().rss)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = (await reader.read()).decode()
            writer.close()
            held = re.findall(r"^tailgate_in_flight\{[^}]+\} (\d+)$", text, re.MULTILINE)
            most_held = max(most_held, sum(map(int, held)))
            await asyncio.sleep(0.1)
    return peak, most_held
