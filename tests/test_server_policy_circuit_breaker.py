"""Circuit breaker: when it opens, who passes when it is half-open, and what counts."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import CircuitOpen, RateLimited, UpstreamBlocked, UpstreamUnavailable
from server.policies.circuit_breaker import BreakerChange, CircuitBreaker, circuit_breaker
from tests.virtual_time import now, virtual_time


class Upstream:
    """Takes ``takes_s``, then answers or fails with ``error``."""

    def __init__(self) -> None:
        self.takes_s = 0.0
        self.error: Exception | None = None
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        error = self.error
        await asyncio.sleep(self.takes_s)
        if error is not None:
            raise error
        return "answer"


async def outcomes(call: object, count: int) -> list[str]:
    """Names of what ``count`` concurrent calls came to."""
    results = await asyncio.gather(*(call() for _ in range(count)), return_exceptions=True)  # type: ignore[operator]
    return [result if isinstance(result, str) else type(result).__name__ for result in results]


async def opened(upstream: Upstream, **settings: float) -> CircuitBreaker:
    """A breaker that ten failures have just opened."""
    breaker = CircuitBreaker(min_calls=10, clock=now, **settings)  # type: ignore[arg-type]
    upstream.error = UpstreamUnavailable("down")
    await outcomes(circuit_breaker(breaker)(upstream), 10)
    assert breaker.state == "open"
    upstream.calls = 0
    return breaker


@given(
    calls=st.lists(st.tuples(st.integers(0, 25) | st.integers(80, 130), st.booleans(), st.booleans()), max_size=150),
    failure_rate=st.sampled_from([0.25, 0.5, 1.0]),
    slow_rate=st.sampled_from([0.25, 0.75, 1.0]),
    min_calls=st.integers(1, 12),
)
def test_opens_exactly_when_a_list_of_all_calls_says_so(
    calls: list[tuple[int, bool, bool]], failure_rate: float, slow_rate: float, min_calls: int
) -> None:
    """Times in tenths of a second; the window is ten slots of a second."""
    at = 0.0
    breaker = CircuitBreaker(
        failure_rate=failure_rate, slow_rate=slow_rate, slow_call_s=5, min_calls=min_calls, clock=lambda: at
    )
    seen: list[tuple[int, bool, bool]] = []
    tenths = 0
    for gap, failed, slow in calls:
        tenths += gap
        at = tenths / 10
        breaker.record(breaker.enter(), at - (5 if slow else 1), failed)
        slot = tenths // 10
        seen = [call for call in seen if call[0] > slot - 10] + [(slot, failed, slow)]
        n_failed, n_slow = sum(call[1] for call in seen), sum(call[2] for call in seen)
        should_open = len(seen) >= min_calls and (
            n_failed >= failure_rate * len(seen) or n_slow >= slow_rate * len(seen)
        )
        assert breaker.state == ("open" if should_open else "closed")
        if should_open:
            break
        assert breaker.snapshot()[1:4] == (len(seen), n_failed, n_slow)


@virtual_time
async def test_an_open_circuit_refuses_without_calling_and_says_for_how_long() -> None:
    upstream = Upstream()
    breaker = await opened(upstream, open_s=5.0)
    await asyncio.sleep(2)
    with pytest.raises(CircuitOpen) as refused:
        await circuit_breaker(breaker)(upstream)()
    assert refused.value.retry_after_s == 3.0
    assert (upstream.calls, breaker.refused) == (0, 1)


@pytest.mark.parametrize("probes", [1, 5, 49])
@virtual_time
async def test_of_fifty_callers_exactly_as_many_as_there_are_probes_pass(probes: int) -> None:
    upstream = Upstream()
    breaker = await opened(upstream, probes=probes)
    upstream.error, upstream.takes_s = None, 1.0
    await asyncio.sleep(5)
    call = circuit_breaker(breaker)(upstream)
    results = await outcomes(call, 50)
    assert (results.count("answer"), results.count("CircuitOpen"), upstream.calls) == (probes, 50 - probes, probes)
    assert breaker.state == "closed"
    assert await outcomes(call, 50) == ["answer"] * 50


@virtual_time
async def test_failing_probes_reopen_it_for_the_whole_time() -> None:
    upstream = Upstream()
    breaker = await opened(upstream, probes=4, open_s=5.0)
    await asyncio.sleep(5)
    call = circuit_breaker(breaker)(upstream)
    assert (await outcomes(call, 50)).count("UpstreamUnavailable") == 4
    assert breaker.state == "open"
    await asyncio.sleep(4.9)
    assert await outcomes(call, 50) == ["CircuitOpen"] * 50
    assert breaker.opened == 2


@virtual_time
async def test_slow_probes_reopen_it_too() -> None:
    upstream = Upstream()
    breaker = await opened(upstream, probes=2, slow_call_s=3.0)
    upstream.error, upstream.takes_s = None, 3.0
    await asyncio.sleep(5)
    await outcomes(circuit_breaker(breaker)(upstream), 2)
    assert breaker.state == "open"


@virtual_time
async def test_a_cancelled_probe_gives_its_place_back_and_no_more_than_that() -> None:
    upstream = Upstream()
    breaker = await opened(upstream, probes=3)
    upstream.error, upstream.takes_s = None, 2.0
    await asyncio.sleep(5)
    call = circuit_breaker(breaker)(upstream)
    probes = [asyncio.create_task(call()) for _ in range(3)]
    await asyncio.sleep(1)
    assert await outcomes(call, 1) == ["CircuitOpen"]
    for probe in probes[:2]:
        probe.cancel()
    await asyncio.wait(probes[:2])
    assert (await outcomes(call, 50)).count("answer") == 2
    await probes[2]
    assert breaker.state == "closed"


@virtual_time
async def test_a_probe_cancelled_after_having_been_slow_counts_as_slow() -> None:
    upstream = Upstream()
    breaker = await opened(upstream, probes=1, slow_call_s=10.0)
    upstream.error, upstream.takes_s = None, math.inf
    await asyncio.sleep(5)
    hanging = asyncio.create_task(circuit_breaker(breaker)(hang)())
    await asyncio.sleep(10)
    hanging.cancel()
    await asyncio.wait([hanging])
    assert breaker.state == "open"


async def hang() -> None:
    await asyncio.sleep(1e9)


@virtual_time
async def test_an_upstream_that_only_hangs_opens_it_through_the_callers_deadlines() -> None:
    breaker = CircuitBreaker(min_calls=10, slow_call_s=10.0, window_s=60.0, clock=now)
    call = circuit_breaker(breaker)(hang)
    await asyncio.gather(*(asyncio.wait_for(call(), 10.0) for _ in range(9)), return_exceptions=True)
    assert breaker.state == "closed"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call(), 10.0)
    assert breaker.state == "open"


@virtual_time
async def test_refused_prompts_and_our_own_limits_are_nobodys_failure() -> None:
    breaker = CircuitBreaker(min_calls=1, clock=now)
    upstream = Upstream()
    call = circuit_breaker(breaker)(upstream)
    for error in (UpstreamBlocked("refused"), RateLimited("ours")):
        upstream.error = error
        assert await outcomes(call, 20) == [type(error).__name__] * 20
    assert breaker.state == "closed"
    upstream.error = KeyError("nobody foresaw this")
    await outcomes(call, 1)
    assert breaker.state == "open"


@virtual_time
async def test_calls_begun_before_it_opened_do_not_decide_for_the_probes() -> None:
    breaker = CircuitBreaker(min_calls=10, probes=1, slow_call_s=math.inf, clock=now)
    upstream = Upstream()
    call = circuit_breaker(breaker)(upstream)
    upstream.takes_s, upstream.error = 6.0, UpstreamUnavailable("late news")
    late = [asyncio.create_task(call()) for _ in range(5)]
    await asyncio.sleep(0)
    upstream.takes_s = 0.0
    await outcomes(call, 10)
    upstream.takes_s, upstream.error = 3.0, None
    await asyncio.sleep(5)
    probe = asyncio.create_task(call())
    await asyncio.wait(late)
    assert breaker.state == "half_open"
    await probe
    assert breaker.state == "closed"
    assert breaker.snapshot().calls == 0


@virtual_time
async def test_every_change_of_state_is_told_with_its_reason() -> None:
    changes: list[BreakerChange] = []
    breaker = CircuitBreaker(min_calls=2, probes=1, on_change=changes.append, clock=now)
    upstream = Upstream()
    call = circuit_breaker(breaker)(upstream)
    upstream.error = UpstreamUnavailable("down")
    await outcomes(call, 2)
    upstream.error = None
    await asyncio.sleep(5)
    await outcomes(call, 1)
    assert [(change.before, change.after) for change in changes] == [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "closed"),
    ]
    assert "2 failed" in changes[0].reason


@pytest.mark.parametrize(
    "wrong", [{"failure_rate": 0}, {"slow_rate": 1.5}, {"probes": 0}, {"min_calls": 0}, {"open_s": 0}, {"window_s": 0}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"needs|rates"):
        CircuitBreaker(**wrong)  # type: ignore[arg-type]
