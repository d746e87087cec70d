"""Log bins: the formula of the contract, alike for one number and for many, and quantiles read from counts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.records.bins import BINS, bin_edges_us, latency_bin, quantile_ns

NS = st.integers(min_value=-1000, max_value=10**13)


@given(NS)
def test_a_bin_is_what_the_contract_says(ns: int) -> None:
    expected = 0 if ns <= 1000 else min(359, max(0, math.floor(40 * math.log10(ns / 1000))))
    assert latency_bin(ns) == expected


@given(st.lists(NS, min_size=1, max_size=50))
def test_arrays_and_scalars_agree(values: list[int]) -> None:
    assert latency_bin(np.array(values, np.int64)).tolist() == [latency_bin(v) for v in values]


@given(st.integers(min_value=1001, max_value=10**12 - 1))
def test_a_latency_lies_within_the_edges_of_its_bin(ns: int) -> None:
    edges = bin_edges_us()
    b = latency_bin(ns)
    assert edges[b] * (1 - 1e-12) <= ns / 1000 <= edges[b + 1] * (1 + 1e-12)


def test_edges_span_a_microsecond_to_a_thousand_seconds() -> None:
    edges = bin_edges_us()
    assert edges.shape == (BINS + 1,)
    assert edges[[0, 40, 120, 360]] == pytest.approx([1.0, 10.0, 1000.0, 1e9])


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9, 0.99])
def test_a_quantile_of_counts_is_within_a_percent_of_the_exact_one(q: float) -> None:
    values = np.random.default_rng(3).lognormal(np.log(4e8), 0.5, 100_000).astype(np.int64)
    counts = np.bincount(latency_bin(values), minlength=BINS)
    assert quantile_ns(counts, q) == pytest.approx(np.quantile(values, q), rel=0.01)


@given(st.lists(st.integers(0, 5), min_size=BINS, max_size=BINS), st.floats(0, 1))
def test_a_quantile_lies_in_a_filled_bin_and_grows_with_q(counts: list[int], q: float) -> None:
    found = quantile_ns(counts, q)
    if sum(counts) == 0:
        assert math.isnan(found)
        return
    filled = np.flatnonzero(counts)
    edges = bin_edges_us() * 1000
    assert edges[filled[0]] * 0.999999 <= found <= edges[filled[-1] + 1] * 1.000001
    assert found <= quantile_ns(counts, min(1.0, q + 0.1)) * 1.000001
