"""How late the event loop wakes a greenlet: the generator's own delay, which would pass for the server's."""

from __future__ import annotations

import time

from loadtests.generator.alarm import Alarm

_EVERY_NS = 10_000_000


class LagMeter:
    """Sleeps 10 ms at a time and keeps how late it woke."""

    def __init__(self, alarm: Alarm) -> None:
        self._alarm = alarm
        self._late_ns: list[int] = []

    def run(self) -> None:
        """Measure for ever; to be spawned as a greenlet."""
        due_ns = time.perf_counter_ns()
        while True:
            due_ns += _EVERY_NS
            self._alarm.sleep_until(due_ns)
            now_ns = time.perf_counter_ns()
            self._late_ns.append(now_ns - due_ns)
            due_ns = max(due_ns, now_ns - _EVERY_NS)

    def take_p99_ms(self) -> float:
        """Return the 99th percentile in ms (nearest rank) since the call before; 0.0 without a measurement."""
        late_ns = sorted(self._late_ns)
        self._late_ns = []
        return late_ns[-1 - len(late_ns) // 100] / 1e6 if late_ns else 0.0
