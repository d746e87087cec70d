"""Retry: what is tried again, how long it waits, and what stops it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import stamina
import stamina.instrumentation
from hypothesis import given
from hypothesis import strategies as st

from server.errors import RateLimited, UpstreamQuotaExhausted, UpstreamUnavailable
from server.policies.retry import RetryDetails, full_jitter_s, retry
from server.policies.retry_budget import RetryBudget
from tests.virtual_time import now, run, virtual_time

ALMOST_ONE = 1.0 - 2**-53


class Flaky:
    """Fails with each of ``errors`` in turn, then answers; notes when it was called."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = deque(errors)
        self.called_at: list[float] = []

    async def __call__(self) -> str:
        self.called_at.append(now())
        if self.errors:
            raise self.errors.popleft()
        return "answer"


def unavailable(retry_after_s: float | None = None) -> UpstreamUnavailable:
    return UpstreamUnavailable("down", upstream_status=503, retry_after_s=retry_after_s)


@given(
    attempt=st.integers(1, 5000),
    base_s=st.floats(0, 1e3),
    cap_s=st.floats(0, 1e4),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_backoff_lies_between_nothing_and_the_capped_exponential(
    attempt: int, base_s: float, cap_s: float, draw: float
) -> None:
    wait_s = full_jitter_s(attempt, base_s=base_s, max_wait_s=cap_s, random=lambda: draw)
    assert 0 <= wait_s <= cap_s
    if attempt < 60:
        assert wait_s <= base_s * 2 ** (attempt - 1)
        assert wait_s == draw * min(cap_s, base_s * 2 ** (attempt - 1))


@given(failures=st.integers(0, 8), attempts=st.integers(1, 6), base_s=st.floats(0.01, 2), cap_s=st.floats(0.01, 10))
def test_at_its_longest_it_waits_and_gives_up_exactly_as_stamina(
    failures: int, attempts: int, base_s: float, cap_s: float
) -> None:
    """Full jitter is uniform below the exponential; stamina without jitter is that exponential."""

    async def attempts_of(library: str) -> tuple[list[float], bool]:
        call = Flaky(*(unavailable() for _ in range(failures)))
        if library == "stamina":
            tried = stamina.retry(
                on=UpstreamUnavailable,
                attempts=attempts,
                timeout=None,
                wait_initial=base_s,
                wait_max=cap_s,
                wait_jitter=0,
            )(call.__call__)
        else:
            tried = retry(attempts=attempts, base_s=base_s, max_wait_s=cap_s, random=lambda: ALMOST_ONE)(call)
        try:
            await tried()
        except UpstreamUnavailable:
            return call.called_at, False
        return call.called_at, True

    stamina.instrumentation.set_on_retry_hooks([])
    ours, ours_answered = run(attempts_of("ours"))
    theirs, theirs_answered = run(attempts_of("stamina"))
    assert ours == pytest.approx(theirs)
    assert ours_answered == theirs_answered == (failures < attempts)


@virtual_time
async def test_a_pause_asked_for_is_kept_with_the_jitter_on_top() -> None:
    call = Flaky(unavailable(7.5))
    assert await retry(base_s=0.2, random=lambda: 0.5)(call)() == "answer"
    assert call.called_at == [0.0, 7.6]


@given(
    asked_s=st.one_of(st.none(), st.floats(0, 100)),
    left_s=st.floats(0, 20),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_never_sleeps_past_the_deadline(asked_s: float | None, left_s: float, draw: float) -> None:
    async def ended_at() -> tuple[float, int]:
        call = Flaky(*(unavailable(asked_s) for _ in range(9)))
        with pytest.raises(UpstreamUnavailable):
            await retry(attempts=9, base_s=1, random=lambda: draw, remaining_s=lambda: left_s - now())(call)()
        return now(), len(call.called_at)

    ended, calls = run(ended_at())
    assert ended < left_s or (ended == 0 and calls == 1)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(unavailable(60.1), id="asks for a longer pause than max_wait_s"),
        pytest.param(UpstreamQuotaExhausted("today's quota", retry_after_s=1.0), id="per-day quota"),
        pytest.param(RateLimited("our own limit", retry_after_s=0.1), id="our own rate limit"),
        pytest.param(ValueError("a bug"), id="bug"),
        pytest.param(asyncio.CancelledError(), id="cancelled"),
    ],
)
@virtual_time
async def test_final_failures_are_raised_at_once(error: BaseException) -> None:
    call = Flaky(error)
    with pytest.raises(type(error)) as raised:
        await retry()(call)()
    assert raised.value is error
    assert call.called_at == [0.0]


