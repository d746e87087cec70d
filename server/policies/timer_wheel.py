"""Coarse timers for deadlines that almost never fire: to start or stop one is to change a set."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet


class TimerWheel:
    """Cancels tasks of ``loop`` at given times, rounded up to ticks: all that end in one tick share one timer of it.

    ``clock`` must run at the speed of the loop's clock. Source: G. Varghese and A. Lauck, "Hashed and Hierarchical
    Timing Wheels", SOSP 1987.
    """

    __slots__ = ("_clock", "_tick_s", "_ticks", "begins_at", "ends_at", "loop", "tasks")

    def __init__(self, *, tick_s: float, clock: Callable[[], float], loop: asyncio.AbstractEventLoop) -> None:
        self._tick_s = tick_s
        self._clock = clock
        self._ticks: dict[float, set[asyncio.Task[Any]]] = {}
        self.loop = loop
        self.tasks: set[asyncio.Task[Any]] = set()
        """The tick asked for last. It holds for every end from ``begins_at`` up to and without ``ends_at``."""
        self.begins_at = self.ends_at = math.inf

    def tick(self, ends_at: float) -> set[asyncio.Task[Any]]:
        """The tasks to be cancelled at the first tick after ``ends_at`` (on the clock), at most ``tick_s`` after it.

        Add a task to start its timer, discard it to stop it. A task whose timer has fired is no longer in the set.
        ``inf`` never comes. ``ValueError`` for NaN.
        """
        if math.isnan(ends_at):
            raise ValueError("a deadline needs a number of seconds")
        if ends_at == math.inf:
            return set()
        number = ends_at // self._tick_s
        next_tick_at = (number + 1) * self._tick_s
        tasks = self._ticks.get(number)
        if tasks is None:
            tasks = self._ticks[number] = set()
            self.loop.call_later(next_tick_at - self._clock(), self._fire, number)
        self.tasks, self.begins_at, self.ends_at = tasks, number * self._tick_s, next_tick_at
        return tasks

    def _fire(self, number: float) -> None:
        tasks = self._ticks.pop(number)
        if tasks is self.tasks:
            self.begins_at = self.ends_at = math.inf
        while tasks:
            tasks.pop().cancel()


class WheelHere(threading.local):
    """``wheel``: that of the event loop which ran last in this thread; ``None`` before any did.

    A loop stays in its thread and has a current task only while it runs one, so ``current_task(here.wheel.loop)`` is
    the running task, and ``None`` calls for :meth:`renew`. To ask for the running loop each time would, in Python 3.11,
    ask the kernel for the process id: 0.2 to 0.4 us.
    """

    def __init__(self, *, tick_s: float, clock: Callable[[], float]) -> None:
        if not 0 < tick_s < math.inf:
            raise ValueError("a timer wheel needs a finite tick_s > 0")
        self._tick_s = tick_s
        self._clock = clock
        self.wheel: TimerWheel | None = None
        _everywhere.add(self)

    def renew(self) -> tuple[TimerWheel, asyncio.Task[Any]]:
        """Make a wheel for the loop that runs now, and say which task it runs; ``RuntimeError`` if there is none."""
        self.wheel = TimerWheel(tick_s=self._tick_s, clock=self._clock, loop=asyncio.get_running_loop())
        task = asyncio.current_task(self.wheel.loop)
        if task is None:
            raise RuntimeError("a deadline needs a task to cancel")
        return self.wheel, task


_everywhere: WeakSet[WheelHere] = WeakSet()


def _forget() -> None:
    for here in _everywhere:
        here.wheel = None


# A child process that was forked by a task would take its parent's loop to be still running.
os.register_at_fork(after_in_child=_forget)
