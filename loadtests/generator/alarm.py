"""Waking greenlets at an absolute time, to some tens of microseconds.

gevent's own timers are rounded up to the next millisecond by epoll and count from the loop's cached time, so they wake
up to 1 ms late and, in a busy loop, early. A timerfd has neither fault. Where the system has none (it is Linux's),
gevent's timers must do.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from heapq import heappop, heappush
from typing import Any, Protocol

import gevent
from gevent.hub import get_hub
from greenlet import getcurrent, greenlet

_CLOCK_MONOTONIC = 1  # what time.perf_counter_ns reads on Linux
_TFD_NONBLOCK, _TFD_CLOEXEC, _TFD_TIMER_ABSTIME = 0o4000, 0o2000000, 1
_WAKE_AT_ONCE = 32  # then the loop may read replies, lest their arrival is seen late
_READ = 1
switch = greenlet.switch  # to the hub, without the look for a switch_out method that gevent's own takes


class Alarm(Protocol):
    """Something that wakes greenlets."""

    def sleep_until(self, due_ns: int) -> None:
        """Let other greenlets run until time.perf_counter_ns() has reached ``due_ns``, even if it has already."""


class TimerfdAlarm:
    """All sleepers of a process on one timerfd."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = (ctypes.c_long * 4)()  # struct itimerspec: interval (s, ns), value (s, ns)
        self._settime = libc.timerfd_settime
        self._settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self._spec_address = ctypes.addressof(self._spec)
        self._due: list[int] = []  # a heap of the keys of _sleepers, and of those that were killed meanwhile
        self._sleepers: dict[int, Any] = {}
        self._ringing = False
        self._hub = get_hub()
        self._watcher = self._hub.loop.io(self._fd, _READ)
        self._watcher.start(self._ring)

    def sleep_until(self, due_ns: int) -> None:
        """See :class:`Alarm`."""
        due, sleepers = self._due, self._sleepers
        while due_ns in sleepers:
            due_ns += 1
        sleepers[due_ns] = getcurrent()
        heappush(due, due_ns)
        if due[0] == due_ns and not self._ringing:
            self._arm(due_ns)
        try:
            switch(self._hub)
        except BaseException:
            sleepers.pop(due_ns, None)
            raise

    def _arm(self, due_ns: int) -> None:
        """Ring at ``due_ns``; also makes the timerfd unreadable until then."""
        self._spec[2], self._spec[3] = divmod(max(due_ns, 1), 1_000_000_000)
        if self._settime(self._fd, _TFD_TIMER_ABSTIME, self._spec_address, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def _ring(self) -> None:
        due, sleepers = self._due, self._sleepers
        now_ns = time.perf_counter_ns()
        self._ringing = True
        try:
            for _ in range(_WAKE_AT_ONCE):
                if not due or due[0] > now_ns:
                    break
                sleeper = sleepers.pop(heappop(due), None)
                if sleeper is not None:
                    sleeper.switch()
        finally:
            self._ringing = False
            if not due:
                os.read(self._fd, 8)
            elif due[0] > time.perf_counter_ns():
                self._arm(due[0])
            # Else it goes on ringing as it is. Arming it for a time that is past costs an interrupt.


class GeventAlarm:
    """gevent's timers: up to 1 ms late."""

    def sleep_until(self, due_ns: int) -> None:
        """See :class:`Alarm`."""
        gevent.sleep(max(0.0, (due_ns - time.perf_counter_ns()) * 1e-9))
        while (early_ns := due_ns - time.perf_counter_ns()) > 0:
            gevent.sleep(early_ns * 1e-9)


def make_alarm() -> Alarm:
    """Return the best alarm that this system has."""
    return TimerfdAlarm() if sys.platform.startswith("linux") else GeventAlarm()
