"""Follows a server's `/ws/metrics` and passes on what the live page draws of it.

What the server says is taken with a model: a server that speaks nonsense, goes away or was never there is told to the
page in a line, and tried again.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import orjson
from pydantic import BaseModel, Field, ValidationError
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from dash_app.live.feed import Feed
from dash_app.live.frames import Frame

_FIRST_RETRY_S: Final = 1.0
_LONGEST_RETRY_S: Final = 8.0
_SILENCE_S: Final = 5.0
"""A frame comes every half second; after so long without one the connection counts as dead."""


class _Limiter(BaseModel):
    tokens: float = 0.0
    waiting: int = 0


class _Metrics(BaseModel):
    """The part of a metrics frame (docs/wire.md) that is drawn; other fields are ignored."""

    t: float
    requests: dict[str, int]
    latency: dict[str, dict[int, int]]
    attempts: dict[int, int]
    in_flight: dict[str, int]
    breaker: str
    limiter: _Limiter
    cache: dict[str, int] = Field(default_factory=dict)
    cpu_seconds: float
    rss_bytes: int
    mode: str = ""


def metrics_url(server: str) -> str:
    """The WebSocket address of a server's metrics."""
    parts = urlsplit(server)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + "/ws/metrics", "", ""))


async def follow(feed: Feed, server: str) -> None:
    """Pass frames of ``server`` to ``feed`` until cancelled; connect again whenever the connection is lost."""
    retry_s = _FIRST_RETRY_S
    while True:
        source = f":server:{time.time_ns()}"  # a connection counts from 0 again, so each is a source of its own
        try:
            async with connect(metrics_url(server), open_timeout=5, max_size=1 << 20) as socket:
                feed.say_of_server("")
                before: _Metrics | None = None
                for seq in itertools.count():
                    async with asyncio.timeout(_SILENCE_S):
                        said = await socket.recv()
                    now = _Metrics.model_validate_json(said)
                    if before is not None:
                        feed.keep_server_frame(_frame(source, seq - 1, before, now))
                    before, retry_s = now, _FIRST_RETRY_S
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "frame"
            feed.say_of_server(f"{server} speaks another language: {where}: {first['msg']}")
        except TimeoutError:
            feed.say_of_server(f"{server} is silent")
        except (OSError, WebSocketException) as error:
            feed.say_of_server(f"{server} cannot be reached: {_short(error)}")
        await asyncio.sleep(retry_s)
        retry_s = min(retry_s * 2, _LONGEST_RETRY_S)


def _frame(source: str, seq: int, before: _Metrics, now: _Metrics) -> Frame:
    """What has happened since the frame before; counters become differences, CPU seconds become cores."""
    elapsed_s = max(now.t - before.t, 1e-3)
    ended = {key: count - before.requests.get(key, 0) for key, count in now.requests.items()}
    failed = sum(count for key, count in ended.items() if not key.startswith("2"))
    message = {
        "type": "server",
        "run": source,
        "seq": seq,
        "time": now.t,
        "hit": [part for bin_and_count in now.latency.get("hit", {}).items() for part in bin_and_count],
        "miss": [part for bin_and_count in now.latency.get("miss", {}).items() for part in bin_and_count],
        "attempts": [part for number_and_count in now.attempts.items() for part in number_and_count],
        "ended": max(0, sum(ended.values())),
        "failed": max(0, failed),
        "in_flight": now.in_flight,
        "breaker": now.breaker,
        "limiter": {"tokens": now.limiter.tokens, "waiting": now.limiter.waiting},
        "entries": now.cache.get("entries"),
        "cpu": max(0.0, now.cpu_seconds - before.cpu_seconds) / elapsed_s,
        "rss_bytes": now.rss_bytes,
        "mode": now.mode,
    }
    return Frame(source, seq, now.t, orjson.dumps(message))


def _short(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text.splitlines()[0][:120]
