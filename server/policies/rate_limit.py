"""Limit the rate of calls, for each key and over all of them: the generic cell rate algorithm (GCRA).

limiter = RateLimiter(overall=Rate(per_s=50, burst=100))
@rate_limit(limiter, max_wait_s=1.0)
async def call(prompt: str) -> str: ...
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

from server.errors import RateLimited

P = ParamSpec("P")
T = TypeVar("T")


class Rate(NamedTuple):
    """``per_s`` calls a second in the long run, up to ``burst`` of them at once."""

    per_s: float
    burst: int


def _tolerance_s(rate: Rate) -> float:
    """``tau``, and a little: rounding must not refuse the last call of a burst. The long-run rate is the same."""
    interval_s = 1.0 / rate.per_s
    return (rate.burst - 1 + 1e-3) * interval_s + 1e-6


class RateLimiterSnapshot(NamedTuple):
    """``tokens``: calls that could start now over all keys (``inf`` without an overall rate). The rest are counts."""

    tokens: float
    waiting: int
    keys: int
    refused: int
    forgiven: int


@dataclass(slots=True)
class _Queue:
    """Calls of one key that wait, and the key's TAT by the calls that were made: what it owes if none of them is."""

    waiting: int
    tat: float


class RateLimiter:
    """Two GCRA limits in one: ``per_key`` and ``overall``; ``None`` switches one off.

    A key's state is one float, its theoretical arrival time TAT. With ``T = 1 / per_s`` and ``tau = (burst - 1) * T`` a
    call at ``t`` conforms if ``t >= TAT - tau``, and moves it: ``TAT = max(TAT, t) + T``. That is a token bucket of
    ``burst`` tokens refilled at ``per_s`` that needs no refilling. Source: ITU-T I.371, Annex A. A call that has to
    wait reserves its place, so waiting is first come, first served. A refused call takes nothing from either limit.

    A call that waits for its key's limit took its place in the overall one when it came: over any ``w`` seconds the
    overall limit lets at most ``burst + per_s * (w + the longest wait)`` calls through.

    At most ``max_keys`` keys are kept. When one more comes, those whose time is over go: forgetting them changes
    nothing. If that does not make room for a tenth of ``max_keys``, those that owe the least time go too; that is
    forgiven, and counted in ``forgiven`` (make ``max_keys`` larger then).
    """

    __slots__ = (
        "_clock",
        "_key_interval_s",
        "_key_tolerance_s",
        "_max_keys",
        "_overall_burst",
        "_overall_interval_s",
        "_overall_tat",
        "_overall_tolerance_s",
        "_queues",
        "_tats",
        "forgiven",
        "refused",
        "waiting",
    )

    def __init__(
        self,
        *,
        per_key: Rate | None = None,
        overall: Rate | None = None,
        max_keys: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for rate in (per_key, overall):
            if rate is not None and not (rate.per_s > 1e-9 and rate.burst >= 1):
                raise ValueError("a rate needs per_s > 1e-9 and burst >= 1")
        if max_keys < 1:
            raise ValueError("a rate limiter needs max_keys >= 1")
        self._key_interval_s = 1.0 / per_key.per_s if per_key else 0.0
        self._key_tolerance_s = _tolerance_s(per_key) if per_key else 0.0
        self._overall_interval_s = 1.0 / overall.per_s if overall else 0.0
        self._overall_tolerance_s = _tolerance_s(overall) if overall else 0.0
        self._overall_burst = overall.burst if overall else 0
        self._overall_tat = 0.0
        self._tats: dict[str, float] = {}
        self._queues: dict[str, _Queue] = {}
        self._max_keys = max_keys
        self._clock = clock
        self.waiting = 0
        self.refused = 0
        self.forgiven = 0

    def reserve(self, key: str = "", max_wait_s: float = 0.0) -> float:
        """Take one call for ``key`` and return the seconds to wait before making it.

        After a wait call :meth:`start`, or :meth:`refund` if the call is given up. Raises
        :class:`server.errors.RateLimited`, with the seconds to stay away, if the wait is over ``max_wait_s``.
        """
        clock = self._clock  # a slot called in one go is looked up the slow way
        now = clock()
        wait_s = 0.0
        # A limit that is off has an interval of 0, so its TAT is never ahead of now.
        overall_tat = self._overall_tat
        if overall_tat < now:
            overall_tat = now
        elif overall_tat - now > self._overall_tolerance_s:
            wait_s = overall_tat - now - self._overall_tolerance_s
        key_interval_s = self._key_interval_s
        if key_interval_s:
            tats, key_tat = self._tats, now
            if key in tats:
                key_tat = tats[key]
                if key_tat < now:
                    key_tat = now
                elif key_tat - now > self._key_tolerance_s:
                    wait_s = max(wait_s, key_tat - now - self._key_tolerance_s)
            elif len(tats) >= self._max_keys:
                self._make_room(now)
            if wait_s:
                self._refuse_if_over(max_wait_s, wait_s)
                self._join_queue(key, key_tat)
                key_tat = max(key_tat, now + wait_s)
            elif self._queues:
                self._count_as_started(key, now)
            tats[key] = key_tat + key_interval_s
        elif wait_s:
            self._refuse_if_over(max_wait_s, wait_s)
        self._overall_tat = overall_tat + self._overall_interval_s
        return wait_s

    def _refuse_if_over(self, max_wait_s: float, wait_s: float) -> None:
        if wait_s > max_wait_s:
            self.refused += 1
            raise RateLimited(f"rate limit reached, free in {wait_s:.3f} s", retry_after_s=wait_s)

    def _make_room(self, now: float) -> None:
        tats = self._tats
        for key in [key for key, tat in tats.items() if tat <= now]:
            del tats[key]
        # For a tenth of the keys at once, so that looking at all of them comes seldom.
        surplus = len(tats) - (self._max_keys - max(1, self._max_keys // 10))
        if surplus > 0:
            self.forgiven += surplus
            for key in sorted(tats, key=tats.__getitem__)[:surplus]:
                del tats[key]

    def start(self, key: str = "") -> None:
        """A call of ``key`` that had to wait starts now."""
        self._count_as_started(key, self._clock())
        self._leave_queue(key)

    def refund(self, key: str = "") -> None:
        """Give back a call that had to wait and was not made.

        When none of the key's calls is left waiting, the key owes what those that were made cost it, and no wait.
        """
        self._overall_tat -= self._overall_interval_s
        if key in self._tats:
            self._tats[key] -= self._key_interval_s
        self._leave_queue(key)

    def _join_queue(self, key: str, tat: float) -> None:
        queue = self._queues.get(key)
        if queue is None:
            self._queues[key] = _Queue(waiting=1, tat=tat)
        else:
            queue.waiting += 1

    def _count_as_started(self, key: str, now: float) -> None:
        queue = self._queues.get(key)
        if queue is not None:
            queue.tat = max(queue.tat, now) + self._key_interval_s

    def _leave_queue(self, key: str) -> None:
        queue = self._queues.get(key)
        if queue is not None:
            queue.waiting -= 1
            if not queue.waiting:
                del self._queues[key]
                if key in self._tats:
                    self._tats[key] = queue.tat

    @property
    def tokens(self) -> float:
        """Calls that could start now over all keys, ``inf`` without an overall rate."""
        if not self._overall_interval_s:
            return float("inf")
        owed = max(0.0, (self._overall_tat - self._clock()) / self._overall_interval_s)
        return max(0.0, self._overall_burst - owed)

    def snapshot(self) -> RateLimiterSnapshot:
        """The state for metrics."""
        return RateLimiterSnapshot(self.tokens, self.waiting, len(self._tats), self.refused, self.forgiven)

    def __repr__(self) -> str:
        return (
            f"<RateLimiter tokens={self.tokens:.1f} waiting={self.waiting} keys={len(self._tats)}/{self._max_keys}"
            f" refused={self.refused}>"
        )


def rate_limit(
    limiter: RateLimiter,
    *,
    key: Callable[P, str] | None = None,
    max_wait_s: float = 0.0,
    remaining_s: Callable[[], float] | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Hold each call until ``limiter`` lets it start; ``key`` reads whose call it is from the arguments.

    Raises :class:`server.errors.RateLimited` at once if that would take longer than ``max_wait_s`` or than
    ``remaining_s()``. A caller cancelled while it waits gives its place back.
    """

    async def turn(owner: str, wait_s: float) -> None:
        if remaining_s is not None and wait_s >= remaining_s():
            limiter.refund(owner)
            limiter.refused += 1
            raise RateLimited("rate limit reached, free only after the deadline", retry_after_s=wait_s)
        limiter.waiting += 1
        try:
            await sleep(wait_s)
            limiter.start(owner)
        except BaseException:
            limiter.refund(owner)
            raise
        finally:
            limiter.waiting -= 1

    def decorate(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @wraps(call)
        async def limited(*args: P.args, **kwargs: P.kwargs) -> T:
            owner = key(*args, **kwargs) if key is not None else ""
            wait_s = limiter.reserve(owner, max_wait_s)
            if wait_s > 0.0:
                await turn(owner, wait_s)
            return await call(*args, **kwargs)

        return limited

    return decorate
