"""Single-flight: one call for all who ask at once, whoever of them is cancelled or fails."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import DeadlineExceeded, UpstreamUnavailable
from server.policies.single_flight import SingleFlight
from tests.virtual_time import now, run, virtual_time


class Upstream:
    """Answers after ``takes_s``; counts calls begun and ended, and how many ran at once."""

    def __init__(self, takes_s: float = 1.0, error: Exception | None = None) -> None:
        self.takes_s = takes_s
        self.error = error
        self.begun = self.answered = self.running = self.most_running = 0

    async def __call__(self) -> str:
        self.begun += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        self.answered += 1
        return f"answer {self.answered}"


@virtual_time
async def test_a_thousand_callers_make_one_call() -> None:
    flights, upstream = SingleFlight[str, str](), Upstream()
    answers = await asyncio.gather(*(flights.run("key", upstream) for _ in range(1000)))
    assert upstream.begun == 1
    assert {value for value, _ in answers} == {"answer 1"}
    assert sum(led for _, led in answers) == 1
    assert len(flights) == 0


@virtual_time
async def test_other_keys_fly_apart() -> None:
    flights, upstream = SingleFlight[int, str](), Upstream()
    await asyncio.gather(*(flights.run(key, upstream) for key in range(5)))
    assert upstream.begun == upstream.most_running == 5


@virtual_time
async def test_a_failed_leader_fails_its_followers_once_and_the_next_caller_leads_anew() -> None:
    flights, upstream = SingleFlight[str, str](), Upstream(error=UpstreamUnavailable("down"))
    results = await asyncio.gather(*(flights.run("key", upstream) for _ in range(50)), return_exceptions=True)
    assert results == [upstream.error] * 50
    assert upstream.begun == 1
    upstream.error = None
    assert await flights.run("key", upstream) == ("answer 1", True)
    assert upstream.begun == 2


@virtual_time
async def test_a_failure_shared_by_many_leaves_no_cycle_for_the_garbage_collector() -> None:
    flights, upstream = SingleFlight[str, str](), Upstream()
    gc.collect()
    gc.disable()
    try:
        upstream.error = UpstreamUnavailable("down")
        gone = weakref.ref(upstream.error)
        tasks = [asyncio.create_task(flights.run("key", upstream)) for _ in range(5)]
        await asyncio.wait(tasks)
        for task in tasks:
            task.exception()
        upstream.error = None
        del task, tasks
        await asyncio.sleep(0)
        assert gone() is None
    finally:
        gc.enable()


@virtual_time
async def test_a_cancelled_leader_hands_over_and_nobody_else_notices() -> None:
    flights, upstream = SingleFlight[str, str](), Upstream(takes_s=1.0)
    leader, *followers = [asyncio.create_task(flights.run("key", upstream)) for _ in range(10)]
    await asyncio.sleep(0.5)
    leader.cancel()
    answers = await asyncio.gather(*followers)
    assert {value for value, _ in answers} == {"answer 1"}
    assert (upstream.begun, upstream.most_running, now()) == (2, 1, 1.5)
    assert leader.cancelled()


@virtual_time
async def test_an_heir_cancelled_before_it_wakes_passes_the_lead_on() -> None:
    flights, upstream = SingleFlight[str, str](), Upstream()
    leader, follower, heir = [asyncio.create_task(flights.run("key", upstream)) for _ in range(3)]
    await asyncio.sleep(0.5)
    leader.cancel()
    await asyncio.sleep(0)  # the leader unwinds and tells the heir, who has not run yet
    heir.cancel()
    assert await follower == ("answer 1", True)
    assert heir.cancelled()
    assert len(flights) == 0


@virtual_time
async def test_leader_and_heir_cancelled_together_leave_the_lead_to_another() -> None:
    flights, upstream = SingleFlight[str, str](), Upstream()
    leader, follower, heir = [asyncio.create_task(flights.run("key", upstream)) for _ in range(3)]
    await asyncio.sleep(0.5)
    leader.cancel()
    heir.cancel()  # its seat is still there when the leader unwinds
    assert await follower == ("answer 1", True)
    assert len(flights) == 0


@virtual_time
async def test_a_leader_out_of_time_does_not_fail_those_who_have_some_left() -> None:
    flights, upstream = SingleFlight[str, str](), Upstream()

    async def hurried() -> str:
        await asyncio.sleep(0.1)
        raise DeadlineExceeded("too late for me")

    leader = asyncio.create_task(flights.run("key", hurried))
    await asyncio.sleep(0)
    follower = asyncio.create_task(flights.run("key", upstream))
    with pytest.raises(DeadlineExceeded):
        await leader
    assert await follower == ("answer 1", True)


@virtual_time
async def test_a_cancelled_follower_disturbs_nobody() -> None:
    flights, upstream = SingleFlight[str, str](), Upstream()
    leader, follower = [asyncio.create_task(flights.run("key", upstream)) for _ in range(2)]
    await asyncio.sleep(0.5)
    follower.cancel()
    assert await leader == ("answer 1", True)
    assert upstream.begun == 1


@given(
    callers=st.lists(st.tuples(st.integers(0, 12), st.one_of(st.none(), st.integers(0, 12))), min_size=1, max_size=25),
    takes=st.integers(0, 4),
)
def test_whoever_is_cancelled_whenever_everyone_else_gets_an_answer(
    callers: list[tuple[int, int | None]], takes: int
) -> None:
    """Each caller comes at its time and is cancelled at another, if it has not been answered by then."""

    async def scene() -> None:
        flights, upstream = SingleFlight[str, str](), Upstream(takes_s=takes)
        loop = asyncio.get_running_loop()

        async def caller(comes_at: int) -> str:
            await asyncio.sleep(comes_at)
            return (await flights.run("key", upstream))[0]

        tasks = []
        for comes_at, cancelled_at in callers:
            task = asyncio.create_task(caller(comes_at))
            tasks.append(task)
            if cancelled_at is not None:
                loop.call_at(cancelled_at, task.cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for (_, cancelled_at), result in zip(callers, results, strict=True):
            assert isinstance(result, str) or (cancelled_at is not None and isinstance(result, asyncio.CancelledError))
        assert upstream.most_running <= 1
        assert len(flights) == 0

    run(scene())
