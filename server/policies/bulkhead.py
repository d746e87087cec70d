"""So many calls at once, so many waiting, and the rest turned away at once with the time to come back.

places = Bulkhead(max_in_flight=100, max_queued=200)
@bulkhead(places)
async def call(prompt: str) -> str: ...
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

from server.errors import Overloaded
from server.policies.adaptive_limit import AimdLimit
from server.policies.failures import is_failure

P = ParamSpec("P")
T = TypeVar("T")

# Weight of the newest call in the running mean of their durations: the last 20 or so calls count.
_SMOOTHING = 0.05


class QueuedDetails(NamedTuple):
    """A call finds all ``limit`` places taken, and ``queued`` calls waiting before it."""

    limit: int
    queued: int


class QueuedHook(Protocol):
    """Called for each call that finds no place free.

    It may return a context manager, which is held until the call has its place, gives up or is turned away.
    """

    def __call__(self, details: QueuedDetails, /) -> AbstractContextManager[object] | None:
        """Take note of the wait; must not raise."""
        ...


class BulkheadSnapshot(NamedTuple):
    """``in_flight`` of ``limit`` places are taken and ``queued`` calls wait; ``shed`` were turned away since the start.

    ``mean_s``: running mean of how long a call holds its place.
    """

    limit: int
    in_flight: int
    queued: int
    shed: int
    mean_s: float


class Bulkhead:
    """``max_in_flight`` places and a first-come-first-served queue of ``max_queued`` before them.

    With the queue full a call is shed, with the time in which the queue will have been served:
    ``retry_after_s = (queued + 1) * mean_s / limit`` (Little's law; ``mean_s`` is an exponentially weighted mean of
    call durations that begins at ``expected_s``). ``adaptive`` moves the number of places between its own bounds;
    ``max_in_flight`` stays the most there are.
    """

    __slots__ = (
        "_adaptive",
        "_max_in_flight",
        "_max_queued",
        "_mean_s",
        "_queue",
        "clock",
        "in_flight",
        "limit",
        "shed",
    )

    def __init__(
        self,
        *,
        max_in_flight: int = 1000,
        max_queued: int = 1000,
        expected_s: float = 1.0,
        adaptive: AimdLimit | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_in_flight < 1 or max_queued < 0 or expected_s <= 0:
            raise ValueError("a bulkhead needs max_in_flight >= 1, max_queued >= 0 and expected_s > 0")
        self._max_in_flight = max_in_flight
        self._max_queued = max_queued
        self._mean_s = expected_s
        self._adaptive = adaptive
        # OrderedDict: those who give up leave from the middle, in constant time.
        self._queue: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self.clock = clock
        self.limit = max_in_flight if adaptive is None else min(max_in_flight, adaptive.limit)
        self.in_flight = 0
        self.shed = 0

    @property
    def queued(self) -> int:
        """Calls waiting for a place."""
        return len(self._queue)

    def try_enter(self) -> bool:
        """Take a place if one is free; while anyone waits none is."""
        if self.in_flight >= self.limit:
            return False
        self.in_flight += 1
        return True

    async def enter(self) -> None:
        """Wait for a place and take it; raise :class:`server.errors.Overloaded` at once if the queue is full."""
        if self.try_enter():
            return
        queued = len(self._queue)
        if queued >= self._max_queued:
            self.shed += 1
            raise Overloaded(
                f"{self.in_flight} calls under way and {queued} waiting",
                retry_after_s=(queued + 1) * self._mean_s / self.limit,
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._queue.pop(turn, None)
            else:
                # Cancelled between getting the place and waking up: it must not be lost.
                self.in_flight -= 1
            self._admit()
            raise

    def leave(self, started_s: float, error: BaseException | None = None) -> None:
        """Give back the place taken at ``started_s`` (on :attr:`clock`); ``error`` is what the call raised, if any."""
        clock = self.clock  # a slot called in one go is looked up the slow way
        now = clock()
        self._mean_s += _SMOOTHING * (now - started_s - self._mean_s)
        if self._adaptive is not None:
            failed = isinstance(error, Exception) and is_failure(error)
            well = True if error is None else False if failed else None
            self._adaptive.record(started_s=started_s, ended_s=now, in_flight=self.in_flight, well=well)
            self.limit = min(self._max_in_flight, self._adaptive.limit)
        self.in_flight -= 1
        if self._queue:
            self._admit()

    def snapshot(self) -> BulkheadSnapshot:
        """The state for metrics."""
        return BulkheadSnapshot(self.limit, self.in_flight, len(self._queue), self.shed, self._mean_s)

    def _admit(self) -> None:
        while self._queue and self.in_flight < self.limit:
            turn, _ = self._queue.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                self.in_flight += 1

    def __repr__(self) -> str:
        return f"<Bulkhead {self.in_flight}/{self.limit} queued={self.queued}/{self._max_queued} shed={self.shed}>"


def bulkhead(
    places: Bulkhead, *, on_queued: QueuedHook | None = None
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Let a call run only in one of ``places``; raises :class:`server.errors.Overloaded` when their queue is full."""
    clock = places.clock

    def decorate(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @wraps(call)
        async def admitted(*args: P.args, **kwargs: P.kwargs) -> T:
            if places.in_flight < places.limit:  # try_enter(), without what a call costs
                places.in_flight += 1
            else:
                held = on_queued(QueuedDetails(places.limit, places.queued)) if on_queued is not None else None
                with held or nullcontext():
                    await places.enter()
            started_s = clock()
            try:
                result = await call(*args, **kwargs)
            except BaseException as error:
                places.leave(started_s, error)
                raise
            places.leave(started_s)
            return result

        return admitted

    return decorate
