"""Many callers that want the same thing at the same time: one does the work, the others share what comes of it.

flights = SingleFlight[str, bytes]()
value, led = await flights.run("key", fetch)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from types import TracebackType
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from server.errors import DeadlineExceeded

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Value(NamedTuple, Generic[V]):
    value: V


class _Failure(NamedTuple):
    error: Exception
    traceback: TracebackType | None


# Where a follower waits: for a value, a failure, or None, which means "lead now".
_Seat: TypeAlias = "asyncio.Future[_Value[V] | _Failure | None]"


def is_the_leaders_own(error: Exception) -> bool:
    """Whether a failure says nothing about the work, only about the caller who did it: its deadline ran out."""
    return isinstance(error, DeadlineExceeded)


def _fill(seats: dict[_Seat[V], None], landed: _Value[V] | _Failure) -> None:
    for seat in seats:
        if not seat.done():
            seat.set_result(landed)
    seats.clear()


class SingleFlight(Generic[K, V]):
    """At most one call a key at a time. The first caller leads and works in its own task; the others follow.

    A leader that is cancelled, or fails for a reason of its own (``hands_over``), hands over to the follower that came
    last, who has the most of its patience left; it works with its own ``supplier``, in its own context. Any other
    failure fails all who follow at that moment, once: the next caller leads anew. A cancelled follower just leaves. No
    task is made, and without followers no future.
    """

    __slots__ = ("_hands_over", "seats")

    def __init__(self, *, hands_over: Callable[[Exception], bool] = is_the_leaders_own) -> None:
        self.seats: dict[K, dict[_Seat[V], None] | None] = {}
        """Those who follow, by key in flight; ``None`` until somebody does: most are never followed."""
        self._hands_over = hands_over

    async def run(self, key: K, supplier: Callable[[], Awaitable[V]]) -> tuple[V, bool]:
        """Return the value for ``key`` and whether this caller led; raise what the leader's ``supplier`` raised."""
        if key in self.seats:
            return await self.follow(key, supplier)
        self.seats[key] = None
        return await self._work(key, supplier)

    def land(self, key: K, value: V) -> None:
        """Give all followers the leader's value."""
        seats = self.seats.pop(key)
        if seats:
            _fill(seats, _Value(value))

    def fail(self, key: K, error: BaseException) -> None:
        """Give all followers the leader's failure or, if that is the leader's own, give one of them the lead."""
        if isinstance(error, Exception) and not self._hands_over(error):
            _fill(self.seats.pop(key) or {}, _Failure(error, error.__traceback__))
        else:
            self._hand_over(key)

    async def follow(self, key: K, supplier: Callable[[], Awaitable[V]]) -> tuple[V, bool]:
        """As :meth:`run`, where another caller has the lead."""
        seat: _Seat[V] = asyncio.get_running_loop().create_future()
        seats = self.seats[key]
        if seats is None:
            seats = self.seats[key] = {}
        seats[seat] = None
        try:
            landed = await seat
        except asyncio.CancelledError:
            if not seat.cancelled():
                # Cancelled between being told to lead and waking up: the lead must not be lost.
                if seat.result() is None:
                    self._hand_over(key)
            else:
                seats.pop(seat, None)
            raise
        if landed is None:
            return await self._work(key, supplier)
        if isinstance(landed, _Value):
            return landed.value, False
        try:
            raise landed.error.with_traceback(landed.traceback)
        finally:
            del landed, seat  # error -> traceback -> this frame -> error: not left to the garbage collector

    async def _work(self, key: K, supplier: Callable[[], Awaitable[V]]) -> tuple[V, bool]:
        try:
            value = await supplier()
        except BaseException as error:
            self.fail(key, error)
            raise
        self.land(key, value)
        return value, True

    def _hand_over(self, key: K) -> None:
        seats = self.seats[key]
        while seats:
            seat, _ = seats.popitem()
            if not seat.done():
                seat.set_result(None)
                return
        del self.seats[key]

    def __contains__(self, key: K) -> bool:
        return key in self.seats

    def __len__(self) -> int:
        return len(self.seats)

    def __repr__(self) -> str:
        followers = sum(len(seats) for seats in self.seats.values() if seats)
        return f"<SingleFlight in_flight={len(self.seats)} followers={followers}>"
