"""Percentiles, bootstrap, warm-up rule and cache model against numpy, scipy, brute force and simulation."""

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.statistics.bootstrap import ChunkCounts, quantile_intervals, resample_weights, run_length
from reports.statistics.chunks import Chunks
from reports.statistics.percentiles import enough_samples, quantiles, samples_needed
from reports.statistics.popularity import characteristic_time, expected_hit_share, lru_hit_share, ttl_hit_share, zipf
from reports.statistics.warmup import mser5, transient
from tests.made_runs import block

LATENCIES = st.lists(st.integers(1, 10**12), min_size=1, max_size=400)
QS = st.floats(0.0, 0.999)


@given(LATENCIES, st.lists(QS, min_size=1, max_size=5))
def test_quantiles_are_numpy_s_or_withheld(values: list[int], qs: list[float]) -> None:
    array = np.array(values)
    expected = [np.quantile(array, q) if enough_samples(array.size, q) else None for q in qs]
    assert quantiles(array.copy(), qs) == expected


@given(QS)
def test_the_samples_needed_are_just_enough(q: float) -> None:
    needed = samples_needed(q)
    assert enough_samples(needed, q)
    assert not enough_samples(needed - 1, q)


def test_ten_samples_must_lie_beyond() -> None:
    assert [samples_needed(q) for q in (0.5, 0.9, 0.99, 0.999)] == [20, 100, 1000, 10_000]


@given(LATENCIES, st.integers(1, 10), QS)
def test_counted_quantiles_are_within_a_bin_of_the_nearest_sample(values: list[int], chunks: int, q: float) -> None:
    array = np.array(values)
    counted = ChunkCounts(array, np.arange(array.size) % chunks, chunks)
    assert counted.counts.sum() == array.size
    found = counted.pooled_quantiles([q])[0]
    ordered = np.sort(array)
    nearest = ordered[max(0, int(np.ceil(q * array.size)) - 1)]
    assert found == pytest.approx(nearest, rel=1 / 256)


