import random
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lifecycle import IN_FLIGHT, MOVES, IllegalMoveError, Lifecycle, Population, State
from server.progress import Progress, StageSeconds, current_progress, progress_in_background

HIT = (State.QUEUED, State.VALIDATING, State.COMPLETED)
MISS = (State.QUEUED, State.VALIDATING, State.PROCESSING, State.COMPLETED)
RETRIED = (*MISS[:3], State.RETRY, State.PROCESSING, State.RETRY, State.PROCESSING, State.COMPLETED)


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("way", [HIT, MISS, RETRIED], ids=["hit", "miss", "retried"])
def test_the_ways_that_the_design_draws_are_legal(way):
    lifecycle = Lifecycle(Population())

    for state in way:
        lifecycle.move(state)

    assert lifecycle.state is State.COMPLETED


@pytest.mark.parametrize("old", State)
@pytest.mark.parametrize("new", State)
def test_every_move_is_made_or_raises_and_then_changes_nothing(old: State, new: State):
    population = Population()
    lifecycle = Lifecycle(population)
    for state in _way_to(old):
        lifecycle.move(state)
    before = list(population.count)

    if new in MOVES[old]:
        lifecycle.move(new)
        assert lifecycle.state is new
        assert population.count[new] == before[new] + 1
    else:
        with pytest.raises(IllegalMoveError, match=f"{old.name} -> {new.name}"):
            lifecycle.move(new)
        assert lifecycle.state is old
        assert population.count == before


def test_only_a_cache_hit_skips_processing_and_nothing_leaves_an_end():
    into_completed = {old for old in State if State.COMPLETED in MOVES[old]}

    assert into_completed == {State.VALIDATING, State.PROCESSING}
    assert MOVES[State.COMPLETED] == MOVES[State.FAILED] == frozenset()
    assert all(State.FAILED in MOVES[state] for state in (State.IDLE, *IN_FLIGHT))


def _way_to(state: State) -> list[State]:
    ways = {
        State.IDLE: [],
        State.QUEUED: [State.QUEUED],
        State.VALIDATING: [*HIT[:2]],
        State.PROCESSING: [*MISS[:3]],
        State.RETRY: [*MISS[:3], State.RETRY],
        State.COMPLETED: [*HIT],
        State.FAILED: [State.QUEUED, State.FAILED],
    }
    return ways[state]


@given(seed=st.integers(0, 2**32), requests=st.integers(1, 30))
def test_population_reconciles_and_times_add_up_after_any_walk(seed: int, requests: int):
    draw, clock, population = random.Random(seed), Clock(), Population()
    live = [Lifecycle(population, clock=clock) for _ in range(requests)]
    walkers = list(live)
    while live:
        clock.now += draw.random()
        chosen = draw.choice(live)
        chosen.move(draw.choice(sorted(MOVES[chosen.state])))
        live = [each for each in live if not each.ended]
        count = population.count
        assert population.started == sum(count) == requests
        assert population.in_flight == count[State.IDLE] + sum(population.by_state().values()) == len(live)

    assert population.count[State.COMPLETED] + population.count[State.FAILED] == requests
    for walker in walkers:
        assert sum(walker.seconds) == pytest.approx(walker.moved_s - walker.started_s)
    for state in State:
        assert population.seconds[state] == pytest.approx(sum(walker.seconds[state] for walker in walkers))


def _under_way(clock: Callable[[], float]) -> Progress:
    progress = Progress(Population(), clock=clock)
    current_progress.set(progress)
    progress.move(State.QUEUED)
    progress.move(State.VALIDATING)
    progress.validated_s = progress.clock()
    return progress


def test_legs_that_pause_at_the_same_time_are_one_retry_state_from_the_first_to_the_last():
    clock = Clock()
    progress = _under_way(clock)
    progress.move(State.PROCESSING)

    with progress:
        clock.now += 1.0
        with progress:
            clock.now += 2.0
            assert progress.state is State.RETRY
        assert progress.state is State.RETRY
        clock.now += 4.0
    assert progress.state is State.PROCESSING
    clock.now += 8.0
    progress.move(State.COMPLETED)

    assert progress.seconds[State.RETRY] == 7.0
    assert progress.seconds[State.PROCESSING] == 8.0


def test_each_stage_gets_the_time_that_was_spent_in_it():
    clock = Clock()
    progress = Progress(Population(), clock=clock)
    progress.move(State.QUEUED)
    clock.now += 1.0  # waiting for a worker
    progress.move(State.VALIDATING)
    clock.now += 2.0
    progress.validated_s = clock()
    clock.now += 4.0  # looking up
    progress.move(State.PROCESSING)
    with progress.waiting_for_a_place():
        clock.now += 8.0
    progress.begin_fan_out()
    clock.now += 16.0
    with progress:
        clock.now += 32.0
    progress.end_fan_out()
    clock.now += 64.0
    progress.end_aggregate()
    clock.now += 128.0  # storing
    progress.answered_s = clock()
    clock.now += 256.0
    progress.move(State.COMPLETED)

    assert progress.stages() == StageSeconds(
        queue=9.0, validate=2.0, cache=132.0, gemini=16.0, backoff=32.0, aggregate=320.0, total=511.0
    )


def test_a_request_that_gave_up_waiting_for_a_place_spent_its_time_in_the_queue():
    clock = Clock()
    progress = _under_way(clock)
    progress.move(State.PROCESSING)
    with suppress(TimeoutError), progress.waiting_for_a_place():
        clock.now += 5.0
        raise TimeoutError
    progress.move(State.FAILED)

    assert progress.stages() == StageSeconds(5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0)


@given(
    spent=st.lists(st.floats(0, 1000), min_size=3, max_size=3),
    fails_after=st.integers(0, 2),
)
def test_parts_sum_to_the_total_wherever_a_request_fails(spent: list[float], fails_after: int):
    clock = Clock()
    progress = Progress(Population(), clock=clock)
    progress.move(State.QUEUED)
    for step in range(fails_after + 1):
        clock.now += spent[step]
        if step == 0 and fails_after > 0:
            progress.move(State.VALIDATING)
        if step == 1 and fails_after > 1:
            progress.validated_s = clock()
    progress.move(State.FAILED)

    *parts, total = progress.stages()

    assert total == pytest.approx(sum(spent[: fails_after + 1]))
    assert sum(parts) == pytest.approx(total)
    assert all(part >= -1e-9 for part in parts)


def test_work_for_no_request_is_in_no_population():
    population = Population()
    Progress(population)

    background = Context().run(progress_in_background)

    assert background.state is State.PROCESSING
    assert population.started == 1
