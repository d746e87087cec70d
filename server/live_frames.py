"""What ``/ws/metrics`` sends: one frame every 500 ms, made once and sent to all who listen.

Counters in a frame are cumulative under ``requests`` and new since the frame before everywhere else (docs/wire.md).
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web

from server.errors import NoWebSocket
from server.log_histogram import BINS
from server.metrics import Metrics
from server.policy_state import PolicyState
from server.process_usage import ProcessUsage
from server.progress import StageSeconds
from server.settings import Mode

INTERVAL_S: Final = 0.5
_CLOSE_S: Final = 1.0


class FrameMaker:
    """Turns the counters into frames, remembering what the frame before said."""

    def __init__(self, metrics: Metrics, state: PolicyState, usage: ProcessUsage, mode: Mode) -> None:
        self._metrics = metrics
        self._state = state
        self._usage = usage
        self._mode = mode
        self._seq = 0
        self._latency: defaultdict[tuple[int, str], list[int]] = defaultdict(lambda: [0] * BINS)
        self._stage_s = [0.0] * len(StageSeconds._fields)
        self._answered = 0
        self._attempts: defaultdict[int, int] = defaultdict(int)

    def next_frame(self) -> dict[str, Any]:
        """The frame of now."""
        metrics, state = self._metrics, self._state
        self._seq += 1
        requests = metrics.requests()
        return {
            "seq": self._seq,
            "t": round(time.time(), 3),
            "requests": {f"{status}/{cache}": count for (status, cache), count in requests.items()},
            "latency": self._new_latency(),
            "stages": self._new_stages(sum(requests.values())),
            "attempts": self._new_attempts(),
            "in_flight": metrics.population.by_state(),
            "breaker": state.breaker.state if state.breaker is not None else "off",
            "limiter": {
                "tokens": round(state.limiter.tokens, 1) if state.limiter is not None else None,
                "waiting": state.limiter.waiting if state.limiter is not None else 0,
            },
            "bulkhead": {
                "limit": state.places.limit if state.places is not None else None,
                "waiting": state.places.queued if state.places is not None else 0,
            },
            "cache": {"entries": state.store.snapshot().entries if state.store is not None else 0},
            "cpu_seconds": round(self._usage.cpu_seconds(), 6),
            "rss_bytes": self._usage.rss_bytes(),
            "mode": self._mode,
        }

    def _new_latency(self) -> dict[str, dict[str, int]]:
        new: dict[str, dict[str, int]] = {}
        for outcome, histogram in self._metrics.latency.items():
            before, now = self._latency[outcome], histogram.counts.copy()
            self._latency[outcome] = now
            for index in range(BINS):
                if now[index] != before[index]:
                    bins = new.setdefault(outcome[1], {})
                    bins[str(index)] = bins.get(str(index), 0) + now[index] - before[index]
        return new

    def _new_stages(self, answered: int) -> dict[str, dict[str, float]]:
        before, now = self._stage_s, self._metrics.stage_s.copy()
        new = answered - self._answered
        self._answered, self._stage_s = answered, now
        return {
            stage: {"n": new, "sum_ms": round((now[index] - before[index]) * 1000, 3)}
            for index, stage in enumerate(StageSeconds._fields)
        }

    def _new_attempts(self) -> dict[str, int]:
        spent, before = self._metrics.attempts_spent, self._attempts
        new = {
            str(attempts): count - before[attempts] for attempts, count in spent.items() if count != before[attempts]
        }
        self._attempts = spent.copy()
        return new


class LiveFrames:
    """The WebSocket route. Frames are made only while somebody listens; a listener who lags behind is cut off."""

    def __init__(self, maker: FrameMaker, *, interval_s: float = INTERVAL_S) -> None:
        self._maker = maker
        self._interval_s = interval_s
        self._listeners: dict[web.WebSocketResponse, asyncio.Transport] = {}
        self._ticking: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """Sockets that frames are sent to."""
        return len(self._listeners)

    @property
    def ticking(self) -> bool:
        """Whether frames are being made."""
        return self._ticking is not None

    async def listen(self, request: web.BaseRequest) -> web.WebSocketResponse:
        """Send frames until the client or the server closes. Raises :class:`NoWebSocket`."""
        socket = web.WebSocketResponse(timeout=_CLOSE_S, heartbeat=30.0, compress=False, max_msg_size=1024)
        if not socket.can_prepare(request):
            raise NoWebSocket("this route is a WebSocket (RFC 6455): ask for an upgrade")
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        await socket.prepare(request)
        self._listeners[socket] = transport
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick())
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            self._listeners.pop(socket, None)
            if not self._listeners and self._ticking is not None:
                self._ticking.cancel()
                self._ticking = None
        return socket

    async def close(self) -> None:
        """Close all sockets, in two seconds at most: the server goes away."""
        await asyncio.gather(
            *[
                _done_in_time(socket.close(code=1001, message=b"server shuts down"), 2 * _CLOSE_S, transport)
                for socket, transport in self._listeners.items()
            ]
        )

    async def _tick(self) -> None:
        # What happened while nobody listened is in the cumulative counters, not in a first frame's news.
        self._maker.next_frame()
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s += self._interval_s
            if due_s < loop.time():
                # After a stall: what was missed is in the next frame, not in a burst of them.
                due_s = loop.time() + self._interval_s
            await asyncio.sleep(due_s - loop.time())
            text = orjson.dumps(self._maker.next_frame()).decode()
            await asyncio.gather(*[self._send(text, *each) for each in self._listeners.items()])

    async def _send(self, text: str, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        if not await _done_in_time(socket.send_str(text), self._interval_s / 2, transport):
            self._listeners.pop(socket, None)


async def _done_in_time(doing: Awaitable[object], limit_s: float, transport: asyncio.Transport) -> bool:
    """Whether the client let it be done. If not, its connection is cut: a farewell would wait behind what is unread."""
    try:
        async with asyncio.timeout(limit_s):
            await doing
    except (TimeoutError, ConnectionError):
        pass
    except asyncio.CancelledError:
        # Whoever waits for the same full socket shares one future in aiohttp, and is cancelled with the first.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
    else:
        return True
    transport.abort()
    return False
