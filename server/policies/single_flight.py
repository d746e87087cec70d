"""Many callers that want the same thing at the same time: one does the work, the others share what comes of it.

flights = SingleFlight[str, bytes]()
value, led = await flights.run("key", fetch)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from types import TracebackType
from typing import Generic, NamedTuple, TypeVar

from server.errors import DeadlineExceeded

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Value(NamedTuple, Generic[V]):
    value: V


class _Failure(NamedTuple):
    error: Exception
    traceback: TracebackType | None


def is_the_leaders_own(error: Exception) -> bool:
    """Whether a failure says nothing about the work, only about the caller who did it: its deadline ran out."""
    return isinstance(error, DeadlineExceeded)


class SingleFlight(Generic[K, V]):
    """At most one call a key at a time. The first caller leads and works in its own task; the others follow.

    A leader that is cancelled, or fails for a reason of its own (``hands_over``), hands over to the follower that came
    last, who has the most of its patience left; it works with its own ``supplier``, in its own context. Any other
    failure fails all who follow at that moment, once: the next caller leads anew. A cancelled follower just leaves. No
    task is made, and without followers no future.
    """

    __slots__ = ("_flights", "_hands_over")

    def __init__(self, *, hands_over: Callable[[Exception], bool] = is_the_leaders_own) -> None:
        # For each key its followers' seats; None in a seat means "lead now".
        self._flights: dict[K, dict[asyncio.Future[_Value[V] | _Failure | None], None]] = {}
        self._hands_over = hands_over

    async def run(self, key: K, supplier: Callable[[], Awaitable[V]]) -> tuple[V, bool]:
        """Return the value for ``key`` and whether this caller led; raise what the leader's ``supplier`` raised."""
        followers = self._flights.get(key)
        if followers is None:
            followers = self._flights[key] = {}
        else:
            landed = await self._follow(key, followers)
            if isinstance(landed, _Value):
                return landed.value, False
            if landed is not None:
                try:
                    raise landed.error.with_traceback(landed.traceback)
                finally:
                    del landed  # error -> traceback -> this frame -> error: not left to the garbage collector
        return await self._lead(key, followers, supplier), True

    async def _follow(
        self, key: K, followers: dict[asyncio.Future[_Value[V] | _Failure | None], None]
    ) -> _Value[V] | _Failure | None:
        seat: asyncio.Future[_Value[V] | _Failure | None] = asyncio.get_running_loop().create_future()
        followers[seat] = None
        try:
            return await seat
        except asyncio.CancelledError:
            followers.pop(seat, None)
            # Cancelled between being told to lead and waking up: the lead must not be lost.
            if not seat.cancelled() and seat.result() is None:
                self._hand_over(key, followers)
            raise

    async def _lead(
        self,
        key: K,
        followers: dict[asyncio.Future[_Value[V] | _Failure | None], None],
        supplier: Callable[[], Awaitable[V]],
    ) -> V:
        try:
            value = await supplier()
        except BaseException as error:
            if isinstance(error, Exception) and not self._hands_over(error):
                self._land(key, followers, _Failure(error, error.__traceback__))
            else:
                self._hand_over(key, followers)
            raise
        self._land(key, followers, _Value(value))
        return value

    def _land(
        self,
        key: K,
        followers: dict[asyncio.Future[_Value[V] | _Failure | None], None],
        landed: _Value[V] | _Failure,
    ) -> None:
        del self._flights[key]
        for seat in followers:
            if not seat.done():
                seat.set_result(landed)
        followers.clear()

    def _hand_over(self, key: K, followers: dict[asyncio.Future[_Value[V] | _Failure | None], None]) -> None:
        while followers:
            seat, _ = followers.popitem()
            if not seat.done():
                seat.set_result(None)
                return
        del self._flights[key]

    def __contains__(self, key: K) -> bool:
        return key in self._flights

    def __len__(self) -> int:
        return len(self._flights)

    def __repr__(self) -> str:
        followers = sum(len(seats) for seats in self._flights.values())
        return f"<SingleFlight in_flight={len(self._flights)} followers={followers}>"
