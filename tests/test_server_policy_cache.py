"""Cache: what is kept, for how long, for whom, and what the caller is told."""

from __future__ import annotations

import asyncio
import math
from contextvars import ContextVar

import pytest
from async_lru import alru_cache
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import UpstreamBlocked, UpstreamUnavailable
from server.policies.cache import CacheStore, Outcome, cache
from server.policies.cache_key import cache_key
from tests.virtual_time import now, run, virtual_time


class Upstream:
    """Answers ``v1``, ``v2``, ... after ``takes_s``, or fails with ``error``."""

    def __init__(self, takes_s: float = 1.0) -> None:
        self.takes_s = takes_s
        self.error: Exception | None = None
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        call = self.calls
        await asyncio.sleep(self.takes_s)
        if self.error is not None:
            raise self.error
        return f"v{call}"


@virtual_time
async def test_every_caller_learns_how_its_answer_was_come_by() -> None:
    store, upstream = CacheStore[str](ttl_s=300, clock=now), Upstream()

    @cache(store, key=lambda prompt, fresh=False: None if fresh else prompt)
    async def ask(prompt: str, fresh: bool = False) -> str:
        return await upstream()

    first, second = await asyncio.gather(ask("a"), ask("a"))
    assert first == Outcome("v1", "miss", 300)
    assert second == Outcome("v1", "collapsed", 300)
    await asyncio.sleep(100)
    assert await ask("a") == Outcome("v1", "hit", 200)
    assert await ask("a", fresh=True) == Outcome("v2", "bypass", 0)
    assert (await ask("a")).value == "v1", "a bypass writes nothing"
    assert store.snapshot()._asdict() == {
        "entries": 1,
        "in_flight": 0,
        "hits": 2,
        "stale": 0,
        "misses": 1,
        "collapsed": 1,
        "bypassed": 1,
        "evicted": 0,
        "refresh_failures": 0,
    }


@virtual_time
async def test_an_answer_is_fresh_until_its_ttl_and_not_a_moment_longer() -> None:
    store, upstream = CacheStore[str](ttl_s=300, clock=now), Upstream(takes_s=0)
    await store.fetch("key", upstream)
    await asyncio.sleep(299.5)
    assert store.lookup("key") == Outcome("v1", "hit", 0.5)
    await asyncio.sleep(0.5)
    assert store.lookup("key") is None
    assert store.peek("key") == Outcome("v1", "stale", 0.0)
    assert (await store.fetch("key", upstream)).value == "v2"


@given(keys=st.lists(st.integers(0, 6), max_size=60), size=st.integers(1, 5))
def test_hits_and_evictions_are_those_of_async_lru(keys: list[int], size: int) -> None:
    async def scene() -> tuple[list[int], list[int]]:
        ours: list[int] = []
        theirs: list[int] = []
        store = CacheStore[int](max_entries=size, clock=now)

        @cache(store, key=lambda key: key)
        async def our_call(key: int) -> int:
            ours.append(key)
            return key

        @alru_cache(maxsize=size)
        async def their_call(key: int) -> int:
            theirs.append(key)
            return key

        for key in keys:
            assert (await our_call(key)).value == await their_call(key) == key
        info, snapshot = their_call.cache_info(), store.snapshot()
        assert (snapshot.hits, snapshot.misses, snapshot.entries) == (info.hits, info.misses, info.currsize)
        await their_call.cache_close()
        return ours, theirs

    ours, theirs = run(scene())
    assert ours == theirs


@virtual_time
async def test_a_value_fetched_anew_counts_as_used() -> None:
    store, upstream = CacheStore[str](ttl_s=10, max_entries=2, clock=now), Upstream(takes_s=0)
    await store.fetch("old", upstream)
    await store.fetch("other", upstream)
    await asyncio.sleep(11)
    await store.fetch("old", upstream)
    await store.fetch("third", upstream)
    assert [store.peek(key) is not None for key in ("old", "other", "third")] == [True, False, True]


