"""Deadline: one budget for all that a request does; the rules of ``asyncio.timeout``, which is the oracle."""

from __future__ import annotations

import asyncio
import math

import pytest
import uvloop
from hypothesis import example, given
from hypothesis import strategies as st

from server.errors import DeadlineExceeded
from server.policies.deadline import deadline, remaining_s
from tests.virtual_time import now, run, virtual_time

TICK_S = 0.25


async def sleep(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "answer"


# Times off the grid of ticks: within one tick of each other the two may differ, and are meant to.
TIMES = st.integers(0, 40).map(lambda n: n * 0.5)


@given(
    takes_s=TIMES,
    budget_s=TIMES.map(lambda s: s + 0.1),
    cancelled_at=st.one_of(st.none(), TIMES.map(lambda s: s + 0.4)),
)
@example(takes_s=5.0, budget_s=2.1, cancelled_at=2.4)
def test_ends_as_asyncio_timeout_does(takes_s: float, budget_s: float, cancelled_at: float | None) -> None:
    async def scene(oracle: bool) -> tuple[str, float, int]:
        @deadline(default_s=budget_s, tick_s=TICK_S, clock=now)
        async def ours() -> str:
            return await sleep(takes_s)

        async def theirs() -> str:
            async with asyncio.timeout(budget_s):
                return await sleep(takes_s)

        async def main() -> tuple[str, int]:
            try:
                ended = await (theirs() if oracle else ours())
            except (TimeoutError, DeadlineExceeded):
                ended = "out of time"
            task = asyncio.current_task()
            assert task is not None
            return ended, task.cancelling()

        task = asyncio.create_task(main())
        if cancelled_at is not None:
            asyncio.get_running_loop().call_at(cancelled_at, task.cancel)
        try:
            ended, cancelling = await task
        except asyncio.CancelledError:
            ended, cancelling = "cancelled", 0
        return ended, now(), cancelling

    ended, at, cancelling = run(scene(oracle=False))
    oracle_ended, oracle_at, oracle_cancelling = run(scene(oracle=True))
    assert (ended, cancelling) == (oracle_ended, oracle_cancelling)
    assert oracle_at <= at <= oracle_at + TICK_S


def test_on_the_servers_own_loop_time_runs_out_too() -> None:
    @deadline(default_s=0.02)
    async def call() -> None:
        await asyncio.sleep(60)

    with pytest.raises(DeadlineExceeded):
        uvloop.run(call())  # type: ignore[arg-type]


@virtual_time
async def test_a_cancellation_from_outside_is_not_taken_for_its_own() -> None:
    @deadline(default_s=10.0, clock=now)
    async def call() -> None:
        await sleep(100)

    task = asyncio.create_task(call())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert now() == 1.0


@virtual_time
async def test_cancelled_from_outside_in_the_very_moment_of_expiry_it_stays_cancelled() -> None:
    @deadline(default_s=1.0, tick_s=TICK_S, clock=now)
    async def call() -> None:
        await sleep(100)

    task = asyncio.create_task(call())
    await asyncio.sleep(0.5)
    asyncio.get_running_loop().call_at(1.25, task.cancel)
    await asyncio.wait([task])
    assert now() == 1.25
    assert task.cancelled()


@virtual_time
async def test_the_budget_is_seen_in_every_task_below_and_nowhere_else() -> None:
    @deadline(default_s=10.0, clock=now)
    async def request() -> list[float]:
        await asyncio.sleep(3)
        async with asyncio.TaskGroup() as group:
            legs = [group.create_task(leg()) for _ in range(2)]
        return [remaining_s(), *(task.result() for task in legs)]

    async def leg() -> float:
        await asyncio.sleep(1)
        return remaining_s()

    assert remaining_s() == math.inf
    assert await request() == [6.0, 6.0, 6.0]
    assert remaining_s() == math.inf


@virtual_time
async def test_what_it_interrupts_is_cancelled_with_its_children() -> None:
    unwound: list[str] = []

    async def leg(name: str) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            unwound.append(name)

    @deadline(default_s=2.0, tick_s=TICK_S, clock=now)
    async def request() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(leg("a"))
            group.create_task(leg("b"))

    with pytest.raises(DeadlineExceeded):
        await request()
    assert sorted(unwound) == ["a", "b"]  # a TaskGroup cancels in no set order
    assert now() <= 2.0 + TICK_S


@given(outer_s=TIMES.map(lambda s: s + 0.5), inner_s=TIMES.map(lambda s: s + 0.5))
def test_a_deadline_inside_another_can_only_be_shorter(outer_s: float, inner_s: float) -> None:
    async def scene() -> tuple[float, str]:
        caught_by = "nobody"

        @deadline(default_s=inner_s, tick_s=TICK_S, clock=now)
        async def inner() -> None:
            assert remaining_s() == min(inner_s, outer_s)
            await asyncio.sleep(1000)

        @deadline(default_s=outer_s, tick_s=TICK_S, clock=now)
        async def outer() -> None:
            nonlocal caught_by
            try:
                await inner()
            except DeadlineExceeded:
                caught_by = "outer function"
                raise

        with pytest.raises(DeadlineExceeded):
            await outer()
        return now(), caught_by

    at, caught_by = run(scene())
    shorter = min(outer_s, inner_s)
    assert shorter <= at <= shorter + TICK_S
    assert caught_by == ("outer function" if inner_s < outer_s else "nobody")


@virtual_time
async def test_the_request_may_bring_its_own_budget() -> None:
    @deadline(default_s=30.0, budget_s=lambda ms: None if ms is None else ms / 1000, clock=now)
    async def call(ms: int | None) -> float:
        return remaining_s()

    assert await call(1500) == 1.5
    assert await call(None) == 30.0
    with pytest.raises(DeadlineExceeded):
        await call(0)


@virtual_time
async def test_without_a_budget_there_is_no_deadline() -> None:
    @deadline(default_s=None, clock=now)
    async def call() -> float:
        await asyncio.sleep(1e6)
        return remaining_s()

    assert await call() == math.inf


@virtual_time
async def test_work_that_will_not_be_cancelled_keeps_its_answer_and_leaves_no_cancellation_behind() -> None:
    @deadline(default_s=1.0, clock=now)
    async def stubborn() -> str:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return "saved"
        return "slept"

    assert await stubborn() == "saved"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


# Inside itself, and from loop to loop


@virtual_time
async def test_a_call_inside_itself_is_held_to_the_shorter_budget() -> None:
    depth = 0

    @deadline(budget_s=lambda seconds: seconds, tick_s=TICK_S, clock=now)
    async def call(seconds: float) -> None:
        nonlocal depth
        depth += 1
        if depth < 4:
            await call(seconds - 0.01)
        await asyncio.sleep(100)

    with pytest.raises(DeadlineExceeded):
        await call(5.0)
    assert 4.96 <= now() <= 5.0 + TICK_S
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@virtual_time
async def test_a_call_inside_itself_that_ends_in_time_leaves_the_outer_deadline_in_force() -> None:
    @deadline(budget_s=lambda seconds: seconds, tick_s=TICK_S, clock=now)
    async def call(seconds: float) -> None:
        if seconds == 5.1:
            await call(5.09)  # the same tick
            await asyncio.sleep(100)

    with pytest.raises(DeadlineExceeded):
        await call(5.1)
    assert 5.1 <= now() <= 5.1 + TICK_S


def test_a_decorated_function_may_go_from_one_loop_to_another() -> None:
    """As a test suite, or a server started twice in one process, does."""

    @deadline(default_s=1.0, tick_s=TICK_S, clock=lambda: now())
    async def call() -> None:
        await asyncio.sleep(5)

    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            run(call())  # type: ignore[arg-type]
