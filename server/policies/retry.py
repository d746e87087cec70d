"""Try again after a failure that may pass: exponential backoff with full jitter, within a deadline and a budget.

@retry(attempts=3)
async def call(prompt: str) -> str: ...
"""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from server.policies.failures import asked_wait_s, is_retryable
from server.policies.retry_budget import RetryBudget

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryDetails:
    """A failed attempt that will be followed by another one.

    ``attempt`` is the number of the attempt that failed, from 1; ``wait_s`` the pause before the next one and
    ``waited_s`` the pauses of this call before it, in seconds.
    """

    name: str
    attempt: int
    wait_s: float
    waited_s: float
    error: Exception


class RetryHook(Protocol):
    """Called when a retry has been decided, before the pause.

    It may return a context manager, which is entered for the length of the pause (as in stamina).
    """

    def __call__(self, details: RetryDetails, /) -> AbstractContextManager[object] | None:
        """Take note of the retry."""
        ...


def full_jitter_s(attempt: int, *, base_s: float, max_wait_s: float, random: Callable[[], float]) -> float:
    """Pause (s) after failed attempt ``attempt`` (from 1): ``random() * min(max_wait_s, base_s * 2**(attempt - 1))``.

    ``random`` is uniform on [0, 1). Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """
    return random() * min(max_wait_s, base_s * 2.0 ** min(attempt - 1, 64))


def retry(
    *,
    attempts: int = 3,
    base_s: float = 0.1,
    max_wait_s: float = 60.0,
    retryable: Callable[[Exception], bool] = is_retryable,
    retry_after_s: Callable[[Exception], float | None] = asked_wait_s,
    remaining_s: Callable[[], float] | None = None,
    budget: RetryBudget | None = None,
    on_retry: RetryHook | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    random: Callable[[], float] = random_module.random,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Make at most ``attempts`` attempts; what the last one raises is raised unchanged.

    Where the failure says how long to stay away (``retry_after_s(error)``), the pause is that plus the jitter. The
    failure is final, and raised at once, if it is not ``retryable``, if it asks for a pause over ``max_wait_s``, if the
    pause would not end before ``remaining_s()`` runs out, or if ``budget`` has no retry left. Cancellation is never
    retried. ``ValueError`` on settings that make no sense.
    """
    if attempts < 1 or not (base_s >= 0 and max_wait_s >= 0):
        raise ValueError("retry needs attempts >= 1, base_s >= 0 and max_wait_s >= 0")

    def pause_s(error: Exception, attempt: int) -> float | None:
        """The pause before the next attempt, ``None`` if there is to be none."""
        if attempt >= attempts or not retryable(error):
            return None
        asked_s = max(0.0, retry_after_s(error) or 0.0)
        if asked_s > max_wait_s:
            return None
        wait_s = asked_s + full_jitter_s(attempt, base_s=base_s, max_wait_s=max_wait_s, random=random)
        if remaining_s is not None and wait_s >= remaining_s():
            return None
        if budget is not None and not budget.withdraw():
            return None
        return wait_s

    def decorate(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        name = getattr(call, "__qualname__", type(call).__qualname__)

        @wraps(call)
        async def retrying(*args: P.args, **kwargs: P.kwargs) -> T:
            if budget is not None:
                budget.deposit()
            attempt, waited_s = 1, 0.0
            while True:
                try:
                    return await call(*args, **kwargs)
                except Exception as error:
                    wait_s = pause_s(error, attempt)
                    if wait_s is None:
                        raise
                    details = RetryDetails(name, attempt, wait_s, waited_s, error)
                # Outside the except block: the next failure is not chained to this one.
                held = on_retry(details) if on_retry is not None else None
                del details
                if held is None:
                    await sleep(wait_s)
                else:
                    with held:
                        await sleep(wait_s)
                waited_s += wait_s
                attempt += 1

        return retrying

    return decorate