@virtual_time
async def test_a_failure_is_not_kept() -> None:
    store, upstream = CacheStore[str](clock=now), Upstream()
    upstream.error = UpstreamUnavailable("down")
    results = await asyncio.gather(*(store.fetch("key", upstream) for _ in range(20)), return_exceptions=True)
    assert results == [upstream.error] * 20
    upstream.error = None
    assert await store.fetch("key", upstream) == Outcome("v2", "miss", 300)


@virtual_time
async def test_stale_while_revalidate_answers_at_once_and_refreshes_once_behind() -> None:
    store, upstream = CacheStore[str](ttl_s=10, stale_while_revalidate_s=5, clock=now), Upstream(takes_s=1)
    await store.fetch("key", upstream)  # fresh from 1 to 11 s, stale to 16 s
    await asyncio.sleep(12)
    began = now()
    answers = await asyncio.gather(*(store.fetch("key", upstream) for _ in range(100)))
    assert set(answers) == {Outcome("v1", "stale", -2.0)}
    assert now() == began
    for _ in range(100):
        await store.fetch("key", upstream)
    assert len(asyncio.all_tasks()) == 2, "this test and one refresh"
    await asyncio.sleep(1)
    assert store.lookup("key") == Outcome("v2", "hit", 10.0)
    assert upstream.calls == 2


@virtual_time
async def test_beyond_the_stale_window_callers_wait_and_join_a_refresh_under_way() -> None:
    store, upstream = CacheStore[str](ttl_s=10, stale_while_revalidate_s=5, clock=now), Upstream(takes_s=1)
    await store.fetch("key", upstream)
    upstream.takes_s = 4
    await asyncio.sleep(13)
    assert (await store.fetch("key", upstream)).status == "stale"
    await asyncio.sleep(3)  # 17 s: the window ended at 16 s, the refresh ends at 18 s
    assert await store.fetch("key", upstream) == Outcome("v2", "collapsed", 10.0)
    assert (upstream.calls, now()) == (2, 18.0)


@virtual_time
async def test_a_refresh_does_not_carry_the_context_of_the_request_that_set_it_off() -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    seen: list[str] = []

    async def supplier() -> str:
        seen.append(request.get())
        return "value"

    store = CacheStore[str](ttl_s=10, stale_while_revalidate_s=5, clock=now)
    request.set("one")
    await store.fetch("key", supplier)
    await asyncio.sleep(11)
    await store.fetch("key", supplier)
    await asyncio.sleep(0)
    assert seen == ["one", "none"]


@virtual_time
async def test_a_failed_refresh_is_counted_and_told_and_the_old_answer_stays() -> None:
    told: list[tuple[object, Exception]] = []
    store = CacheStore[str](
        ttl_s=10, stale_while_revalidate_s=50, clock=now, on_refresh_failed=lambda key, error: told.append((key, error))
    )
    upstream = Upstream(takes_s=0)
    await store.fetch("key", upstream)
    await asyncio.sleep(11)
    upstream.error = UpstreamUnavailable("down")
    await store.fetch("key", upstream)
    await asyncio.sleep(1)
    assert told == [("key", upstream.error)]
    assert store.snapshot().refresh_failures == 1
    assert (await store.fetch("key", upstream)).value == "v1"
    await store.aclose()


@virtual_time
async def test_closing_ends_refreshes_under_way() -> None:
    store, upstream = CacheStore[str](ttl_s=10, stale_while_revalidate_s=50, clock=now), Upstream(takes_s=0)
    await store.fetch("key", upstream)
    await asyncio.sleep(11)
    upstream.takes_s = 1000
    await store.fetch("key", upstream)
    await asyncio.sleep(1)
    await store.aclose()
    assert (now(), store.snapshot().in_flight) == (12.0, 0)


