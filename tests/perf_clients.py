"""What one Gemini call costs by each HTTP client, in microseconds of CPU: ``python -m tests.perf_clients``.

All clients call the ``zero`` mock server, a process on the machine's other core, 16 calls at once on uvloop, in turns
and in random order within a round. CPU is that of this whole process, threads included; encoding the call and reading
the reply are the same code for all. Candidates that are not installed are left out: to price them, make another venv
with ``aiohttp httptools orjson pydantic pydantic-settings psutil rich uvloop xxhash yarl`` and the candidates.
"""

import argparse
import asyncio
import importlib
import json
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from server.gemini.clients import create_client
from server.gemini.endpoint import GeminiSetupError
from server.gemini.protocol import GeminiCall, GeminiReply
from server.gemini.rest_wire import call_path, decode_answer, encode_call
from tests.perf.arms import arm, cores

BASE = "aiohttp"
AT_ONCE = 16
HEADERS = {"content-type": "application/json", "x-goog-api-key": "no-key"}
_numbers = count()

Call = Callable[[GeminiCall], Awaitable[GeminiReply]]
Post = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]


@dataclass(frozen=True)
class Cost:
    """CPU us a call and its ratio to the aiohttp client's in the same round: medians and ranges over ``rounds``."""

    client: str
    version: str
    us: float
    least_us: float
    most_us: float
    ratio: float
    rounds: int


# Candidates, each as its documentation says to send a POST on a kept connection with a timeout.


def pyreqwest(module: Any) -> Post:
    from datetime import timedelta

    client = module.client.ClientBuilder().timeout(timedelta(seconds=15)).build()

    async def post(url: str, body: bytes) -> tuple[int, bytes]:
        response = await client.post(url).headers(HEADERS).body_bytes(body).build().send()
        return response.status, bytes(await response.bytes())

    return post


def pyqwest(module: Any) -> Post:
    client = module.Client(module.HTTPTransport(timeout=15.0))

    async def post(url: str, body: bytes) -> tuple[int, bytes]:
        response = await client.post(url, HEADERS, body)
        return response.status, response.content

    return post


def wreq(module: Any) -> Post:
    from datetime import timedelta

    client = module.Client(timeout=timedelta(seconds=15))

    async def post(url: str, body: bytes) -> tuple[int, bytes]:
        response = await client.post(url, headers=HEADERS, body=body)
        return response.status.as_int(), await response.bytes()

    return post


def httpx(module: Any) -> Post:
    client = module.AsyncClient(timeout=15)

    async def post(url: str, body: bytes) -> tuple[int, bytes]:
        response = await client.post(url, headers=HEADERS, content=body)
        return response.status_code, response.content

    return post


def niquests(module: Any) -> Post:
    session = module.AsyncSession(pool_maxsize=AT_ONCE)

    async def post(url: str, body: bytes) -> tuple[int, bytes]:
        response = await session.post(url, data=body, headers=HEADERS, timeout=15)
        return response.status_code, response.content

    return post


def curl_cffi(module: Any) -> Post:
    session = module.AsyncSession(max_clients=AT_ONCE)

    async def post(url: str, body: bytes) -> tuple[int, bytes]:
        response = await session.post(url, data=body, headers=HEADERS, timeout=15)
        return response.status_code, response.content

    return post


def aiosonic(module: Any) -> Post:
    client = module.HTTPClient()

    async def post(url: str, body: bytes) -> tuple[int, bytes]:
        response = await client.post(url, data=body, headers=HEADERS)
        return response.status_code, await response.content()

    return post


CANDIDATES = (pyreqwest, pyqwest, wreq, httpx, niquests, curl_cffi, aiosonic)
ALIKE = {"httpr": httpx, "httpx2": httpx, "primp": httpx}
"""Modules whose client is used as another's is."""


def calls(url: str) -> dict[str, tuple[str, Call]]:
    """Every client that can be had, with its version."""
    found: dict[str, tuple[str, Call]] = {}
    for name, package in {"builtin": "httptools", BASE: BASE, "google-genai": "google-genai"}.items():
        with suppress(GeminiSetupError):
            client = create_client(name, base_url=url)
            found[name] = (version(package), lambda call, client=client: client.generate(call, timeout_s=15.0))
    for name, make in {**{make.__name__: make for make in CANDIDATES}, **ALIKE}.items():
        with suppress(ModuleNotFoundError, PackageNotFoundError):
            module = importlib.import_module(name)
            if name == "pyreqwest":
                importlib.import_module("pyreqwest.client")
            found[name] = (version(name), _as_a_call(url, make(module)))
    return found


def _as_a_call(url: str, post: Post) -> Call:
    async def generate(call: GeminiCall) -> GeminiReply:
        status, body = await post(url + call_path(call.model), encode_call(call))
        return decode_answer(call, status, body)

    return generate


async def measure(url: str, *, rounds: int, number: int) -> list[Cost]:
    chosen = calls(url)
    spent: dict[str, list[float]] = {name: [] for name in chosen}
    order = list(chosen)
    for _ in range(rounds + 1):
        random.shuffle(order)
        for name in order:
            spent[name].append(await _round(chosen[name][1], number))
            await asyncio.sleep(0.05)
    base = spent[BASE][1:]
    costs = []
    for name, (release, _) in chosen.items():
        times = spent[name][1:]
        ratio = statistics.median(one / other for one, other in zip(times, base, strict=True))
        costs.append(Cost(name, release, statistics.median(times), min(times), max(times), ratio, rounds))
    return sorted(costs, key=lambda cost: cost.ratio)


async def _round(call: Call, number: int) -> float:
    async def caller() -> None:
        for _ in range(number // AT_ONCE):
            prompt = f"Question {next(_numbers)}"
            assert (await call(GeminiCall(prompt, "gemini-2.5-flash"))).text.startswith(prompt)

    before = time.process_time()
    await asyncio.gather(*[caller() for _ in range(AT_ONCE)])
    return (time.process_time() - before) / (number // AT_ONCE * AT_ONCE) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.perf_clients", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds, at least 2 (default %(default)s)")
    parser.add_argument("--calls", type=int, default=1600, help="calls a client and round (default %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    if given.rounds < 2 or given.calls < AT_ONCE:
        parser.error(f"--rounds must be at least 2 and --calls at least {AT_ONCE}")
    core, other = cores()
    os.sched_setaffinity(0, {core})
    with arm("Gemini", "server.gemini.mock_server", "--port", "0", "--profile", "zero", core=other) as gemini:
        url = f"http://127.0.0.1:{gemini.port}"
        costs = uvloop.run(measure(url, rounds=given.rounds, number=given.calls))

    table = Table(title=f"CPU us a call: median of {given.rounds} rounds of {given.calls} calls")
    for name in ("client", "version", "us", "range", f"x {BASE}"):
        table.add_column(name, justify="left" if name in ("client", "version") else "right")
    for cost in costs:
        spread = f"{cost.least_us:.0f} to {cost.most_us:.0f}"
        table.add_row(cost.client, cost.version, f"{cost.us:.1f}", spread, f"{cost.ratio:.2f}")
    Console().print(table)
    if given.json:
        given.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=1) + "\n")


if __name__ == "__main__":
    main()
