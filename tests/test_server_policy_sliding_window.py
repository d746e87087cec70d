"""Counts over a sliding window, against counting the events one by one."""

from hypothesis import given
from hypothesis import strategies as st

from server.policies.sliding_window import SlidingWindow

SLOTS = 5


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), max_size=60))
def test_the_totals_are_the_events_of_the_last_slots(steps: list[tuple[int, int]]) -> None:
    window = SlidingWindow(window_s=float(SLOTS), counters=2, slots=SLOTS)
    slot, events = 0, list[tuple[int, int]]()
    for passed, counter in steps:
        slot += passed
        window.at(slot + 0.5)[counter] += 1
        events.append((slot, counter))
        counted = [sum(at > slot - SLOTS and which == each for at, which in events) for each in (0, 1)]
        assert window.totals == counted
        assert slot < window.slot_ends_at == slot + 1


@given(slot_s=st.floats(0.01, 10), tick=st.integers(1, 10_000))
def test_what_comes_at_the_very_end_of_a_slot_is_forgotten_like_the_rest(slot_s: float, tick: int) -> None:
    window = SlidingWindow(window_s=slot_s * SLOTS, counters=1, slots=SLOTS)
    window.at((tick - 0.5) * slot_s)[0] += 1
    window.at(window.slot_ends_at)[0] += 1  # rounding may put this into either slot
    assert window.at((tick + 2 * SLOTS) * slot_s) == [0]


def test_cleared_it_starts_anew() -> None:
    window = SlidingWindow(window_s=10.0, counters=1)
    window.at(0.5)[0] += 3
    window.at(1.5)[0] += 4
    window.clear()
    assert window.totals == [0]
    window.at(2.5)[0] += 1
    assert window.at(11.5) == [1]
    assert window.at(12.5) == [0]
