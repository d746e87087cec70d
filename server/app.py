"""The server as a whole, without its socket: everything made and wired once, at the start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
from aiohttp import web
from pydantic import SecretStr

from server.access import ApiKeys, Origins
from server.execution import execution_for
from server.gemini.clients import create_client
from server.gemini.mock import MockGemini
from server.lifecycle import Population
from server.live_frames import FrameMaker, LiveFrames
from server.metrics import Metrics
from server.mock_control import RESTART_FAULTS, restart_faults
from server.openapi import openapi
from server.pipeline import build_pipeline
from server.policy_state import policy_state
from server.process_route import ProcessRoute
from server.process_usage import ProcessUsage
from server.prometheus import CONTENT_TYPE, metrics_text
from server.replies import Reply
from server.request_ids import RequestIds
from server.routes import Handler, dispatcher, finishing, guarded
from server.settings import Settings
from server.tracing import TracedIds, Tracing, tracing_to
from server.versions import effective_config


@dataclass(slots=True)
class App:
    """A server without its socket: ``handler`` answers everything, ``process`` is told when to drain.

    ``cut_off`` is how many requests had no answer when the drain did not wait for them any longer.
    """

    handler: Handler
    process: ProcessRoute
    frames: LiveFrames
    metrics: Metrics
    ids: RequestIds
    cut_off: int = 0

    @property
    def population(self) -> Population:
        """Who is in flight."""
        return self.metrics.population


@asynccontextmanager
async def build_app(settings: Settings, api_key: SecretStr | None = None) -> AsyncIterator[App]:
    """Make the server's parts; on leaving, let go of client, threads and background work.

    Raises ``ValueError`` with one line for the user if the Gemini client or tracing cannot be had as ``settings`` ask.
    """
    async with tracing_to(settings.otel) as tracing, _wired(settings, api_key, tracing) as app:
        yield app


@asynccontextmanager
async def _wired(settings: Settings, api_key: SecretStr | None, tracing: Tracing | None) -> AsyncIterator[App]:
    mock, usage, metrics = settings.mock, ProcessUsage(), Metrics()
    client = create_client(
        settings.gemini_client,
        api_key=api_key,
        base_url=settings.live.base_url,
        max_connections=settings.live.max_connections,
        profile=mock.profile,
        seed=mock.seed,
        faults=mock.faults,
    )
    execution = execution_for(
        settings.mode,
        client,
        sync_threads=settings.sync_threads,
        on_late_reply=metrics.reply_came_late if settings.track.enabled else None,
    )
    state = policy_state(settings)
    api_keys, origins = ApiKeys(settings.api_keys_sha256), Origins(settings.cors_origins)
    ids = TracedIds() if tracing is not None else RequestIds()
    process = ProcessRoute(
        build_pipeline(settings, state, execution, metrics, tracing),
        execution,
        metrics,
        api_keys=api_keys,
        origins=origins,
        ids=ids,
        read_timeout_s=settings.read_timeout_s,
        default_deadline_ms=settings.deadline.default_ms if settings.deadline.enabled else None,
    )
    frames = LiveFrames(FrameMaker(metrics, state, usage, settings.mode))
    config = orjson.dumps(effective_config(settings))
    restart = restart_faults(client) if mock.faults is not None and isinstance(client, MockGemini) else None
    description = orjson.dumps(openapi(needs_key=bool(api_keys), restarts_faults=restart is not None))

    finished = finishing(origins, ids)

    @finished
    async def healthz(request: web.BaseRequest) -> Reply:
        return Reply(200, b'{"status":"ok"}')

    @finished
    async def readyz(request: web.BaseRequest) -> Reply:
        if process.draining:
            return Reply(503, b'{"status":"draining"}', headers="Retry-After: 1\r\n")
        return Reply(200, b'{"status":"ready"}')

    @finished
    async def show_openapi(request: web.BaseRequest) -> Reply:
        return Reply(200, description)

    @finished
    @guarded(api_keys)
    async def show_metrics(request: web.BaseRequest) -> Reply:
        return Reply(
            200, metrics_text(metrics, state, usage, tracked=settings.track.enabled), content_type=CONTENT_TYPE
        )

    @finished
    @guarded(api_keys)
    async def show_config(request: web.BaseRequest) -> Reply:
        return Reply(200, config)

    @finished
    @guarded(api_keys)
    async def live_metrics(request: web.BaseRequest) -> web.WebSocketResponse:
        origins.check_websocket(request)
        return await frames.listen(request)

    routes: dict[str, Mapping[str, Handler]] = {
        "/process": {"POST": tracing.request(process) if tracing is not None else process},
        "/healthz": {"GET": healthz},
        "/readyz": {"GET": readyz},
        "/metrics": {"GET": show_metrics},
        "/ws/metrics": {"GET": live_metrics},
        "/config": {"GET": show_config},
        "/openapi.json": {"GET": show_openapi},
    }
    if restart is not None:
        routes[RESTART_FAULTS] = {"POST": finished(guarded(api_keys)(restart))}
    try:
        yield App(dispatcher(routes, origins=origins, ids=ids), process, frames, metrics, ids)
    finally:
        if state.store is not None:
            await state.store.aclose()
        await client.aclose()
        execution.close()
