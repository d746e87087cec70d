"""Listening, and the drain at the end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from pydantic import SecretStr

from server.app import App, build_app
from server.http_server import HttpServer
from server.lifecycle import Population
from server.listen_reason import listen_reason
from server.settings import Settings
from server.settings_ignored import ignored_settings

log = logging.getLogger("tailgate")

_BACKLOG = 8192
# Generation 0 is looked at once in this many allocations: with the server's own objects frozen there is little garbage
# in cycles, and the default of 700 costs about a tenth of the CPU.
_GC_THRESHOLD = (50_000, 20, 50)


class ListenError(Exception):
    """The address cannot be had; its text is one line for the user."""


@asynccontextmanager
async def listening(app: App, host: str, port: int, *, drain_timeout_s: float) -> AsyncIterator[int]:
    """Listen, and yield the port. On leaving, drain: accept no more, answer what is in flight, close.

    Raises :class:`ListenError` if the address cannot be had.
    """
    server = HttpServer(app.handler, ids=app.ids)
    runner = web.ServerRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
        try:
            await site.start()
        except OSError as error:
            raise ListenError(f"cannot listen on {host}:{port}: {listen_reason(error)}") from None
        yield site.port
        app.process.draining = True
        await site.stop()
        await app.frames.close()
        await _until_idle(app.population, drain_timeout_s)
    finally:
        # Some are answered even now, within aiohttp's own grace: those who are not are cancelled, and count as lost.
        lost = app.metrics.disconnected
        await runner.cleanup()
        app.cut_off = app.metrics.disconnected - lost + app.population.in_flight


async def _until_idle(population: Population, timeout_s: float) -> None:
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + timeout_s
    # Looked at, not signalled: an event for it would cost every request something, for the sake of the last one.
    while population.in_flight and loop.time() < ends_s:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def _allow_many_connections() -> None:
    """Raise the soft limit on open files to the hard one: each connection is a file."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _stop_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """The first SIGTERM or SIGINT sets ``stop``; one more is of those who do not want to wait, and ends the process."""
    signalled = False

    def handle(number: int, frame: object) -> None:
        nonlocal signalled
        if signalled:
            # Neither a thread that waits for Gemini nor a task that tidies up may hold this up.
            sys.stderr.write("python -m server: another signal while draining: what was in flight is cut off\n")
            sys.stderr.flush()
            os._exit(128 + number)
        signalled = True
        loop.call_soon_threadsafe(stop.set)

    # Not the loop's own handlers: mode blocking holds the loop up while it waits for Gemini.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


async def serve(settings: Settings, api_key: SecretStr | None = None) -> int:
    """Run until SIGTERM or SIGINT, then drain. Returns how many requests were cut off because they took too long.

    A second signal ends the process at once, with 128 and the signal's number.
    """
    _allow_many_connections()
    if ignored := ignored_settings(settings):
        log.warning("set, but without effect: %s", ", ".join(ignored))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with build_app(settings, api_key) as app:
        async with listening(app, settings.host, settings.port, drain_timeout_s=settings.drain_timeout_s) as port:
            _stop_on_signals(loop, stop)
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            what = f"(mode {settings.mode}, client {settings.gemini_client})"
            print(f"tailgate server ready on http://{host}:{port} {what}", flush=True)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_GC_THRESHOLD)
            await stop.wait()
            log.info("draining, %d requests in flight", app.population.in_flight)
        return app.cut_off
