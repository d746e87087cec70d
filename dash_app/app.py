"""The app put together: shell, pages, routes and middlewares, for one set of settings."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from dash import Dash, set_props
from dash.backends import get_backend
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message

from dash_app import export_route, router, scripts, shell
from dash_app.compression import PrecompressedSuites
from dash_app.library import Library
from dash_app.live import server_metrics
from dash_app.live.feed import Feed
from dash_app.live.routes import add_routes
from dash_app.missing import missing
from dash_app.pages import capacity, compare, errors, live, not_found, run, runs
from dash_app.password import RequirePassword
from dash_app.settings import Settings
from reports.errors import StoreError

LOG = logging.getLogger("dash_app")

_GZIP_LEVEL = 4
"""Callback answers are made anew each time: level 4 packs a figure in about 2 ms, level 9 in 10."""


class _HttpCallbacks(get_backend("fastapi")):  # type: ignore[misc]  # Dash names its backends at run time only
    """Dash's FastAPI backend without its callback WebSocket, which every tab would hold open for nothing."""

    websocket_capability = False


def build(settings: Settings) -> ASGIApp:
    """The ASGI application; reads no run yet and starts no task before its lifespan does."""
    scripts.leave_out_tables()
    app = Dash(
        "dash_app",
        backend=_HttpCallbacks,
        title="Tailgate",
        update_title="",
        index_string=shell.index(),
        suppress_callback_exceptions=True,
        add_log_handler=False,
        on_error=lambda error: _told(error, settings.runs),
    )
    app.layout = shell.layout()
    shell.register(app)
    library = Library(settings.runs)
    pages = [live.register(app), *(page.register(app, library) for page in (runs, run, compare, capacity, errors))]
    router.register(app, pages, not_found.PAGE)
    server: FastAPI = app.server
    followed = settings.server
    feed = Feed(library, None if followed is None else lambda feed: server_metrics.follow(feed, followed))
    add_routes(server, feed)
    export_route.add_route(server, library)
    server.add_middleware(PrecompressedSuites)
    server.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=_GZIP_LEVEL)  # leaves what is packed alone
    asyncio.run(_request_once(server, "/"))
    if settings.password is not None:
        return RequirePassword(server, settings.password)
    return server


def _told(error: Exception, runs: Path) -> None:
    """What happens where a callback fails; Dash itself would answer with a bare 500 and say nothing.

    A run that went away, or broke, while it was looked at gives way to a page that says so. Anything else is a fault of
    ours: its reason goes to stderr.
    """
    if isinstance(error, FileNotFoundError) and _was_deleted(error, runs):
        error = StoreError("the run was deleted while it was read")
    if not isinstance(error, StoreError):
        LOG.error("a callback failed", exc_info=error)
        raise error
    set_props("content", {"children": missing(error, lambda near: f"/run/{near}")})


def _was_deleted(error: FileNotFoundError, runs: Path) -> bool:
    """Whether the missing file belongs to a run whose whole directory is gone; else one that should be there is not."""
    if not isinstance(error.filename, (str, bytes)):
        return False
    missing_file, root = Path(os.fsdecode(error.filename)).absolute(), runs.absolute()
    return root in missing_file.parents and not (root / missing_file.relative_to(root).parts[0]).exists()


async def _request_once(app: ASGIApp, path: str) -> None:
    """Make one request in process.

    Dash collects assets before the first request to "/" or to its own routes: whoever opened /runs first would get a
    page without style.
    """
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    if status != 200:
        raise RuntimeError(f"the page answered {status} to its own first request")
