"""Bulkhead: so many at once, so many waiting, the rest shed with a time that comes true."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import Overloaded, UpstreamBlocked, UpstreamUnavailable
from server.policies.adaptive_limit import AimdLimit
from server.policies.bulkhead import Bulkhead, QueuedDetails, bulkhead
from tests.virtual_time import now, run, virtual_time


@given(
    calls=st.lists(
        st.tuples(st.integers(0, 15), st.integers(0, 6), st.one_of(st.none(), st.integers(0, 20))), max_size=40
    ),
    places=st.integers(1, 4),
    queue=st.integers(0, 5),
)
def test_never_more_at_once_than_places_and_no_place_is_ever_lost(
    calls: list[tuple[int, int, int | None]], places: int, queue: int
) -> None:
    """Calls come, take their time and are cancelled at random moments; nobody starts after one who came later."""

    async def scene() -> None:
        bulk = Bulkhead(max_in_flight=places, max_queued=queue, clock=now)
        running = 0
        came: list[int] = []
        started_at: dict[int, float] = {}
        loop = asyncio.get_running_loop()

        @bulkhead(bulk)
        async def work(index: int, takes: int) -> None:
            nonlocal running
            started_at[index] = now()
            running += 1
            assert running <= places
            assert bulk.in_flight >= running
            try:
                await asyncio.sleep(takes)
            finally:
                running -= 1

        async def caller(index: int, comes_at: int, takes: int) -> None:
            await asyncio.sleep(comes_at)
            came.append(index)
            assert bulk.queued <= queue
            await work(index, takes)

        tasks = []
        for index, (comes_at, takes, cancelled_at) in enumerate(calls):
            task = asyncio.create_task(caller(index, comes_at, takes))
            tasks.append(task)
            if cancelled_at is not None:
                loop.call_at(cancelled_at, task.cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(
            result is None or isinstance(result, Overloaded) or calls[index][2] is not None
            for index, result in enumerate(results)
        )
        in_order_of_coming = [started_at[index] for index in came if index in started_at]
        assert in_order_of_coming == sorted(in_order_of_coming)
        assert (bulk.in_flight, bulk.queued) == (0, 0)
        assert bulk.shed == sum(isinstance(result, Overloaded) for result in results)

    run(scene())


@virtual_time
async def test_who_is_shed_is_told_when_the_queue_will_have_been_served_and_that_is_true() -> None:
    bulk = Bulkhead(max_in_flight=4, max_queued=12, clock=now)

    @bulkhead(bulk)
    async def work() -> None:
        await asyncio.sleep(2.0)

    for _ in range(50):  # the running mean settles at 2 s
        await asyncio.gather(*(work() for _ in range(4)))
    began = now()
    crowd = [asyncio.create_task(work()) for _ in range(16)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as shed:
        await work()
    retry_after_s = shed.value.retry_after_s
    assert retry_after_s == pytest.approx((12 + 1) * 2.0 / 4, rel=0.01)
    await asyncio.wait(crowd[:12])
    # The last of those who were waiting has its place within that time.
    assert now() - began <= retry_after_s
    assert bulk.queued == 0


@virtual_time
async def test_before_the_first_call_has_ended_the_expected_duration_stands_in() -> None:
    bulk = Bulkhead(max_in_flight=1, max_queued=0, expected_s=3.0, clock=now)
    await bulk.enter()
    with pytest.raises(Overloaded) as shed:
        await bulk.enter()
    assert shed.value.retry_after_s == 3.0


@virtual_time
async def test_the_hook_is_told_who_must_wait_and_holds_the_wait_however_it_ends() -> None:
    told: list[QueuedDetails] = []
    held_s: list[float] = []

    @contextmanager
    def holding(details: QueuedDetails) -> Iterator[None]:
        told.append(details)
        came_s = now()
        try:
            yield
        finally:
            held_s.append(now() - came_s)

    @bulkhead(Bulkhead(max_in_flight=1, max_queued=2, clock=now), on_queued=holding)
    async def work() -> None:
        await asyncio.sleep(1.5)

    calls = [asyncio.create_task(work()) for _ in range(4)]
    await asyncio.sleep(1)
    calls[1].cancel()
    _, gave_up, patient, shed = await asyncio.gather(*calls, return_exceptions=True)

    assert told == [QueuedDetails(1, 0), QueuedDetails(1, 1), QueuedDetails(1, 2)]
    assert held_s == [0.0, 1.0, 1.5]
    assert (type(shed), type(gave_up), patient) == (Overloaded, asyncio.CancelledError, None)


@virtual_time
async def test_a_place_is_given_back_when_the_call_fails() -> None:
    bulk = Bulkhead(max_in_flight=1, max_queued=0, clock=now)

    @bulkhead(bulk)
    async def work() -> None:
        raise KeyError("bug")

    for _ in range(3):
        with pytest.raises(KeyError):
            await work()
    assert bulk.in_flight == 0


@virtual_time
async def test_nobody_overtakes_the_queue() -> None:
    bulk = Bulkhead(max_in_flight=1, max_queued=5, clock=now)
    await bulk.enter()
    waiting = asyncio.create_task(bulk.enter())
    await asyncio.sleep(0)
    bulk.leave(now())  # the place is the waiting one's from here on, though it has not run yet
    assert not bulk.try_enter()
    await waiting
    assert bulk.in_flight == 1


@virtual_time
async def test_who_is_cancelled_with_the_place_in_hand_passes_it_on() -> None:
    bulk = Bulkhead(max_in_flight=1, max_queued=5, clock=now)
    await bulk.enter()
    first, second = [asyncio.create_task(bulk.enter()) for _ in range(2)]
    await asyncio.sleep(0)
    bulk.leave(now())
    first.cancel()  # it has the place, and has not run since
    await second
    assert first.cancelled()
    assert (bulk.in_flight, bulk.queued) == (1, 0)


@virtual_time
async def test_who_gives_up_waiting_leaves_room_in_the_queue_at_once() -> None:
    bulk = Bulkhead(max_in_flight=1, max_queued=1, clock=now)
    await bulk.enter()
    for _ in range(3):
        waiting = asyncio.create_task(bulk.enter())
        await asyncio.sleep(0)
        assert bulk.queued == 1
        waiting.cancel()
        await asyncio.wait([waiting])
    assert (bulk.queued, bulk.shed) == (0, 0)


# The adaptive limit


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3), st.integers(1, 60)), max_size=200))
def test_aimd_stays_in_bounds_and_moves_as_its_formula_says(calls: list[tuple[float, float, int]]) -> None:
    aimd = AimdLimit(target_s=1.0, initial=20, minimum=5, maximum=40, backoff=0.5)
    exact, cut_at, at = 20.0, -math.inf, 0.0
    for gap, took, in_flight in calls:
        at += gap
        started = at - took
        if at - started > 1.0:
            if started >= cut_at:
                exact, cut_at = max(5.0, exact * 0.5), at
        elif in_flight * 2 >= exact:
            exact = min(40.0, exact + 1 / exact)
        aimd.record(started_s=started, ended_s=at, in_flight=in_flight)
        assert aimd.limit == int(exact)
        assert 5 <= aimd.limit <= 40


@virtual_time
@pytest.mark.parametrize(
    ("error", "takes_s", "learnt"),
    [
        (None, 0.1, "more"),
        (UpstreamUnavailable("down"), 0.1, "less"),
        (ValueError("nobody foresaw it"), 0.1, "less"),
        (UpstreamBlocked("no"), 0.1, "nothing"),
        (UpstreamBlocked("no"), 2.0, "less"),
        (asyncio.CancelledError(), 0.1, "nothing"),
        (asyncio.CancelledError(), 2.0, "less"),
    ],
)
async def test_an_adaptive_limit_learns_from_how_calls_end(
    error: BaseException | None, takes_s: float, learnt: str
) -> None:
    bulk = Bulkhead(max_in_flight=100, adaptive=AimdLimit(target_s=1.0, initial=10, maximum=100), clock=now)

    @bulkhead(bulk)
    async def call() -> None:
        await asyncio.sleep(takes_s)
        if error is not None:
            raise error

    for _ in range(20):
        await asyncio.gather(*(call() for _ in range(bulk.limit)), return_exceptions=True)
    assert learnt == ("more" if bulk.limit > 10 else "less" if bulk.limit < 10 else "nothing")


def test_calls_under_way_together_cut_the_limit_once() -> None:
    aimd = AimdLimit(target_s=1.0, initial=100, backoff=0.9)
    for index in range(50):
        aimd.record(started_s=0.0, ended_s=2.0 + index / 100, in_flight=50)
    assert aimd.limit == 90


@pytest.mark.parametrize("initial", [2, 100])
@virtual_time
async def test_the_limit_finds_what_the_upstream_can_bear(initial: int) -> None:
    """An upstream that serves 20 at once in 0.1 s each and shares that among more: 0.15 s are met by 30 at once."""
    aimd = AimdLimit(target_s=0.15, initial=initial, maximum=200)
    bulk = Bulkhead(max_in_flight=200, max_queued=10_000, adaptive=aimd, clock=now)
    most_late = 0

    @bulkhead(bulk)
    async def work() -> None:
        nonlocal most_late
        if now() > 30:
            most_late = max(most_late, bulk.in_flight)
        await asyncio.sleep(0.1 * max(1.0, bulk.in_flight / 20))

    async def user() -> None:
        while now() < 40:
            await work()

    await asyncio.gather(*(user() for _ in range(200)))
    assert 20 <= most_late <= 36


@virtual_time
async def test_a_limit_that_falls_lets_nobody_in_until_enough_have_left() -> None:
    aimd = AimdLimit(target_s=1.0, initial=4, backoff=0.5)
    bulk = Bulkhead(max_in_flight=10, max_queued=10, adaptive=aimd, clock=now)
    for _ in range(4):
        await bulk.enter()
    waiting = asyncio.create_task(bulk.enter())
    await asyncio.sleep(5)
    bulk.leave(0.0)  # slow: the limit is 2 now, and 3 are still in
    bulk.leave(0.0)
    await asyncio.sleep(0)
    assert (bulk.limit, bulk.in_flight, waiting.done()) == (2, 2, False)
    bulk.leave(0.0)
    await waiting
    assert bulk.in_flight == 2


@pytest.mark.parametrize("wrong", [{"max_in_flight": 0}, {"max_queued": -1}, {"expected_s": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a bulkhead needs"):
        Bulkhead(**wrong)  # type: ignore[arg-type]
