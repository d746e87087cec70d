"""Counts of samples: parts add up to the whole, whatever the parts, and each count sits in its right cell."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.records.aggregate import bin_counts, cells, from_rows, merge, of_population, to_rows
from reports.records.bins import latency_bin
from reports.records.schema import AGGREGATE_SCHEMA
from tests.made_runs import T0_NS, batch, block, mixed

BLOCKS = [block(0, warmup_s=1.0, measured_s=4.0), block(1, at_s=6.0, warmup_s=1.0, measured_s=3.0)]


@settings(max_examples=25)
@given(st.lists(st.integers(0, 600), max_size=6))
def test_the_sum_of_the_ticks_is_the_aggregate(cuts: list[int]) -> None:
    whole = pa.Table.from_batches([mixed(rows=300, seconds=5.0), mixed(rows=300, seconds=4.0, at_s=6.0, index=1)])
    edges = [0, *sorted(cuts), 600]
    parts = [whole.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    ticked = merge(from_rows(to_rows(cells(part, BLOCKS, T0_NS))) for part in parts)
    assert ticked.equals(merge([cells(whole, BLOCKS, T0_NS)]))
    assert sum(ticked["count"].to_pylist()) == 600


def test_a_sample_is_counted_where_the_contract_says() -> None:
    one = batch(
        1,
        scheduled_at=[T0_NS + 7_500_000_000],
        sent_at=[T0_NS + 7_600_000_000],
        latency_ns=[300_000_000],
        block=1,
        cache="miss",
        attempts=2,
        status=200,
    )
    (row,) = cells(one, BLOCKS, T0_NS).to_pylist()
    assert row == {
        "second": 7,
        "block": 1,
        "scenario": "steady",
        "cache": "miss",
        "attempts": 2,
        "status": 200,
        "error": "",
        "measured": True,
        "bin": latency_bin(400_000_000),  # from the intended start: 100 ms of waiting, 300 ms of work
        "count": 1,
    }


@pytest.mark.parametrize(
    ("second", "index", "measured"),
    [
        (0.999, 0, False),  # warm-up
        (1.0, 0, True),  # the window's first instant belongs to it
        (4.999, 0, True),
        (5.0, 0, False),  # its end does not
        (7.5, 0, False),  # another block's window is no help
        (7.5, 1, True),
        (7.5, 9, False),  # a block that the manifest does not know yet
        (7.5, -1, False),
    ],
)
def test_measured_is_the_window_of_the_sample_s_own_block(second: float, index: int, measured: bool) -> None:
    one = batch(1, scheduled_at=[T0_NS + int(second * 1e9)], block=index)
    assert cells(one, BLOCKS, T0_NS)["measured"].to_pylist() == [measured]


def test_a_block_still_under_way_measures_from_its_known_start_on() -> None:
    two = batch(2, scheduled_at=[T0_NS, T0_NS + 2_000_000_000])
    warming = block().model_copy(update={"measure_from_ns": None, "measure_until_ns": None})
    going = block().model_copy(update={"measure_until_ns": None})
    assert sorted(cells(two, [warming], T0_NS)["measured"].to_pylist()) == [False, False]
    assert sorted(cells(two, [going], T0_NS)["measured"].to_pylist()) == [False, True]


def test_populations_hold_successes_only_and_never_both() -> None:
    caches = ["hit", "stale", "miss", "collapsed", "bypass", "none", "hit", "miss"]
    statuses = [200] * 6 + [503, 200]
    errors = [""] * 7 + ["mismatch"]
    table = cells(batch(8, cache=caches, status=statuses, error=errors), BLOCKS, T0_NS)
    assert sorted(of_population(table, "hit")["cache"].to_pylist()) == ["hit", "stale"]
    assert sorted(of_population(table, "miss")["cache"].to_pylist()) == ["bypass", "collapsed", "miss", "none"]


def test_bin_counts_count_samples_not_rows() -> None:
    table = cells(batch(5, latency_ns=[10**6] * 3 + [10**9] * 2), BLOCKS, T0_NS)
    counts = bin_counts(table)
    assert counts.shape == (360,)
    assert counts[[latency_bin(10**6), latency_bin(10**9)]].tolist() == [3, 2]
    assert counts.sum() == 5


def test_nothing_adds_up_to_an_empty_aggregate() -> None:
    for empty in (merge([]), from_rows([]), cells(batch(0), BLOCKS, T0_NS)):
        assert empty.schema.equals(AGGREGATE_SCHEMA)
        assert empty.num_rows == 0
    assert np.array_equal(bin_counts(merge([])), np.zeros(360))


def test_rows_that_are_no_cells_are_refused() -> None:
    for row in ([0, 0, 1, 2, 0, 200, "", True, 57, 1], [0, 0, "steady"], ["soon"]):
        with pytest.raises((TypeError, ValueError)):
            from_rows([row])
