"""Rate limit: GCRA against a token bucket, a leaky bucket (aiolimiter) and moving windows (limits)."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from functools import reduce

import pytest
from aiolimiter import AsyncLimiter
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from server.errors import RateLimited
from server.policies.rate_limit import Rate, RateLimiter, rate_limit
from tests.virtual_time import now, run, virtual_time

# Multiples of 1/64 s: floats hold them exactly, so that the oracles cannot differ by rounding.
GAPS = st.lists(st.integers(0, 200).map(lambda n: n / 64), max_size=120)
RATES = st.builds(Rate, per_s=st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0, 8.0]), burst=st.integers(1, 9))


class TokenBucket:
    """The textbook: refilled at ``per_s``, ``burst`` at most, a call takes one."""

    def __init__(self, rate: Rate) -> None:
        self.rate, self.tokens, self.at = rate, float(rate.burst), 0.0

    def wait_s(self, at: float) -> float:
        self.tokens = min(self.rate.burst, self.tokens + (at - self.at) * self.rate.per_s)
        self.at = at
        return max(0.0, (1 - self.tokens) / self.rate.per_s)

    def take(self) -> None:
        self.tokens -= 1


def admitted(limiter: RateLimiter, key: str = "", max_wait_s: float = 0.0) -> float | None:
    """The wait, ``None`` if refused."""
    try:
        return limiter.reserve(key, max_wait_s=max_wait_s)
    except RateLimited:
        return None


@pytest.mark.parametrize("limit", ["overall", "per_key"])
@given(gaps=GAPS, rate=RATES, patience_s=st.sampled_from([0.0, 0.5, 3.0]))
def test_gcra_is_a_token_bucket(limit: str, gaps: list[float], rate: Rate, patience_s: float) -> None:
    """With patience the bucket goes into debt: the wait is the time until the debt is paid."""
    at = 0.0
    limiter, bucket = RateLimiter(**{limit: rate}, clock=lambda: at), TokenBucket(rate)  # type: ignore[arg-type]
    for gap in gaps:
        at += gap
        expected = bucket.wait_s(at)
        if limit == "overall":
            assert limiter.tokens == pytest.approx(max(0.0, bucket.tokens), abs=0.01)
        wait_s = admitted(limiter, max_wait_s=patience_s + 0.001)
        if expected > patience_s:
            assert wait_s is None
        else:
            assert wait_s == pytest.approx(expected, abs=0.005)
            bucket.take()


@given(gaps=GAPS, rate=RATES)
def test_lets_through_what_aiolimiter_lets_through(gaps: list[float], rate: Rate) -> None:
    async def scene() -> None:
        ours = RateLimiter(overall=rate, clock=now)
        theirs = AsyncLimiter(rate.burst, rate.burst / rate.per_s)
        for gap in gaps:
            await asyncio.sleep(gap)
            has_capacity = theirs.has_capacity()
            assert (admitted(ours) is not None) == has_capacity
            if has_capacity:
                await theirs.acquire()

    run(scene())


@given(gaps=GAPS, rate=RATES, window_s=st.integers(1, 20))
def test_no_window_of_limits_ever_sees_more_than_burst_and_rate(gaps: list[float], rate: Rate, window_s: int) -> None:
    """The moving window of ``limits``, given what the formula allows in it, has nothing to object to."""
    at = 0.0
    limiter = RateLimiter(overall=rate, clock=lambda: at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limits.storage.memory.time.time", lambda: at + 1)
        window = MovingWindowRateLimiter(MemoryStorage())
        item = RateLimitItemPerSecond(math.floor(rate.burst + rate.per_s * window_s), window_s)
        for gap in gaps:
            at += gap
            if admitted(limiter) is not None:
                assert window.hit(item)


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 64), st.sampled_from("abc")), max_size=100),
    per_key=RATES,
    overall=RATES,
    patience_s=st.sampled_from([0.0, 1.0, 4.0]),
    window_s=st.integers(1, 10),
)
def test_both_limits_hold_for_the_calls_as_they_start(
    arrivals: list[tuple[int, str]], per_key: Rate, overall: Rate, patience_s: float, window_s: int
) -> None:
    at = 0.0
    limiter = RateLimiter(per_key=per_key, overall=overall, clock=lambda: at)
    starts: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    longest_wait_s = 0.0
    for gap, key in arrivals:
        at += gap / 64
        wait_s = admitted(limiter, key, patience_s)
        if wait_s is not None:
            assert 0 <= wait_s <= patience_s
            longest_wait_s = max(longest_wait_s, wait_s)
            starts[key].append(at + wait_s)

    def most_in_a_window(times: list[float]) -> int:
        times = sorted(times)
        return max((bisect_left(times, first + window_s) - i for i, first in enumerate(times)), default=0)

    slack = 0.01
    for key in "abc":
        assert most_in_a_window(starts[key]) <= per_key.burst + per_key.per_s * window_s + slack
    everyone = [start for times in starts.values() for start in times]
    assert most_in_a_window(everyone) <= overall.burst + overall.per_s * (window_s + longest_wait_s) + slack


@given(start=st.floats(0, 1e7), per_s=st.floats(0.01, 1e4), burst=st.integers(1, 500), pause=st.floats(0, 10))
def test_a_full_burst_passes_whatever_the_clock_and_the_rounding(
    start: float, per_s: float, burst: int, pause: float
) -> None:
    at = start
    limiter = RateLimiter(per_key=Rate(per_s, burst), overall=Rate(per_s, burst), clock=lambda: at)
    assert [limiter.reserve("key") for _ in range(burst)] == [0.0] * burst
    at += burst / per_s * 1.01 + pause
    assert [limiter.reserve("key") for _ in range(burst)] == [0.0] * burst
    with pytest.raises(RateLimited):
        limiter.reserve("key")


def test_a_refusal_says_when_to_come_back_and_then_it_passes() -> None:
    at = 100.0
    limiter = RateLimiter(overall=Rate(per_s=2, burst=2), clock=lambda: at)
    limiter.reserve()
    limiter.reserve()
    with pytest.raises(RateLimited) as refused:
        limiter.reserve()
    assert refused.value.retry_after_s == pytest.approx(0.5, abs=0.001)
    at += refused.value.retry_after_s
    assert limiter.reserve() == 0.0
    assert limiter.refused == 1


def test_a_refusal_by_one_limit_takes_nothing_from_the_other() -> None:
    limiter = RateLimiter(per_key=Rate(1, 1), overall=Rate(1, 3), clock=lambda: 0.0)
    limiter.reserve("greedy")
    for _ in range(50):
        assert admitted(limiter, "greedy") is None
    assert limiter.tokens == pytest.approx(2.0)
    assert [admitted(limiter, key) for key in ("a", "b")] == [0.0, 0.0]
    # Now the overall limit refuses, and the key it refused has its own token still.
    assert admitted(limiter, "c") is None
    assert limiter.reserve("c", max_wait_s=1.0) == pytest.approx(1.0, abs=0.01)


def test_one_key_cannot_hold_up_another() -> None:
    limiter = RateLimiter(per_key=Rate(0.1, 1), overall=Rate(100, 100), clock=lambda: 0.0)
    for _ in range(5):
        limiter.reserve("slow", max_wait_s=60.0)
    assert limiter.reserve("other") == 0.0


def test_the_number_of_keys_is_bounded_and_debts_forgiven_are_counted() -> None:
    at = 0.0
    limiter = RateLimiter(per_key=Rate(1, 1), max_keys=10, clock=lambda: at)
    for index in range(10):
        limiter.reserve(f"old {index}")
    at = 100.0
    for index in range(1000):
        limiter.reserve(f"new {index}")
    snapshot = limiter.snapshot()
    assert snapshot.keys == 10
    assert snapshot.forgiven == 990, "the ten old keys owed nothing any more"


@given(
    calls=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), max_size=200),
    max_keys=st.integers(1, 12),
)
def test_to_forget_changes_nothing_until_it_says_so(calls: list[tuple[int, int]], max_keys: int) -> None:
    at = 0.0
    bounded = RateLimiter(per_key=Rate(1, 2), max_keys=max_keys, clock=lambda: at)
    unbounded = RateLimiter(per_key=Rate(1, 2), max_keys=1000, clock=lambda: at)
    for gap, key in calls:
        at += gap / 4
        passed, should = admitted(bounded, str(key)), admitted(unbounded, str(key))
        assert bounded.snapshot().keys <= max_keys
        if bounded.forgiven:
            break
        assert passed == should


def test_those_who_owe_the_least_are_forgotten_first() -> None:
    limiter = RateLimiter(per_key=Rate(1, 2), max_keys=2, clock=lambda: 0.0)
    for key in ("busy", "idle", "busy", "new"):
        limiter.reserve(key)
    assert admitted(limiter, "busy") is None
    assert admitted(limiter, "idle") == 0.0


@virtual_time
async def test_callers_wait_their_turn_in_order_and_the_rate_is_kept() -> None:
    limiter = RateLimiter(overall=Rate(per_s=4, burst=1), clock=now)
    started: list[tuple[int, float]] = []

    @rate_limit(limiter, max_wait_s=2.0)
    async def call(index: int) -> None:
        started.append((index, now()))

    results = await asyncio.gather(*(call(index) for index in range(12)), return_exceptions=True)
    assert [index for index, _ in started] == list(range(9))
    assert [at for _, at in started] == pytest.approx([index / 4 for index in range(9)], abs=0.001)
    assert [type(result) for result in results[9:]] == [RateLimited] * 3
    assert limiter.waiting == 0


@virtual_time
async def test_who_is_cancelled_while_waiting_gives_the_place_back() -> None:
    limiter = RateLimiter(per_key=Rate(1, 1), overall=Rate(1, 1), clock=now)

    @rate_limit(limiter, key=lambda: "key", max_wait_s=10.0)
    async def call() -> float:
        return now()

    await call()
    waiting = asyncio.create_task(call())
    await asyncio.sleep(0.25)
    assert limiter.waiting == 1
    waiting.cancel()
    await asyncio.wait([waiting])
    assert limiter.waiting == 0
    assert await call() == pytest.approx(1.0, abs=0.01), "not 2.0"


@virtual_time
async def test_who_waited_for_others_and_gave_up_owes_nothing() -> None:
    limiter = RateLimiter(per_key=Rate(1, 1), overall=Rate(1, 1), clock=now)

    @rate_limit(limiter, key=lambda key: key, max_wait_s=10.0)
    async def call(key: str) -> float:
        return now()

    await call("first")
    waiting = [asyncio.create_task(call(key)) for key in ("b", "c", "d", "late", "late")]
    await asyncio.sleep(0.25)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert limiter.tokens == pytest.approx(0.25)
    assert await call("late") == pytest.approx(1.0, abs=0.01), "not 5.0, when its turn would have come"


@given(
    calls=st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from("abc"), st.one_of(st.none(), st.integers(0, 12))), max_size=40
    ),
    per_key=st.builds(Rate, st.sampled_from([0.5, 1.0, 4.0]), st.integers(1, 3)),
    overall=st.builds(Rate, st.sampled_from([1.0, 2.0, 8.0]), st.integers(1, 3)),
)
def test_when_nobody_waits_a_key_owes_what_its_calls_cost_as_they_started(
    calls: list[tuple[int, str, int | None]], per_key: Rate, overall: Rate
) -> None:
    """Whatever waited, and whoever was cancelled while waiting."""

    async def scene() -> None:
        limiter = RateLimiter(per_key=per_key, overall=overall, clock=now)
        starts: dict[str, list[float]] = {"a": [], "b": [], "c": []}

        @rate_limit(limiter, key=lambda key: key, max_wait_s=6.0)
        async def call(key: str) -> None:
            starts[key].append(now())

        tasks = []
        for gap, key, given_up in calls:
            await asyncio.sleep(gap / 8)
            task = asyncio.create_task(call(key))
            if given_up is not None:
                asyncio.get_running_loop().call_later(given_up / 8 + 0.01, task.cancel)
            tasks.append(task)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert limiter.waiting == 0
        assert not limiter._queues
        for key, times in starts.items():
            owed = reduce(lambda tat, start: max(tat, start) + 1 / per_key.per_s, times, -math.inf)
            assert max(limiter._tats.get(key, 0.0), now()) == pytest.approx(max(owed, now()), abs=1e-6)

    run(scene())


@virtual_time
async def test_a_wait_that_would_outlast_the_deadline_is_refused_at_once() -> None:
    limiter = RateLimiter(overall=Rate(1, 1), clock=now)

    @rate_limit(limiter, max_wait_s=10.0, remaining_s=lambda: 0.5)
    async def call() -> None: ...

    await call()
    with pytest.raises(RateLimited):
        await call()
    assert now() == 0.0


@virtual_time
async def test_without_limits_everything_passes() -> None:
    limiter = RateLimiter(clock=now)
    assert [limiter.reserve("key") for _ in range(100)] == [0.0] * 100
    assert limiter.tokens == math.inf


@pytest.mark.parametrize(
    "wrong", [{"overall": Rate(0, 1)}, {"overall": Rate(math.nan, 1)}, {"per_key": Rate(1, 0)}, {"max_keys": 0}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="needs"):
        RateLimiter(**wrong)  # type: ignore[arg-type]
