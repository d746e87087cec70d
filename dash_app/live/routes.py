"""The live page's two routes: `/live`, a WebSocket of frames, and `/live/history`, the frames before it."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from dash_app.live.feed import KEPT_S, Feed, TooSlowError

_GONE = (WebSocketDisconnect, RuntimeError)
"""What Starlette raises when a browser has left: the second when sending noticed it first."""


def add_routes(server: FastAPI, feed: Feed) -> None:
    """Register both routes; before Dash's catch-all, which takes every path that is left."""

    @server.websocket("/live")
    async def live(socket: WebSocket) -> None:
        """Frames as they come, to pages of this origin only."""
        if not _same_origin(socket):
            await socket.close(code=1008, reason="another origin")
            return
        await socket.accept()
        async with feed.subscription() as messages:

            async def send() -> None:
                async for message in messages:
                    await socket.send_text(message.decode())

            tasks = asyncio.create_task(send()), asyncio.create_task(_until_gone(socket))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            sent, _gone = await asyncio.gather(*tasks, return_exceptions=True)
            if isinstance(sent, TooSlowError):
                with contextlib.suppress(*_GONE):
                    await socket.close(code=1013, reason="too slow; come back for the rest")

    @server.get("/live/status", include_in_schema=False)
    async def status() -> dict[str, int]:
        """How many runs go on now."""
        return {"running": len(await asyncio.to_thread(feed.running))}

    @server.get("/live/history", include_in_schema=False)
    async def history(request: Request) -> Response:
        """`?seconds=300&have=<run>:<seq>&have=...`: a JSON array of frames. Nonsense counts as not given."""
        have: dict[str, int] = {}
        for item in request.query_params.getlist("have"):
            run_id, _, seq = item.rpartition(":")
            with contextlib.suppress(ValueError):
                have[run_id] = int(seq)
        seconds = float(KEPT_S)
        with contextlib.suppress(ValueError):
            seconds = min(float(request.query_params.get("seconds", "")), KEPT_S)
        body = b"[" + b",".join(feed.history(have, seconds)) + b"]"
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


async def _until_gone(socket: WebSocket) -> None:
    with contextlib.suppress(*_GONE):
        while True:
            await socket.receive_text()


def _same_origin(socket: WebSocket) -> bool:
    origin = socket.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == socket.headers.get("host")
