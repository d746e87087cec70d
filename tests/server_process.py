"""A real server for tests: as a process of its own, or in this one on a socket of its own."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from server.app import App, build_app
from server.serving import listening
from server.settings import Settings

READY = re.compile(r"^tailgate server ready on (http://127\.0\.0\.1:(\d+)) \(mode (\w+), client ([\w-]+)\)$")


@dataclass
class ServerProcess:
    process: subprocess.Popen[str]
    url: str
    port: int

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and what stood on stderr."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=20)
        return self.process.returncode, stderr


def clean_environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TAILGATE_", "GEMINI_"))}
    return kept | variables


@contextmanager
def server_process(*flags: str, **environment: str) -> Iterator[ServerProcess]:
    command = [sys.executable, "-m", "server", "--port", "0", *flags]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment(**environment)
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().rstrip("\n")
        ready = READY.match(line)
        if ready is None:
            process.kill()
            raise AssertionError(f"no ready line but {line!r}; stderr: {process.communicate()[1]}")
        yield ServerProcess(process, ready[1], int(ready[2]))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


@dataclass
class LocalServer:
    app: App
    url: str
    port: int
    session: aiohttp.ClientSession

    def post(self, body: object, **headers: str) -> "aiohttp.client._RequestContextManager":
        return self.session.post(
            f"{self.url}/process", json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    async def counted(self) -> dict[str, int]:
        """What the server says it answered, keyed ``status/cache``."""
        async with self.session.get(f"{self.url}/metrics") as reply:
            text = await reply.text()
        found = re.findall(r'^tailgate_requests_total\{status="(\d+)",cache="(\w+)"\} (\d+)$', text, re.MULTILINE)
        return {f"{status}/{cache}": int(count) for status, cache, count in found}


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection, for what no HTTP client would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def listening_app(app: web.Application) -> AsyncIterator[str]:
    """The URL at which ``app`` answers."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site.port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def local_server(**settings: object) -> AsyncIterator[LocalServer]:
    settings.setdefault("mock", {"profile": "zero"})
    chosen = Settings.model_validate(settings)
    async with build_app(chosen) as app, listening(app, "127.0.0.1", 0, drain_timeout_s=5.0) as port:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield LocalServer(app, f"http://127.0.0.1:{port}", port, session)


def ask(agent_id: str = "agent-1", *prompts: str, **members: object) -> dict[str, object]:
    return {"agent_id": agent_id, "prompts": list(prompts) or ["What is a tailgate?"], **members}


async def exchange(server: LocalServer, body: object, **headers: str) -> tuple[aiohttp.ClientResponse, dict]:
    """One POST to the end."""
    async with server.post(body, **headers) as reply:
        return reply, await reply.json()


async def until_processing(session: aiohttp.ClientSession, url: str, number: int) -> None:
    """Wait until so many requests wait for Gemini."""
    while True:
        async with session.get(f"{url}/metrics") as reply:
            if f'tailgate_in_flight{{state="PROCESSING"}} {number}\n' in await reply.text():
                return
        await asyncio.sleep(0.01)