@virtual_time
async def test_stale_if_error_answers_the_leader_and_its_followers_but_hides_no_refusal() -> None:
    store, upstream = CacheStore[str](ttl_s=10, stale_if_error_s=60, clock=now), Upstream(takes_s=0)
    await store.fetch("key", upstream)
    await asyncio.sleep(15)
    upstream.takes_s = 1.0
    upstream.error = UpstreamUnavailable("down")
    answers = await asyncio.gather(*(store.fetch("key", upstream) for _ in range(10)))
    assert answers == [Outcome("v1", "stale", -6.0)] * 10
    assert upstream.calls == 2
    upstream.error = UpstreamBlocked("refused")
    with pytest.raises(UpstreamBlocked):
        await store.fetch("key", upstream)
    upstream.error = UpstreamUnavailable("down")
    await asyncio.sleep(60)
    with pytest.raises(UpstreamUnavailable):
        await store.fetch("key", upstream)


@virtual_time
async def test_a_cancelled_leader_costs_the_others_no_answer_and_the_answer_is_kept() -> None:
    store, upstream = CacheStore[str](clock=now), Upstream(takes_s=1)
    leader, *others = [asyncio.create_task(store.fetch("key", upstream)) for _ in range(5)]
    await asyncio.sleep(0.5)
    leader.cancel()
    answers = await asyncio.gather(*others)
    assert sorted(answer.status for answer in answers) == ["collapsed"] * 3 + ["miss"]
    assert store.lookup("key") == Outcome("v2", "hit", 300.0)


@virtual_time
async def test_discard_and_clear_forget() -> None:
    store, upstream = CacheStore[str](clock=now), Upstream(takes_s=0)
    for key in "abc":
        await store.fetch(key, upstream)
    store.discard("a")
    store.discard("never there")
    assert (store.lookup("a"), store.lookup("b")) == (None, Outcome("v2", "hit", 300.0))
    store.clear()
    assert store.snapshot().entries == 0


@pytest.mark.parametrize("wrong", [{"ttl_s": 0}, {"max_entries": 0}, {"stale_if_error_s": -1}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a cache needs"):
        CacheStore(**wrong)


# The key

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
PARTS = st.lists(
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner))
)


def exactly(value: object) -> object:
    """The value with its types, so that 1, 1.0 and True differ, as they do in JSON; the order of dict keys left out."""
    if isinstance(value, list | tuple):
        return ("list", *map(exactly, value))
    if isinstance(value, dict):
        return ("dict", *sorted((key, exactly(inner)) for key, inner in value.items()))
    if isinstance(value, float):
        return ("float", value, math.copysign(1.0, value))
    return (type(value).__name__, value)


@settings(max_examples=40)
@given(PARTS, PARTS)
def test_keys_agree_exactly_when_the_parts_do(one: list[object], other: list[object]) -> None:
    same = repr(exactly(one)) == repr(exactly(other))
    assert (cache_key("tenant", *one) == cache_key("tenant", *other)) == same


@given(st.dictionaries(st.text("abc", max_size=3), SCALARS))
def test_the_order_of_dict_keys_does_not_matter(parameters: dict[str, object]) -> None:
    backwards = dict(reversed(parameters.items()))
    assert cache_key("tenant", parameters) == cache_key("tenant", backwards)


def test_moving_a_border_between_parts_changes_the_key() -> None:
    keys = [cache_key("t", "ab", "c"), cache_key("t", "a", "bc"), cache_key("t", ["ab", "c"]), cache_key("t", "abc")]
    assert len(set(keys)) == 4


def test_tenants_cannot_share_a_key_even_where_digests_collide() -> None:
    assert cache_key("one", "prompt")[1] == cache_key("two", "prompt")[1]
    assert cache_key("one", "prompt") != cache_key("two", "prompt")


def test_another_seed_gives_other_digests_and_the_same_one_the_same() -> None:
    assert cache_key("t", "prompt", seed=1) == cache_key("t", "prompt", seed=1) != cache_key("t", "prompt", seed=2)


@pytest.mark.parametrize("part", [b"bytes", {1: "int key"}, {1, 2}, object()])
def test_what_json_does_not_have_is_refused(part: object) -> None:
    with pytest.raises(TypeError):
        cache_key("t", part)
