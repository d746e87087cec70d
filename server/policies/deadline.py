"""One time budget for a request, carried to everything it calls; when it is used up, the work is cancelled.

@deadline(default_s=30.0)
async def handle(request: Request) -> Reply: ...      # anywhere inside: remaining_s()
"""

from __future__ import annotations

import asyncio
import math
import time
from asyncio import current_task
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

from server.errors import DeadlineExceeded
from server.policies.timer_wheel import WheelHere

P = ParamSpec("P")
T = TypeVar("T")


# When the budget in force ends, and the clock that says so.
_current: ContextVar[tuple[float, Callable[[], float]] | None] = ContextVar("deadline", default=None)


def remaining_s() -> float:
    """Seconds left of the budget in force here, at least 0; ``inf`` where there is none."""
    budget = _current.get()
    if budget is None:
        return math.inf
    ends_at, clock = budget
    left_s = ends_at - clock()
    return left_s if left_s > 0.0 else 0.0


def deadline(
    *,
    default_s: float | None = 30.0,
    budget_s: Callable[P, float | None] | None = None,
    tick_s: float = 0.01,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Cancel the call when its budget is used up and raise :class:`server.errors.DeadlineExceeded`.

    ``budget_s`` reads the budget in seconds from the arguments; where it says ``None``, ``default_s`` holds; where that
    is ``None`` too, there is no deadline. The budget goes with the context into tasks that the call starts (it must
    await them, as a TaskGroup does). A deadline inside another can only be shorter. Cancels up to ``tick_s`` late. A
    cancellation from outside stays one: the rules are those of ``asyncio.timeout``. An event loop must stay in the
    thread in which it first ran. ``ValueError`` for a budget that is not a number.
    """
    here = WheelHere(tick_s=tick_s, clock=clock)

    def decorate(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @wraps(call)
        async def bounded(*args: P.args, **kwargs: P.kwargs) -> T:
            seconds = budget_s(*args, **kwargs) if budget_s is not None else None
            if seconds is None:
                seconds = default_s
                if seconds is None:
                    return await call(*args, **kwargs)
            ends_at = clock() + seconds
            outer = _current.get()
            if outer is not None and outer[0] <= ends_at:
                return await call(*args, **kwargs)
            if seconds <= 0.0:
                raise DeadlineExceeded("there was no time left to begin")

            wheel = here.wheel
            task = current_task(wheel.loop) if wheel is not None else None
            if wheel is None or task is None:
                wheel, task = here.renew()
            timed = wheel.tasks if wheel.begins_at <= ends_at < wheel.ends_at else wheel.tick(ends_at)
            if outer is not None and task in timed:  # it calls itself, and will be cancelled in the same tick as it is
                return await call(*args, **kwargs)
            timed.add(task)
            cancelling = task.cancelling()
            token = _current.set((ends_at, clock))
            try:
                result = await call(*args, **kwargs)
            except GeneratorExit:  # thrown away unfinished, perhaps outside its context
                timed.discard(task)
                raise
            except BaseException as error:
                _current.reset(token)
                if task not in timed and task.uncancel() <= cancelling and isinstance(error, asyncio.CancelledError):
                    raise DeadlineExceeded(f"the budget of {seconds:.3f} s is used up") from error
                timed.discard(task)
                raise
            _current.reset(token)
            try:
                timed.remove(task)
            except KeyError:  # its timer has fired
                task.uncancel()
            return result

        return bounded

    return decorate
