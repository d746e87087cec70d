"""Coarse timers for deadlines that almost never fire: to start or stop one is to change a set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Timed(Protocol):
    """Something to be told when its time is up."""

    def expire(self) -> None:
        """Called once, at most one tick after the time asked for, unless stopped before."""
        ...


class TimerWheel:
    """Timers rounded up to ticks of ``tick_s`` seconds: all that end in one tick share one timer of the event loop.

    ``clock`` must run at the speed of the event loop's clock. Source: G. Varghese and A. Lauck, "Hashed and
    Hierarchical Timing Wheels", SOSP 1987.
    """

    __slots__ = ("_buckets", "_clock", "_loop", "_tick_s")

    def __init__(self, *, tick_s: float, clock: Callable[[], float]) -> None:
        if tick_s <= 0:
            raise ValueError("a timer wheel needs tick_s > 0")
        self._tick_s = tick_s
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._buckets: dict[int, set[Timed]] = {}

    def start(self, timed: Timed, ends_at: float, loop: asyncio.AbstractEventLoop) -> set[Timed]:
        """Have ``timed`` expire at ``ends_at`` (on the clock); to stop it, discard it from the set returned."""
        if loop is not self._loop:
            self._loop = loop
            self._buckets = {}
        tick = int(ends_at / self._tick_s) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = set()
            loop.call_later(tick * self._tick_s - self._clock(), self._fire, self._buckets, tick)
        bucket.add(timed)
        return bucket

    @staticmethod
    def _fire(buckets: dict[int, set[Timed]], tick: int) -> None:
        for timed in buckets.pop(tick):
            timed.expire()