@virtual_time
async def test_timeouts_and_broken_connections_are_retried_without_being_told() -> None:
    call = Flaky(TimeoutError(), ConnectionResetError())
    assert await retry()(call)() == "answer"
    assert len(call.called_at) == 3


@virtual_time
async def test_hook_sees_each_retry_and_its_context_is_held_for_the_pause() -> None:
    seen: list[RetryDetails] = []
    held: list[tuple[float, float]] = []

    @contextmanager
    def pause() -> Iterator[None]:
        began = now()
        yield
        held.append((began, now()))

    def on_retry(details: RetryDetails) -> object:
        seen.append(details)
        return pause()

    errors = [unavailable(), unavailable()]
    call = Flaky(*errors)
    await retry(base_s=1.0, random=lambda: 0.5, on_retry=on_retry)(call)()
    assert [(d.attempt, d.wait_s, d.waited_s, d.error) for d in seen] == [
        (1, 0.5, 0.0, errors[0]),
        (2, 1.0, 0.5, errors[1]),
    ]
    assert held == [(0.0, 0.5), (0.5, 1.5)]


@virtual_time
async def test_the_last_error_is_not_chained_to_the_ones_before() -> None:
    with pytest.raises(UpstreamUnavailable) as raised:
        await retry(attempts=3)(Flaky(unavailable(), unavailable(), unavailable()))()
    assert raised.value.__context__ is None


@virtual_time
async def test_cancelled_while_waiting_makes_no_further_call() -> None:
    call = Flaky(unavailable(30.0))
    task = asyncio.create_task(retry()(call)())
    await asyncio.sleep(10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (len(call.called_at), now()) == (1, 10.0)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"base_s": -1}, {"base_s": math.nan}, {"max_wait_s": -1}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="retry needs"):
        retry(**wrong)  # type: ignore[arg-type]


# The budget


@given(
    events=st.lists(st.tuples(st.integers(0, 30) | st.integers(80, 130), st.booleans()), max_size=200),
    ratio=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    min_per_s=st.sampled_from([0.0, 0.5, 2.0]),
)
def test_budget_allows_what_a_list_of_all_events_allows(
    events: list[tuple[int, bool]], ratio: float, min_per_s: float
) -> None:
    """Times in tenths of a second; slots of one second over a window of ten."""
    clock = 0.0
    budget = RetryBudget(ratio=ratio, min_per_s=min_per_s, window_s=10.0, clock=lambda: clock)
    calls: list[int] = []
    extra: list[int] = []
    tenths = 0
    for passed, is_retry in events:
        tenths += passed
        clock = tenths / 10
        in_window = range(tenths // 10 - 9, tenths // 10 + 1)
        n_calls = sum(slot in in_window for slot in calls)
        n_extra = sum(slot in in_window for slot in extra)
        if not is_retry:
            budget.deposit()
            calls.append(tenths // 10)
            continue
        allowed = n_extra + 1 <= ratio * n_calls + min_per_s * 10
        assert budget.withdraw() == allowed
        if allowed:
            extra.append(tenths // 10)
    assert budget.withdrawn == len(extra)


@virtual_time
async def test_a_brownout_is_amplified_by_a_fifth_and_the_floor_at_most() -> None:
    """A hundred calls a second that all fail, for a minute: 3 attempts each would be 300 a second."""
    budget = RetryBudget(ratio=0.2, min_per_s=1.0, clock=now)
    made = 0

    @retry(attempts=3, base_s=0.01, budget=budget)
    async def call() -> None:
        nonlocal made
        made += 1
        raise unavailable()

    async with asyncio.TaskGroup() as group:
        for index in range(6000):

            async def one(at: float) -> None:
                await asyncio.sleep(at)
                with pytest.raises(UpstreamUnavailable):
                    await call()

            group.create_task(one(index / 100))
    # In each of six windows of ten seconds a fifth of a thousand calls, and ten from the floor; the last call's retries
    # fall into a seventh.
    assert 6000 + 6 * 200 < made <= 6000 + 6 * 210 + 2
    assert budget.snapshot().withdrawn == made - 6000
    assert budget.snapshot().refused > 0