@given(st.integers(2, 80), st.integers(0, 2**32))
def test_replicates_draw_runs_of_neighbours(chunks: int, seed: int) -> None:
    weights = resample_weights(chunks, 20, np.random.default_rng(seed))
    assert weights.shape == (20, chunks)
    length = run_length(chunks)
    assert set(weights.sum(axis=1)) == {-(-chunks // length) * length}


def test_a_weighted_quantile_is_that_of_the_repeated_samples() -> None:
    rng = np.random.default_rng(5)
    values, chunk = rng.lognormal(18, 0.5, 5000).astype(np.int64), rng.integers(0, 6, 5000)
    weights = np.array([[2, 0, 1, 3, 0, 1], [0, 0, 0, 0, 0, 0]], float)
    found = ChunkCounts(values, chunk, 6).quantiles(weights, [0.5, 0.99])
    repeated = np.repeat(values, weights[0][chunk].astype(int))
    assert found[0] == pytest.approx(np.quantile(repeated, [0.5, 0.99]), rel=0.003)
    assert np.isnan(found[1]).all()


def test_intervals_of_independent_samples_are_scipy_s() -> None:
    rng = np.random.default_rng(8)
    values = rng.lognormal(np.log(4e8), 0.4, 6000)
    chunk = rng.integers(0, 60, 6000)
    (ours,) = quantile_intervals(ChunkCounts(values, chunk, 60), [float(np.median(values))], [0.5])
    theirs = stats.bootstrap((values,), np.median, n_resamples=1000, method="percentile", rng=1).confidence_interval
    assert ours is not None
    assert ours[1] - ours[0] == pytest.approx(theirs.high - theirs.low, rel=0.35)
    assert ours == pytest.approx((theirs.low, theirs.high), rel=0.01)


def test_seconds_that_share_a_fate_make_wider_intervals() -> None:
    rng = np.random.default_rng(9)
    chunk = np.repeat(np.arange(40), 200)
    alone = rng.lognormal(np.log(4e8), 0.4, 8000)
    together = alone * np.repeat(rng.lognormal(0, 0.2, 40), 200)
    widths = []
    for values in (alone, together):
        (interval,) = quantile_intervals(ChunkCounts(values, chunk, 40), [float(np.median(values))], [0.5])
        assert interval is not None
        widths.append((interval[1] - interval[0]) / np.median(values))
    assert widths[1] > 3 * widths[0]


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng([4, seed])
        values = rng.lognormal(np.log(4e8), 0.4, 1500)
        (interval,) = quantile_intervals(
            ChunkCounts(values, rng.integers(0, 30, 1500), 30), [float(np.median(values))], [0.5], replicates=200
        )
        assert interval is not None
        covered += interval[0] <= 4e8 <= interval[1]
    assert covered >= 50  # 57 are meant; binomial scatter is 1.7, and few chunks make it a little low


def test_few_chunks_give_no_interval() -> None:
    values = np.arange(1, 101) * 10**6
    assert quantile_intervals(ChunkCounts(values, np.arange(100) % 7, 7), [5e7], [0.5]) == [None]
    assert quantile_intervals(ChunkCounts(values[:0], np.arange(0), 0), [None], [0.5]) == [None]


def test_chunks_last_a_second_and_never_span_blocks() -> None:
    chunks = Chunks([block(0, measured_s=3.0), block(2, at_s=20, measured_s=2.4)])
    assert chunks.block_of.tolist() == [0, 0, 0, 2, 2]
    where = chunks.of(np.array([0, 0, 0, 2, 2, 2], np.int16), np.array([0, 999, 2999, 0, 1000, 2399]))
    assert where.tolist() == [0, 0, 2, 3, 4, 4]
    assert len(Chunks([block(measured_s=600.0)])) == 60
    assert len(Chunks([])) == 0


def brute_force_mser5(series: np.ndarray) -> int:
    means = [series[i : i + 5].mean() for i in range(0, series.size // 5 * 5, 5)]
    m = len(means)
    scores = [np.sum((np.array(means[d:]) - np.mean(means[d:])) ** 2) / (m - d) ** 2 for d in range(m // 2 + 1)]
    return int(np.argmin(scores)) * 5


@given(st.lists(st.floats(1.0, 100.0), min_size=20, max_size=120))
def test_mser5_is_the_textbook_s_minimum(values: list[float]) -> None:
    series = np.array(values)
    ours, theirs = mser5(series), brute_force_mser5(series)
    if ours != theirs:  # only a tie may differ

        def score(cut: int) -> float:
            means = series[: series.size // 5 * 5].reshape(-1, 5).mean(axis=1)[cut // 5 :]
            return float(((means - means.mean()) ** 2).sum() / means.size**2)

        assert score(ours) == pytest.approx(score(theirs), rel=1e-6, abs=1e-9)


def test_mser5_cuts_a_transient_and_little_else() -> None:
    rng = np.random.default_rng(0)
    steady = rng.normal(100, 5, 200)
    warming = steady + np.concatenate([np.linspace(80, 0, 50), np.zeros(150)])
    assert 30 <= mser5(warming) <= 60
    assert mser5(steady) <= 40
    holed = warming.copy()
    holed[::7] = np.nan
    assert 30 <= mser5(holed) <= 60
    assert mser5(steady[:19]) == 0
    assert mser5(np.full(50, np.nan)) == 0


def test_a_steady_series_seldom_passes_for_a_transient_and_a_warming_one_always_does() -> None:
    rng = np.random.default_rng(1)
    steady = [transient(rng.normal(100, 5, 200)) for _ in range(200)]
    warming = [transient(rng.normal(100, 5, 200) + 20 * np.exp(-np.arange(200) / 25)) for _ in range(50)]
    assert sum(cut > 0 for cut in steady) <= 5
    assert all(20 <= cut <= 100 for cut in warming)
    assert transient([]) == transient([1.0] * 40) == 0


@given(st.integers(1, 500), st.floats(0.0, 2.0))
def test_zipf_is_a_falling_distribution(items: int, exponent: float) -> None:
    popularity = zipf(items, exponent)
    assert popularity.sum() == pytest.approx(1.0)
    assert (np.diff(popularity) <= 0).all()
    assert popularity[-1] / popularity[0] == pytest.approx(items**-exponent)


@given(st.integers(2, 300), st.floats(0.0, 1.5), st.floats(0.01, 0.99))
def test_the_characteristic_time_fills_the_cache(items: int, exponent: float, filled: float) -> None:
    capacity = max(1, int(items * filled))
    popularity = zipf(items, exponent)
    time = characteristic_time(popularity, capacity)
    assert -np.expm1(-popularity * time).sum() == pytest.approx(capacity, rel=1e-6)


def test_che_s_approximation_is_what_an_lru_cache_does() -> None:
    popularity = zipf(1000, 1.0)
    asked = np.random.default_rng(3).choice(1000, 60_000, p=popularity).tolist()
    cache: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for number, item in enumerate(asked):
        if item in cache:
            cache.move_to_end(item)
            hits += number >= 10_000
        else:
            cache[item] = None
            if len(cache) > 100:
                cache.popitem(last=False)
    assert lru_hit_share(popularity, 100) == pytest.approx(hits / 50_000, abs=0.01)


def test_the_ttl_model_is_what_an_expiring_cache_does() -> None:
    popularity = zipf(500, 0.9)
    rng = np.random.default_rng(4)
    fetched = np.full(500, -np.inf)
    hits, now = 0, 0.0
    asked = rng.choice(500, 60_000, p=popularity).tolist()
    for number, (item, gap) in enumerate(zip(asked, rng.exponential(1.0, 60_000), strict=True)):
        now += gap
        if now - fetched[item] < 1000.0:
            hits += number >= 10_000
        else:
            fetched[item] = now
    assert ttl_hit_share(popularity, 1000.0) == pytest.approx(hits / 50_000, abs=0.01)


def test_the_tighter_limit_binds() -> None:
    usual = {"items": 1000, "exponent": 1.0, "requests_per_s": 100.0}
    small = expected_hit_share(capacity=10, ttl_s=1e9, **usual)
    assert small == pytest.approx(lru_hit_share(zipf(1000, 1.0), 10))
    assert expected_hit_share(capacity=1000, ttl_s=0.1, **usual) == pytest.approx(ttl_hit_share(zipf(1000, 1.0), 10.0))
    assert expected_hit_share(capacity=0, ttl_s=300.0, **usual) == 0.0
    assert expected_hit_share(capacity=5000, ttl_s=1e12, **usual) == pytest.approx(1.0, abs=1e-6)
