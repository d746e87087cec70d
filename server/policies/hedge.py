"""Send a second call when the first is late, take whichever answers first, cancel the other.

hedger = Hedger()
@hedge(hedger)
async def call(prompt: str) -> str: ...       # must be safe to make twice
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Literal, NamedTuple, ParamSpec, Protocol, TypeVar

from server.policies.latency_quantile import LatencyQuantile
from server.policies.retry_budget import RetryBudget

P = ParamSpec("P")
T = TypeVar("T")


class HedgeDetails(NamedTuple):
    """A call that was hedged has ended.

    ``delay_s``: how long the first was given; ``winner``: whose answer was taken (0 if both failed). The other one was
    ``cancelled`` (its tokens may be billed all the same), had ``failed``, or had ``finished`` with ``loser_result``.
    """

    name: str
    delay_s: float
    winner: Literal[0, 1, 2]
    loser: Literal["cancelled", "failed", "finished"]
    loser_result: object


class HedgeHook(Protocol):
    """Called once for each call that was hedged, when it has ended with an answer or an error."""

    def __call__(self, details: HedgeDetails, /) -> object:
        """Take note of the hedge; must not raise."""
        ...


class HedgerSnapshot(NamedTuple):
    """``delay_s`` before a second call now (``None``: still learning), ``hedged`` calls and ``won`` by the second."""

    delay_s: float | None
    hedged: int
    won: int


class Hedger:
    """When to send the second call: after the live ``quantile`` of latency, within ``ratio`` of all calls.

    The delay is learnt from at least ``min_samples`` calls; before that nothing is hedged. The latency of a first call
    that was cancelled counts as what it had reached, so that hedging does not talk the quantile down. Source: J. Dean,
    L. A. Barroso, "The Tail at Scale", CACM 2013 (hedged requests after the 95th percentile: about 5% more load).
    """

    __slots__ = ("_latency", "_min_samples", "budget", "clock", "hedged", "won")

    def __init__(
        self,
        *,
        quantile: float = 0.95,
        ratio: float = 0.05,
        min_samples: int = 100,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Its memory is halved when it is full, and must hold enough even then.
        self._latency = LatencyQuantile(quantile=quantile, memory=max(2000, 3 * min_samples))
        self._min_samples = min_samples
        self.budget = RetryBudget(ratio=ratio, min_per_s=0.1, clock=clock)
        self.clock = clock
        self.hedged = 0
        self.won = 0

    def delay_s(self) -> float | None:
        """Seconds the first call is given, ``None`` while too little is known."""
        return self._latency.value_s() if self._latency.samples >= self._min_samples else None

    def record(self, latency_s: float) -> None:
        """Learn from a first call's latency in seconds."""
        self._latency.record(latency_s)

    def snapshot(self) -> HedgerSnapshot:
        """The state for metrics."""
        return HedgerSnapshot(self.delay_s(), self.hedged, self.won)

    def __repr__(self) -> str:
        delay_s = self.delay_s()
        return (
            f"<Hedger delay={'learning' if delay_s is None else f'{delay_s:.3f}s'} hedged={self.hedged} won={self.won}>"
        )


async def _cancel(tasks: list[asyncio.Task[T]]) -> None:
    """Cancel what still runs and wait until it is gone; what the tasks raise is taken note of, not raised."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
    for task in tasks:
        if not task.cancelled():
            task.exception()


def hedge(
    hedger: Hedger, *, on_hedge: HedgeHook | None = None
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Race a second call against a late first one; the first answer wins. If both fail, the first's error is raised.

    A first call that fails before the delay is not hedged: that is for a retry. Whoever loses is cancelled and awaited.
    """

    def decorate(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        name = getattr(call, "__qualname__", type(call).__qualname__)

        async def run(*args: P.args, **kwargs: P.kwargs) -> T:
            return await call(*args, **kwargs)

        @wraps(call)
        async def hedged(*args: P.args, **kwargs: P.kwargs) -> T:
            hedger.budget.deposit()
            delay_s = hedger.delay_s()
            started_s = hedger.clock()
            if delay_s is None:
                result = await call(*args, **kwargs)
                hedger.record(hedger.clock() - started_s)
                return result

            loop = asyncio.get_running_loop()
            tasks = [loop.create_task(run(*args, **kwargs))]
            try:
                await asyncio.wait(tasks, timeout=delay_s)
                first = tasks[0]
                if first.done() or not hedger.budget.withdraw():
                    result = await first
                    hedger.record(hedger.clock() - started_s)
                    return result
                hedger.hedged += 1
                tasks.append(loop.create_task(run(*args, **kwargs)))
                winner = await _first_answer(tasks)
                if winner:
                    hedger.record(hedger.clock() - started_s)
            finally:
                await _cancel(tasks)
            hedger.won += winner == 2
            if on_hedge is not None:
                on_hedge(_details(name, delay_s, winner, tasks))
            return tasks[max(0, winner - 1)].result()

        return hedged

    return decorate


async def _first_answer(tasks: list[asyncio.Task[T]]) -> Literal[0, 1, 2]:
    """Wait until one of two tasks has answered, and say which; 0 once both have failed."""
    pending = set(tasks)
    while pending:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for number, task in enumerate(tasks, start=1):
            if task.done() and not task.cancelled() and task.exception() is None:
                return 1 if number == 1 else 2
    return 0


def _details(name: str, delay_s: float, winner: Literal[0, 1, 2], tasks: list[asyncio.Task[T]]) -> HedgeDetails:
    loser = tasks[0] if winner == 2 else tasks[1]
    if loser.cancelled():
        return HedgeDetails(name, delay_s, winner, "cancelled", None)
    if loser.exception() is not None:
        return HedgeDetails(name, delay_s, winner, "failed", None)
    return HedgeDetails(name, delay_s, winner, "finished", loser.result())
