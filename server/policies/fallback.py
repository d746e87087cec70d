"""When the answer cannot be had, give a lesser one, and mark it as such.

@fallback(stale_answer, canned_answer, mark=lambda reply, details: replace(reply, degraded=True))
async def call(prompt: str) -> Reply: ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

from server.policies.failures import is_unavailable

P = ParamSpec("P")
T = TypeVar("T")


class FallbackDetails(NamedTuple):
    """A lesser answer was given: by the alternative named ``source``, because of ``error``."""

    name: str
    source: str
    error: Exception


class FallbackHook(Protocol):
    """Called once for each lesser answer given."""

    def __call__(self, details: FallbackDetails, /) -> object:
        """Take note of the lesser answer; must not raise."""
        ...


def fallback(
    *alternatives: Callable[P, Awaitable[T | None]],
    mark: Callable[[T, FallbackDetails], T],
    when: Callable[[Exception], bool] = is_unavailable,
    on_fallback: FallbackHook | None = None,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """On an error that ``when`` accepts, ask ``alternatives`` in turn, with the same arguments.

    An alternative that returns ``None`` has nothing to offer, and one that fails with an error that ``when`` accepts is
    passed over; if none has an answer, the call's own error is raised. What is returned has gone through ``mark``:
    nobody gets a lesser answer that does not say so. Other errors (bugs above all) are raised as they are.

    An alternative that makes calls of its own needs a deadline of its own: this one's may be what has just run out.
    """
    if not alternatives:
        raise ValueError("a fallback needs at least one alternative")

    def decorate(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        name = getattr(call, "__qualname__", type(call).__qualname__)

        async def lesser(error: Exception, *args: P.args, **kwargs: P.kwargs) -> T:
            for alternative in alternatives:
                try:
                    answer = await alternative(*args, **kwargs)
                except Exception as failure:
                    if not when(failure):
                        raise
                    continue
                if answer is not None:
                    source = getattr(alternative, "__qualname__", type(alternative).__qualname__)
                    details = FallbackDetails(name, source, error)
                    if on_fallback is not None:
                        on_fallback(details)
                    return mark(answer, details)
            raise error

        @wraps(call)
        async def answered(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return await call(*args, **kwargs)
            except Exception as error:
                if not when(error):
                    raise
                return await lesser(error, *args, **kwargs)

        return answered

    return decorate
