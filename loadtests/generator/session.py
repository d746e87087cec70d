"""What all simulated users of one load process share: the workload, the target, the recorder, and their numbers."""

from __future__ import annotations

import heapq
import itertools
import os
import time
from collections.abc import Callable, Iterator

import gevent
from gevent.event import Event

from loadtests.generator.alarm import Alarm
from loadtests.generator.recorder import Recorder
from loadtests.generator.reply import echoes, error_name, usage
from loadtests.target import Target
from loadtests.workload.gate import schedule_start_s
from loadtests.workload.workload import Workload

_LOOK_EVERY_S = 0.01

Plan = Callable[[int], tuple[int, int]]
"""The time now (perf_counter ns) to a user's next request: its intended start (same clock) and its item."""


class Session:
    """One load process at work. ``in_flight`` counts the requests that wait for their reply, ``draining`` says that no
    further one may start.

    ``first_user`` is the number of this process's first user over all load processes, ``share`` its part of an open
    loop's rate. ``echo`` says that the server repeats the prompts' tags (Tailgate's mock does), so a reply without them
    is a mismatch.
    """

    def __init__(
        self,
        workload: Workload,
        target: Target,
        recorder: Recorder,
        alarm: Alarm,
        *,
        users: int,
        first_user: int = 0,
        share: float = 1.0,
        echo: bool = True,
    ) -> None:
        self.workload = workload
        self.target = target
        self.recorder = recorder
        self.alarm = alarm
        self.echo = echo
        self.in_flight = 0
        self.draining = False
        self.gate = Event()
        self.run_token = f"{time.time_ns() // 1_000_000:x}-{os.getpid()}"
        self.recorder_failed = Event()
        self.recorder_error: OSError | None = None
        recorder.on_error = self._give_up
        self._origin_ns = 0
        self._first_user = first_user
        self._users = users
        self._share = share
        self._fresh = itertools.count(first_user)
        self._left: list[int] = []
        self._plans: dict[int, Iterator[tuple[float, int]]] = {}
        self._arrivals: Iterator[tuple[float, int]] | None = None

    def join(self) -> int:
        """Return the number of a user who starts: the lowest of those who left, else the next new one."""
        return heapq.heappop(self._left) if self._left else next(self._fresh)

    def leave(self, number: int) -> None:
        """Take note that a user has stopped; who takes the number up again goes on where the user stopped."""
        heapq.heappush(self._left, number)

    def open_gate(self) -> None:
        """Start the clock of an open loop's schedule: at the next full second of wall time, so that processes agree."""
        if not self.gate.is_set():
            now = time.time()
            self._origin_ns = time.perf_counter_ns() + int((schedule_start_s(now) - now) * 1e9)
            self.gate.set()

    def plan(self, number: int) -> Plan:
        """Return what tells user ``number`` when to ask what next. In an open loop, only once the gate is open."""
        if self.workload.scenario.is_open:
            if self._arrivals is None:
                self._arrivals = self.workload.arrivals(self._first_user, self._users, self._share)
            arrivals, origin_ns = self._arrivals, self._origin_ns

            def next_arrival(_now_ns: int) -> tuple[int, int]:
                at_s, item = next(arrivals)
                return origin_ns + int(at_s * 1e9), item

            return next_arrival

        requests = self._plans.setdefault(number, self.workload.user(number))

        def next_request(now_ns: int) -> tuple[int, int]:
            pause_s, item = next(requests)
            return now_ns + int(pause_s * 1e9), item

        return next_request

    def answered(
        self,
        scheduled_ns: int,
        sent_ns: int,
        done_ns: int,
        status: int,
        timing: bytes | None,
        cache: bytes | None,
        attempts: bytes | None,
        echoed_id: bytes | None,
        request_id: bytes,
        body: bytes,
        user: int,
        item: int,
    ) -> str:
        """Judge and record a complete reply; times are perf_counter ns. Returns its error, empty when it is ours.

        A reply to another request (a tag missing, another ``X-Request-Id``) is ``mismatch``, whatever its status.
        """
        if echoed_id is not None and echoed_id != request_id:
            error = "mismatch"
        elif not 200 <= status < 300:
            error = error_name(status, body)
        elif self.echo and not echoes(body, self.workload.questions[item].tags):
            error = "mismatch"
        else:
            error = ""
        if error:
            self.recorder.keep_body(error, status, body)
        self.recorder.record(
            (
                scheduled_ns, sent_ns, done_ns, status, error, timing, None if error else cache, attempts, usage(body),
                len(body), user, item,
            )
        )  # fmt: skip
        return error

    def failed(self, scheduled_ns: int, sent_ns: int, done_ns: int, error: str, user: int, item: int) -> None:
        """Record a request that got no complete reply; ``error`` is one of docs/run-format.md."""
        self.recorder.record((scheduled_ns, sent_ns, done_ns, 0, error, None, None, None, None, 0, user, item))

    def drain(self, limit_s: float) -> float:
        """Have no new request start, and wait for those in flight; return what is left of ``limit_s`` seconds.

        To be done before the users are stopped: that keeps the event loop busy (0.1 s for 1,000 of them), and a reply
        that comes meanwhile is seen late.
        """
        self.draining = True
        give_up_at = time.monotonic() + limit_s
        while self.in_flight and time.monotonic() < give_up_at:
            gevent.sleep(_LOOK_EVERY_S)
        return max(0.0, give_up_at - time.monotonic())

    def record_unsent(self) -> None:
        """Record, when the load has stopped, the arrivals that were due but for which no connection was free."""
        if self._arrivals is None:
            return
        now_ns = time.perf_counter_ns()
        for at_s, item in self._arrivals:
            due_ns = self._origin_ns + int(at_s * 1e9)
            if due_ns > now_ns:
                break
            self.recorder.record((due_ns, now_ns, now_ns, 0, "unsent", None, None, None, None, 0, -1, item))

    def _give_up(self, error: OSError) -> None:
        """A disk that refuses ends the load, rather than the one user who happened to write."""
        self.recorder_error = error
        self.recorder_failed.set()
