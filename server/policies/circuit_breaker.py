"""Stop calling what keeps failing or has become slow, and let a few probes find out when it is well again.

breaker = CircuitBreaker()
@circuit_breaker(breaker)
async def call(prompt: str) -> str: ...
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Literal, NamedTuple, ParamSpec, Protocol, TypeVar

from server.errors import CircuitOpen
from server.policies.failures import is_failure
from server.policies.sliding_window import SlidingWindow

P = ParamSpec("P")
T = TypeVar("T")

BreakerState = Literal["closed", "open", "half_open"]


class BreakerChange(NamedTuple):
    """The breaker went from ``before`` to ``after``, and why: counts over the window, or over the probes."""

    before: BreakerState
    after: BreakerState
    reason: str


class BreakerHook(Protocol):
    """Called at every change of state."""

    def __call__(self, change: BreakerChange, /) -> object:
        """Take note of the change; must not raise."""
        ...


class BreakerSnapshot(NamedTuple):
    """The state, the window's counts, and ``refused`` calls and times ``opened`` since the start."""

    state: BreakerState
    calls: int
    failed: int
    slow: int
    refused: int
    opened: int


class CircuitBreaker:
    """Closed, open and half-open, by the rates of failed and of slow calls. One object for one upstream.

    Closed: over the last ``window_s`` seconds and at least ``min_calls`` calls, it opens once
    ``failed / calls >= failure_rate`` or ``slow / calls >= slow_rate``, slow being ``slow_call_s`` or longer (``inf``:
    off). Open: every call is refused for ``open_s`` seconds. Half-open: exactly ``probes`` calls may pass, the others
    are refused; when all have ended, the same two rates over them close or reopen it. Calls begun in an earlier state
    do not count. Source: M. Nygard, "Release It!", 2007; rates and names as in resilience4j's CircuitBreaker.
    """

    __slots__ = (
        "_failure_rate",
        "_min_calls",
        "_on_change",
        "_open_s",
        "_opened_at",
        "_places",
        "_probe_results",
        "_probes",
        "_slow_call_s",
        "_slow_rate",
        "_window",
        "clock",
        "generation",
        "opened",
        "refused",
        "state",
    )

    def __init__(
        self,
        *,
        failure_rate: float = 0.5,
        slow_rate: float = 0.8,
        slow_call_s: float = 10.0,
        min_calls: int = 20,
        window_s: float = 10.0,
        open_s: float = 5.0,
        probes: int = 5,
        on_change: BreakerHook | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (0 < failure_rate <= 1 and 0 < slow_rate <= 1):
            raise ValueError("a circuit breaker's rates lie above 0 and up to 1")
        if min_calls < 1 or probes < 1 or open_s <= 0 or slow_call_s <= 0:
            raise ValueError("a circuit breaker needs min_calls >= 1, probes >= 1, open_s > 0 and slow_call_s > 0")
        self._failure_rate = failure_rate
        self._slow_rate = slow_rate
        self._slow_call_s = slow_call_s
        self._min_calls = min_calls
        self._window = SlidingWindow(window_s=window_s, counters=3)
        self._open_s = open_s
        self._probes = probes
        self._on_change = on_change
        self.clock = clock
        self.state: BreakerState = "closed"
        self.generation = 0
        self._opened_at = 0.0
        self._places = 0
        self._probe_results = [0, 0, 0]
        self.refused = 0
        self.opened = 0

    def enter(self) -> int:
        """Let one call pass and return the generation to report it under; raise ``CircuitOpen`` to refuse it."""
        if self.state == "closed":
            return self.generation
        if self.state == "open":
            left_s = self._opened_at + self._open_s - self.clock()
            if left_s > 0.0:
                self.refused += 1
                raise CircuitOpen(f"circuit open for another {left_s:.3f} s", retry_after_s=left_s)
            self._places = self._probes
            self._probe_results = [0, 0, 0]
            self._change("half_open", f"open for {self._open_s:g} s")
        if self._places == 0:
            self.refused += 1
            # Should the probes fail, it is open for that long.
            raise CircuitOpen("circuit half-open, all probes are out", retry_after_s=self._open_s)
        self._places -= 1
        return self.generation

    def record(self, generation: int, started_s: float, failed: bool) -> None:
        """Count a call that began at ``started_s`` (on :attr:`clock`) and ends now; change the state if need be."""
        if generation != self.generation:
            return
        clock = self.clock  # a slot called in one go is looked up the slow way
        now = clock()
        slow = now - started_s >= self._slow_call_s
        if self.state == "half_open":
            self._record_probe(now, failed, slow)
            return
        window = self._window
        totals = window.totals if now < window.slot_ends_at else window.at(now)
        totals[0] += 1
        if failed:
            totals[1] += 1
        if slow:
            totals[2] += 1
        if (totals[1] or totals[2]) and totals[0] >= self._min_calls and self._too_many(totals):
            self._open(totals, now)

    def abandon(self, generation: int, started_s: float) -> None:
        """Take back a call that was cancelled or says nothing: a probe's place is free again.

        A call that had already outlasted ``slow_call_s`` does say something, and counts as slow.
        """
        if self.clock() - started_s >= self._slow_call_s:
            self.record(generation, started_s, False)
        elif generation == self.generation and self.state == "half_open":
            self._places += 1

    def snapshot(self) -> BreakerSnapshot:
        """The state for metrics."""
        calls, failed, slow = self._window.at(self.clock())
        return BreakerSnapshot(self.state, calls, failed, slow, self.refused, self.opened)

    def _record_probe(self, now: float, failed: bool, slow: bool) -> None:
        results = self._probe_results
        results[0] += 1
        results[1] += failed
        results[2] += slow
        if results[0] == self._probes:
            if self._too_many(results):
                self._open(results, now)
            else:
                self._change("closed", _reason(results))

    def _too_many(self, counts: list[int]) -> bool:
        calls, failed, slow = counts
        return failed >= self._failure_rate * calls or slow >= self._slow_rate * calls

    def _open(self, counts: list[int], now: float) -> None:
        self._opened_at = now
        self.opened += 1
        reason = _reason(counts)
        self._window.clear()
        self._change("open", reason)

    def _change(self, after: BreakerState, reason: str) -> None:
        change = BreakerChange(self.state, after, reason)
        self.state = after
        self.generation += 1
        if self._on_change is not None:
            self._on_change(change)

    def __repr__(self) -> str:
        calls, failed, slow = self._window.totals
        return f"<CircuitBreaker {self.state} calls={calls} failed={failed} slow={slow} refused={self.refused}>"


def _reason(counts: list[int]) -> str:
    calls, failed, slow = counts
    return f"{failed} failed and {slow} slow of {calls} calls"


def circuit_breaker(
    breaker: CircuitBreaker,
    *,
    failure: Callable[[Exception], bool] = is_failure,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Refuse calls with :class:`server.errors.CircuitOpen` while ``breaker`` is open, and report to it how calls end.

    An error that is no ``failure`` (a refused prompt, our own rate limit) says nothing about the upstream and, like a
    cancelled call, is not counted; as a probe it gives its place back.
    """
    clock = breaker.clock

    def decorate(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @wraps(call)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            # enter(), without what a call costs.
            generation = breaker.generation if breaker.state == "closed" else breaker.enter()
            started_s = clock()
            try:
                result = await call(*args, **kwargs)
            except BaseException as error:
                if isinstance(error, Exception) and failure(error):
                    breaker.record(generation, started_s, True)
                else:
                    breaker.abandon(generation, started_s)
                raise
            breaker.record(generation, started_s, False)
            return result

        return guarded

    return decorate
