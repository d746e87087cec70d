"""Keep answers for a while: TTL, bounded LRU, single-flight, stale-while-revalidate and stale-if-error (RFC 5861).

store = CacheStore[str](ttl_s=300)
@cache(store, key=lambda prompt: prompt)
async def call(prompt: str) -> str: ...       # now returns Outcome(value, status, ttl_s)
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextvars import Context
from functools import partial, wraps
from typing import Generic, Literal, NamedTuple, ParamSpec, Protocol, TypeVar

from server.policies.failures import is_unavailable
from server.policies.single_flight import SingleFlight

P = ParamSpec("P")
V = TypeVar("V")

CacheStatus = Literal["hit", "stale", "miss", "collapsed", "bypass"]


class Outcome(NamedTuple, Generic[V]):
    """A value and how it was come by.

    ``ttl_s``: seconds it stays fresh, negative once stale, 0.0 for ``bypass`` (nothing was stored).
    """

    value: V
    status: CacheStatus
    ttl_s: float


# The constructor that NamedTuple writes takes 0.2 us longer.
_outcome = tuple.__new__
_NOTHING: Mapping[str, object] = {}
# OrderedDict.popitem(last=False): taking the argument by its name would cost as much as the rest of the call.
_OLDEST = False


class CacheSnapshot(NamedTuple):
    """``entries`` and ``in_flight`` now; the rest are counts since the start, by outcome."""

    entries: int
    in_flight: int
    hits: int
    stale: int
    misses: int
    collapsed: int
    bypassed: int
    evicted: int
    refresh_failures: int


class RefreshHook(Protocol):
    """Called when a refresh in the background failed; no caller sees that failure."""

    def __call__(self, key: Hashable, error: Exception, /) -> object:
        """Take note of the failure."""
        ...


def _ignore(key: Hashable, error: Exception, /) -> None:
    """Leave it at the count in the snapshot."""


class CacheStore(Generic[V]):
    """At most ``max_entries`` values, least recently used out first, each fresh for ``ttl_s`` seconds.

    For ``stale_while_revalidate_s`` after that a stale value is served at once while one call in the background fetches
    a new one; for ``stale_if_error_s`` it is served if the call fails with an error that ``stale_if`` accepts.
    """

    def __init__(
        self,
        *,
        ttl_s: float = 300.0,
        max_entries: int = 10_000,
        stale_while_revalidate_s: float = 0.0,
        stale_if_error_s: float = 0.0,
        stale_if: Callable[[Exception], bool] = is_unavailable,
        on_refresh_failed: RefreshHook = _ignore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if ttl_s <= 0 or max_entries < 1 or stale_while_revalidate_s < 0 or stale_if_error_s < 0:
            raise ValueError("a cache needs ttl_s > 0, max_entries >= 1 and stale times >= 0")
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._revalidate_s = stale_while_revalidate_s
        self._if_error_s = stale_if_error_s
        self._stale_if = stale_if
        self._on_refresh_failed = on_refresh_failed
        self._clock = clock
        # OrderedDict, not dict: popping the oldest key of a dict scans the dead slots before it.
        self._entries: OrderedDict[Hashable, tuple[V, float]] = OrderedDict()
        self._flights: SingleFlight[Hashable, V] = SingleFlight()
        self._refreshes: dict[Hashable, asyncio.Task[None]] = {}
        self._hits = self._stale = self._misses = self._collapsed = self._bypassed = 0
        self._evicted = self._refresh_failures = 0

    def lookup(self, key: Hashable) -> Outcome[V] | None:
        """Return the fresh value, without awaiting anything, or ``None``."""
        entries = self._entries
        if key not in entries:
            return None
        value, fresh_until = entries[key]
        clock = self._clock  # an attribute called in one go is looked up the slow way
        ttl_s = fresh_until - clock()
        if ttl_s <= 0.0:
            return None
        entries.move_to_end(key)
        self._hits += 1
        return _outcome(Outcome, (value, "hit", ttl_s))

    def peek(self, key: Hashable) -> Outcome[V] | None:
        """Return whatever is still kept, however stale, and count nothing: for a fallback that prefers old to none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, fresh_until = entry
        ttl_s = fresh_until - self._clock()
        return Outcome(value, "hit" if ttl_s > 0.0 else "stale", ttl_s)

    async def fetch(
        self,
        key: Hashable | None,
        supplier: Callable[..., Awaitable[V]],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] = _NOTHING,
    ) -> Outcome[V]:
        """Return the value for ``key``, from ``supplier(*args, **kwargs)`` if need be.

        What it raises is raised, also to those who joined. ``None`` for a key is a bypass: nothing is read, written or
        joined. A refresh in the background calls ``supplier`` in a task of its own with an empty context: the deadline
        and the records of the request that set it off do not go with it.
        """
        if key is None:
            self._bypassed += 1
            return Outcome(await supplier(*args, **kwargs), "bypass", 0.0)
        if key in self._entries:
            found = self.lookup(key) or self._stale_while_revalidate(key, partial(supplier, *args, **kwargs))
            if found is not None:
                return found
        seats = self._flights.seats
        if key in seats:
            return await self._follow(key, partial(supplier, *args, **kwargs))
        # What flights.run() would do, without its two frames.
        seats[key] = None
        try:
            value = await supplier(*args, **kwargs)
        except BaseException as error:
            self._flights.fail(key, error)
            found = self._stale_if_error(key, error)
            if found is None:
                raise
            return found
        if seats[key] is None:
            del seats[key]
        else:
            self._flights.land(key, value)
        self._misses += 1
        return self._put(key, value)

    def discard(self, key: Hashable) -> None:
        """Forget the value for ``key``, if there is one. A call in flight will store its value all the same."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget all values."""
        self._entries.clear()

    async def aclose(self) -> None:
        """Cancel refreshes in the background and wait until they are gone."""
        tasks = list(self._refreshes.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def snapshot(self) -> CacheSnapshot:
        """The state for metrics."""
        return CacheSnapshot(
            len(self._entries),
            len(self._flights),
            self._hits,
            self._stale,
            self._misses,
            self._collapsed,
            self._bypassed,
            self._evicted,
            self._refresh_failures,
        )

    async def _follow(self, key: Hashable, supplier: Callable[[], Awaitable[V]]) -> Outcome[V]:
        try:
            value, led = await self._flights.follow(key, supplier)
        except Exception as error:
            found = self._stale_if_error(key, error)
            if found is None:
                raise
            return found
        if led:
            self._misses += 1
            return self._put(key, value)
        self._collapsed += 1
        return Outcome(value, "collapsed", self._ttl_s)

    def _put(self, key: Hashable, value: V) -> Outcome[V]:
        entries, ttl_s, clock = self._entries, self._ttl_s, self._clock
        if key in entries:  # a stale one has its old place
            del entries[key]
        entries[key] = (value, clock() + ttl_s)
        if len(entries) > self._max_entries:
            entries.popitem(_OLDEST)
            self._evicted += 1
        return _outcome(Outcome, (value, "miss", ttl_s))

    def _stale_while_revalidate(self, key: Hashable, supplier: Callable[[], Awaitable[V]]) -> Outcome[V] | None:
        found = self.peek(key) if self._revalidate_s else None
        if found is None or -found.ttl_s >= self._revalidate_s:
            return None
        if key not in self._refreshes and key not in self._flights:
            task = asyncio.get_running_loop().create_task(self._refresh(key, supplier), context=Context())
            self._refreshes[key] = task
            task.add_done_callback(lambda _: self._refreshes.pop(key))
        return self._served_stale(key, found)

    def _stale_if_error(self, key: Hashable, error: BaseException) -> Outcome[V] | None:
        found = self.peek(key) if self._if_error_s else None
        if found is None or -found.ttl_s >= self._if_error_s:
            return None
        if not isinstance(error, Exception) or not self._stale_if(error):
            return None
        return self._served_stale(key, found)

    def _served_stale(self, key: Hashable, found: Outcome[V]) -> Outcome[V]:
        self._entries.move_to_end(key)
        self._stale += 1
        return found

    async def _refresh(self, key: Hashable, supplier: Callable[[], Awaitable[V]]) -> None:
        try:
            value, led = await self._flights.run(key, supplier)
        except Exception as error:
            self._refresh_failures += 1
            self._on_refresh_failed(key, error)
            return
        if led:
            self._put(key, value)

    def __repr__(self) -> str:
        return (
            f"<CacheStore entries={len(self._entries)}/{self._max_entries} ttl={self._ttl_s:g}s hits={self._hits}"
            f" stale={self._stale} misses={self._misses} collapsed={self._collapsed} in_flight={len(self._flights)}>"
        )


def cache(
    store: CacheStore[V],
    *,
    key: Callable[P, Hashable | None],
) -> Callable[[Callable[P, Awaitable[V]]], Callable[P, Awaitable[Outcome[V]]]]:
    """Answer from ``store``; ``key`` reads the arguments of the call. Where it says ``None`` the store is left alone.

    The decorated function returns an :class:`Outcome`: who asks must be able to tell a kept answer from a new one.
    """

    def decorate(call: Callable[P, Awaitable[V]]) -> Callable[P, Awaitable[Outcome[V]]]:
        @wraps(call)
        def cached(*args: P.args, **kwargs: P.kwargs) -> Awaitable[Outcome[V]]:
            return store.fetch(key(*args, **kwargs), call, args, kwargs)

        return cached

    return decorate
