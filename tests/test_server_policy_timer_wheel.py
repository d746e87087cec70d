"""The timer wheel under deadlines: when its timers fire, and whose wheel it is."""

from __future__ import annotations

import asyncio
import math
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import DeadlineExceeded
from server.policies.deadline import deadline, remaining_s
from server.policies.timer_wheel import TimerWheel, WheelHere
from tests.virtual_time import now, run, virtual_time

TICK_S = 0.25


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 400), st.booleans()), max_size=60))
def test_timers_fire_once_and_within_a_tick_and_stopped_ones_never(timers: list[tuple[int, int, bool]]) -> None:
    async def cancelled_at(times: list[float]) -> None:
        while True:
            try:
                await asyncio.sleep(50)
                return
            except asyncio.CancelledError:
                times.append(now())

    async def scene() -> None:
        wheel = TimerWheel(tick_s=TICK_S, clock=now, loop=asyncio.get_running_loop())
        started: list[tuple[asyncio.Task[None], list[float], float, bool]] = []
        for gap, delay, stopped in timers:
            await asyncio.sleep(gap / 10)
            times: list[float] = []
            task = asyncio.create_task(cancelled_at(times))
            ends_at = now() + delay / 10
            tick = wheel.tick(ends_at)
            tick.add(task)
            if stopped:
                tick.discard(task)
            started.append((task, times, ends_at, stopped))
        await asyncio.sleep(200)
        for task, times, ends_at, stopped in started:
            assert task.done()
            assert len(times) == (0 if stopped else 1)
            assert all(-1e-9 <= at - ends_at <= TICK_S + 1e-9 for at in times)

    run(scene())


@virtual_time
async def test_a_thousand_deadlines_in_a_tick_cost_the_loop_one_timer() -> None:
    loop = asyncio.get_running_loop()
    wheel = TimerWheel(tick_s=TICK_S, clock=now, loop=loop)
    armed = 0
    call_later = loop.call_later

    def counting(*args: object, **kwargs: object) -> object:
        nonlocal armed
        armed += 1
        return call_later(*args, **kwargs)  # type: ignore[arg-type]

    loop.call_later = counting  # type: ignore[method-assign, assignment]
    for index in range(1000):
        wheel.tick(30.0 + index * TICK_S / 1000)
    assert armed == 1


@virtual_time
async def test_a_tick_that_has_fired_is_not_used_again() -> None:
    wheel = TimerWheel(tick_s=TICK_S, clock=now, loop=asyncio.get_running_loop())
    fired = wheel.tick(1.1)
    wheel._fire(1.1 // TICK_S)  # a loop may be early by the grain of its clock
    assert not wheel.begins_at <= 1.1 < wheel.ends_at
    assert wheel.tick(1.1) is not fired


async def test_what_never_ends_needs_no_timer_and_what_is_no_number_is_refused() -> None:
    @deadline(budget_s=lambda seconds: seconds)
    async def call(seconds: float) -> float:
        await asyncio.sleep(0)
        return remaining_s()

    assert await call(math.inf) == math.inf
    with pytest.raises(ValueError, match="number"):
        await call(math.nan)
    with pytest.raises(ValueError, match="tick_s"):
        deadline(tick_s=math.inf)


def test_a_call_that_is_thrown_away_unfinished_makes_no_noise(capsys: pytest.CaptureFixture[str]) -> None:
    @deadline(default_s=5.0)
    async def call() -> None:
        await asyncio.get_running_loop().create_future()

    async def leave_it() -> object:
        coroutine = call()
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        return coroutine

    loop = asyncio.new_event_loop()
    coroutine = loop.run_until_complete(leave_it())
    loop.close()
    coroutine.close()  # type: ignore[attr-defined]  # as the garbage collector does, outside the task's context
    assert capsys.readouterr().err == ""


# One decorated function in several loops


@deadline(default_s=0.05, tick_s=0.01)
async def too_long() -> None:
    await asyncio.sleep(20)


async def runs_out() -> bool:
    try:
        await too_long()
    except DeadlineExceeded:
        return True
    return False


def test_time_runs_out_in_one_loop_after_another() -> None:
    assert asyncio.run(runs_out())
    assert asyncio.run(runs_out())


def test_time_runs_out_in_a_thread_while_another_thread_is_inside_a_task() -> None:
    async def run_a_thread_inside_this_task() -> list[bool]:
        seen = [await runs_out()]
        thread = threading.Thread(target=lambda: seen.append(asyncio.run(runs_out())))
        thread.start()
        thread.join()  # holding up this loop: its task stays the current one
        return [*seen, await runs_out()]

    assert asyncio.run(run_a_thread_inside_this_task()) == [True, True, True]


def test_time_runs_out_in_a_child_that_was_forked_inside_a_task() -> None:
    async def fork_inside_this_task() -> int:
        await runs_out()
        child = os.fork()
        if child == 0:
            ran_out = False
            try:
                ran_out = asyncio.run(runs_out())
            finally:
                os._exit(0 if ran_out else 1)
        return child

    _, status = os.waitpid(asyncio.run(fork_inside_this_task()), 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_outside_a_task_there_is_nothing_to_cancel() -> None:
    here = WheelHere(tick_s=TICK_S, clock=now)
    with pytest.raises(RuntimeError):
        here.renew()
