"""Coarse timers for deadlines that almost never fire: to start or stop one is to change a set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class TimerWheel:
    """Cancels tasks at given times, rounded up to ticks: all that end in one tick share one timer of the event loop.

    ``clock`` must run at the speed of the event loop's clock. Source: G. Varghese and A. Lauck, "Hashed and
    Hierarchical Timing Wheels", SOSP 1987.
    """

    __slots__ = ("_clock", "_loop", "_tick_s", "_ticks")

    def __init__(self, *, tick_s: float, clock: Callable[[], float]) -> None:
        if tick_s <= 0:
            raise ValueError("a timer wheel needs tick_s > 0")
        self._tick_s = tick_s
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticks: dict[float, set[asyncio.Task[Any]]] = {}

    def tick(self, ends_at: float, loop: asyncio.AbstractEventLoop) -> set[asyncio.Task[Any]]:
        """The tasks to be cancelled at the first tick after ``ends_at`` (on the clock), at most ``tick_s`` after it.

        Add a task to start its timer, discard it to stop it. A task whose timer has fired is no longer in the set.
        """
        if loop is not self._loop:
            self._loop = loop
            self._ticks = {}
        number = ends_at // self._tick_s
        tasks = self._ticks.get(number)
        if tasks is None:
            tasks = self._ticks[number] = set()
            loop.call_later((number + 1) * self._tick_s - self._clock(), self._fire, self._ticks, number)
        return tasks

    @staticmethod
    def _fire(ticks: dict[float, set[asyncio.Task[Any]]], number: float) -> None:
        tasks = ticks.pop(number)
        while tasks:
            tasks.pop().cancel()
