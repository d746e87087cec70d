"""Hedge: when a second call is sent, who wins, and what becomes of the loser."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.policies.hedge import HedgeDetails, Hedger, hedge
from server.policies.latency_quantile import LatencyQuantile
from tests.virtual_time import now, virtual_time


class Upstream:
    """Call ``n`` takes ``plan[n]`` seconds (negative: and fails); notes which ones were cancelled."""

    def __init__(self, *plan: float) -> None:
        self.plan = list(plan)
        self.begun = 0
        self.cancelled: list[int] = []
        self.cleanup_s = 0.0

    async def __call__(self) -> str:
        index = self.begun
        self.begun += 1
        seconds = self.plan[index]
        try:
            await asyncio.sleep(abs(seconds))
        except asyncio.CancelledError:
            await asyncio.sleep(self.cleanup_s)
            self.cancelled.append(index)
            raise
        if seconds < 0:
            raise ConnectionError(f"call {index}")
        return f"answer {index}"


def learnt(p95_s: float = 1.0) -> Hedger:
    """A hedger that has seen a thousand calls of just under ``p95_s``."""
    hedger = Hedger(clock=now)
    for _ in range(1000):
        hedger.budget.deposit()
        hedger.record(p95_s * 0.99)
    assert hedger.delay_s() == pytest.approx(p95_s, rel=0.06)
    return hedger


@given(
    latencies=st.lists(st.floats(1e-5, 100), min_size=20, max_size=400),
    quantile=st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_the_quantile_is_at_most_a_bin_above_the_true_one(latencies: list[float], quantile: float) -> None:
    live = LatencyQuantile(quantile=quantile, memory=10_000)
    for latency in latencies:
        live.record(latency)
    exact = sorted(latencies)[math.ceil(quantile * len(latencies)) - 1]
    assert exact * (1 - 1e-9) <= live.value_s() <= exact * 10 ** (1 / 40) * (1 + 1e-9)


def test_the_quantile_forgets() -> None:
    live = LatencyQuantile(quantile=0.95, memory=1000)
    for _ in range(5000):
        live.record(10.0)
    assert live.value_s() > 9
    for _ in range(6000):
        live.record(0.1)
    assert live.value_s() < 0.11
    assert live.samples <= 1000


@virtual_time
async def test_nothing_is_hedged_while_it_learns() -> None:
    hedger, upstream = Hedger(min_samples=3, clock=now), Upstream(5, 5, 5)
    call = hedge(hedger)(upstream)
    for _ in range(3):
        assert hedger.delay_s() is None
        await call()
    assert upstream.begun == 3
    assert hedger.delay_s() == pytest.approx(5, rel=0.06)


@virtual_time
async def test_a_fast_call_stays_alone() -> None:
    hedger, upstream = learnt(), Upstream(0.5)
    assert await hedge(hedger)(upstream)() == "answer 0"
    assert upstream.begun == 1


@virtual_time
async def test_the_second_wins_and_the_first_is_cancelled_and_awaited() -> None:
    told: list[HedgeDetails] = []
    hedger, upstream = learnt(), Upstream(100, 0.5)
    upstream.cleanup_s = 0.25
    assert await hedge(hedger, on_hedge=told.append)(upstream)() == "answer 1"
    delay_s = hedger.delay_s()
    assert delay_s is not None
    assert upstream.cancelled == [0]
    assert now() == pytest.approx(delay_s + 0.5 + 0.25)
    assert [(details.winner, details.loser) for details in told] == [(2, "cancelled")]
    assert hedger.snapshot()[1:] == (1, 1)


@virtual_time
async def test_the_first_may_still_win() -> None:
    hedger, upstream = learnt(), Upstream(1.5, 100)
    assert await hedge(hedger)(upstream)() == "answer 0"
    assert upstream.cancelled == [1]
    assert hedger.snapshot()[1:] == (1, 0)


@virtual_time
async def test_a_loser_that_had_its_answer_too_is_told_of_with_it() -> None:
    told: list[HedgeDetails] = []
    hedger = learnt()
    delay_s = hedger.delay_s()
    assert delay_s is not None
    both_at = delay_s + 1.0
    upstream = Upstream(both_at, 1.0)
    await hedge(hedger, on_hedge=told.append)(upstream)()
    assert [(d.winner, d.loser, d.loser_result) for d in told] == [(1, "finished", "answer 1")]


@virtual_time
async def test_one_failure_waits_for_the_other_and_two_raise_the_first_ones() -> None:
    told: list[HedgeDetails] = []
    call = hedge(learnt(), on_hedge=told.append)(Upstream(-1.5, 2.0, -5.0, -0.1))
    assert await call() == "answer 1"
    with pytest.raises(ConnectionError, match="call 2"):
        await call()
    assert [(d.winner, d.loser) for d in told] == [(2, "failed"), (0, "failed")]


@virtual_time
async def test_an_early_failure_is_raised_at_once_for_a_retry_to_deal_with() -> None:
    upstream = Upstream(-0.1)
    with pytest.raises(ConnectionError):
        await hedge(learnt())(upstream)()
    assert (upstream.begun, now()) == (1, 0.1)


@virtual_time
async def test_cancelling_the_caller_cancels_both_calls() -> None:
    upstream = Upstream(100, 100)
    task = asyncio.create_task(hedge(learnt())(upstream)())
    await asyncio.sleep(5)
    assert upstream.begun == 2
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert sorted(upstream.cancelled) == [0, 1]


@virtual_time
async def test_when_everything_becomes_slow_the_load_grows_by_the_budget_and_no_more() -> None:
    hedger = learnt(p95_s=0.1)
    upstream = Upstream(*[1.0] * 3000)
    call = hedge(hedger)(upstream)

    async def caller(at: float) -> None:
        await asyncio.sleep(at)
        await call()

    await asyncio.gather(*(caller(index / 100) for index in range(2000)))
    hedged = upstream.begun - 2000
    # The thousand calls it learnt from are in the budget's first window too.
    assert 20 <= hedged <= 0.05 * 3000 + 0.1 * 20 + 1
    assert hedger.hedged == hedged


def test_a_hedger_that_wants_many_samples_learns_in_the_end() -> None:
    hedger = Hedger(min_samples=5000)
    for _ in range(4999):
        hedger.record(1.0)
    assert hedger.delay_s() is None
    for _ in range(100_000):
        hedger.record(1.0)
        assert hedger.delay_s() is not None
