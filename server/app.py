"""The server as a whole: everything made and wired once, listening, and the drain at the end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
from aiohttp import web
from pydantic import SecretStr

from server.access import ApiKeys, Origins
from server.execution import execution_for
from server.gemini.clients import create_client
from server.http_server import HttpServer
from server.lifecycle import Population
from server.live_frames import FrameMaker, LiveFrames
from server.metrics import Metrics
from server.openapi import openapi
from server.pipeline import build_pipeline
from server.policy_state import policy_state
from server.process_route import ProcessRoute
from server.process_usage import ProcessUsage
from server.prometheus import CONTENT_TYPE, metrics_text
from server.replies import Reply
from server.request_ids import RequestIds
from server.routes import Handler, Routes, answering_errors, dispatcher
from server.settings import Settings
from server.versions import effective_config

log = logging.getLogger("tailgate")

_BACKLOG = 8192
# Generation 0 is looked at once in this many allocations: with the server's own objects frozen there is little garbage
# in cycles, and the default of 700 costs about a tenth of the CPU.
_GC_THRESHOLD = (50_000, 20, 50)


class ListenError(Exception):
    """The address cannot be had; its text is one line for the user."""


@dataclass(slots=True)
class App:
    """A server without its socket: ``handler`` answers everything, ``process`` is told when to drain.

    ``cut_off`` is how many requests the drain did not wait for any longer.
    """

    handler: Handler
    process: ProcessRoute
    frames: LiveFrames
    population: Population
    ids: RequestIds
    cut_off: int = 0


@asynccontextmanager
async def build_app(settings: Settings, api_key: SecretStr | None = None) -> AsyncIterator[App]:
    """Make the server's parts; on leaving, let go of client, threads and background work.

    Raises ``ValueError`` with one line for the user if the Gemini client cannot be made as ``settings`` ask.
    """
    mock, usage, metrics = settings.mock, ProcessUsage(), Metrics()
    client = create_client(
        settings.gemini_client,
        api_key=api_key,
        base_url=settings.live.base_url,
        profile=mock.profile,
        seed=mock.seed,
        faults=mock.faults,
    )
    execution = execution_for(settings.mode, client, sync_threads=settings.sync_threads)
    state = policy_state(settings)
    api_keys, origins = ApiKeys(settings.api_keys_sha256), Origins(settings.cors_origins)
    ids = RequestIds()
    process = ProcessRoute(
        build_pipeline(settings, state, execution, metrics),
        execution,
        metrics,
        api_keys=api_keys,
        origins=origins,
        ids=ids,
        read_timeout_s=settings.read_timeout_s,
        queue_timeout_s=settings.deadline.default_ms / 1000,
    )
    frames = LiveFrames(FrameMaker(metrics, state, usage, settings.mode))
    config = orjson.dumps(effective_config(settings))
    description = orjson.dumps(openapi(needs_key=bool(api_keys)))

    async def healthz(request: web.BaseRequest) -> Reply:
        return Reply(200, b'{"status":"ok"}')

    async def readyz(request: web.BaseRequest) -> Reply:
        if process.draining:
            return Reply(503, b'{"status":"draining"}', headers="Retry-After: 1\r\n")
        return Reply(200, b'{"status":"ready"}')

    async def show_metrics(request: web.BaseRequest) -> Reply:
        return Reply(200, metrics_text(metrics, state, usage), content_type=CONTENT_TYPE)

    async def show_config(request: web.BaseRequest) -> Reply:
        return Reply(200, config)

    async def show_openapi(request: web.BaseRequest) -> Reply:
        return Reply(200, description)

    @answering_errors(origins, ids)
    async def live_metrics(request: web.BaseRequest) -> web.WebSocketResponse:
        origins.check_websocket(request)
        return await frames.listen(request)

    def guarded(handler: Handler) -> Handler:
        """Ask for the API key first, where keys are set."""

        @answering_errors(origins, ids)
        async def checked(request: web.BaseRequest) -> Reply | web.WebSocketResponse:
            api_keys.check(request)
            return await handler(request)

        return checked if api_keys else handler

    routes: Routes = {
        "/process": {"POST": process},
        "/healthz": {"GET": healthz},
        "/readyz": {"GET": readyz},
        "/metrics": {"GET": guarded(show_metrics)},
        "/ws/metrics": {"GET": guarded(live_metrics)},
        "/config": {"GET": guarded(show_config)},
        "/openapi.json": {"GET": show_openapi},
    }
    try:
        yield App(dispatcher(routes, origins=origins, ids=ids), process, frames, metrics.population, ids)
    finally:
        if state.store is not None:
            await state.store.aclose()
        await client.aclose()
        execution.close()


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
            raise ListenError(f"cannot listen on {host}:{port}: {_reason(error)}; choose another --port") from None
        yield site.port
        app.process.draining = True
        await site.stop()
        await app.frames.close()
        await _until_idle(app.population, drain_timeout_s)
        app.cut_off = app.population.in_flight
    finally:
        await runner.cleanup()


def _reason(error: OSError) -> str:
    # asyncio words the errno anew and keeps the number.
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)


async def _until_idle(population: Population, timeout_s: float) -> None:
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + timeout_s
    # Looked at, not signalled: an event for it would cost every request something, for the sake of the last one.
    while population.in_flight and loop.time() < ends_s:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def serve(settings: Settings, api_key: SecretStr | None = None) -> int:
    """Run until SIGTERM or SIGINT, then drain. Returns how many requests were cut off because they took too long."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with build_app(settings, api_key) as app:
        async with listening(app, settings.host, settings.port, drain_timeout_s=settings.drain_timeout_s) as port:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            what = f"(mode {settings.mode}, client {settings.gemini_client})"
            print(f"tailgate server ready on http://{host}:{port} {what}", flush=True)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_GC_THRESHOLD)
            await stop.wait()
            # A second signal is for those who do not want to wait.
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            log.info("draining, %d requests in flight", app.population.in_flight)
        return app.cut_off
