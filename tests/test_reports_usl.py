"""The Universal Scalability Law and the knee are recovered from data whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from reports.statistics.knee import find_knee
from reports.statistics.usl import Usl, fit_usl

LOADS = [25, 50, 100, 200, 400, 800]


@settings(max_examples=30)
@given(st.floats(0.0, 0.5), st.floats(1e-7, 1e-3), st.floats(0.1, 1000.0))
def test_exact_data_give_back_their_parameters(contention: float, coherency: float, unit_rate: float) -> None:
    true = Usl(contention, coherency, unit_rate)
    fit = fit_usl(LOADS, true.throughput(LOADS).tolist())
    assert fit is not None
    assert fit.law.throughput(LOADS) == pytest.approx(true.throughput(LOADS), rel=1e-6)
    assert fit.law.peak_load == pytest.approx(true.peak_load, rel=1e-3)
    assert fit.residual < 1e-6
    assert not fit.poor


def test_the_peak_is_where_the_derivative_is_zero() -> None:
    law = Usl(0.02, 1e-5, 4.0)
    at = law.peak_load
    assert law.ceiling == law.throughput(at) > max(law.throughput(at * 0.99), law.throughput(at * 1.01))
    assert Usl(0.0, 0.0, 4.0).peak_load == math.inf == Usl(0.0, 0.0, 4.0).ceiling
    assert Usl(0.1, 0.0, 4.0).ceiling == pytest.approx(Usl(0.1, 0.0, 4.0).throughput(1e9), rel=1e-6)


def test_parameters_lie_in_their_intervals_as_often_as_promised() -> None:
    true = Usl(0.02, 1e-5, 4.0)
    loads = np.repeat(LOADS, 3)
    covered = np.zeros(3)
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(0.0, 0.03, loads.size)
        fit = fit_usl(loads.tolist(), (true.throughput(loads) * np.exp(noise)).tolist(), seed=seed)
        assert fit is not None
        pairs = [(fit.contention, true.contention), (fit.coherency, true.coherency), (fit.peak_load, true.peak_load)]
        covered += [low <= value <= high for (low, high), value in pairs]
    assert covered.min() >= 34  # 95% of 40 are 38; fewer than 34 would happen once in 400


def test_the_fit_is_that_of_a_general_optimiser() -> None:
    true = Usl(0.03, 2e-5, 5.0)
    loads = np.repeat(LOADS, 2).astype(float)
    measured = true.throughput(loads) * np.exp(np.random.default_rng(1).normal(0.0, 0.02, loads.size))
    fit = fit_usl(loads.tolist(), measured.tolist())
    assert fit is not None

    def reciprocal(n: np.ndarray, contention: float, coherency: float, unit_rate: float) -> np.ndarray:
        return 1.0 / Usl(contention, coherency, unit_rate).throughput(n)

    found, _ = curve_fit(reciprocal, loads, 1 / measured, p0=(0.01, 1e-5, 4.0), sigma=1 / measured, maxfev=10_000)
    assert (fit.law.contention, fit.law.coherency, fit.law.unit_rate) == pytest.approx(found, rel=1e-3)


def test_too_few_levels_are_not_fitted_and_linear_growth_has_no_peak() -> None:
    assert fit_usl([10, 20, 30, 30], [1, 2, 3, 3]) is None
    assert fit_usl([10, 20, 30, 40], [1, 2, 3, 0]) is None
    linear = fit_usl([10, 20, 40, 80], [1, 2, 4, 8])
    assert linear is not None
    assert (linear.law.contention, linear.law.coherency, linear.law.peak_load) == (0, 0, math.inf)


def test_throughput_that_only_falls_is_fitted_too() -> None:
    loads = [10.0, 20.0, 40.0, 80.0]
    fit = fit_usl(loads, [100 / n for n in loads])
    assert fit is not None
    assert fit.law.throughput(loads) == pytest.approx([100 / n for n in loads], rel=0.1)
    assert fit.law.peak_load < 10


def test_a_law_that_does_not_fit_says_so() -> None:
    fit = fit_usl([10, 20, 40, 80, 160], [10, 20, 5, 80, 20])
    assert fit is not None
    assert fit.poor


def two_lines(per_load: float, ceiling: float, loads: list[int]) -> dict[int, list[float]]:
    return {load: [min(per_load * load, ceiling)] * 2 for load in loads}


@given(st.floats(0.1, 10.0), st.floats(50.0, 5000.0))
def test_the_knee_is_where_the_two_bounds_cross(per_load: float, ceiling: float) -> None:
    crossing = ceiling / per_load
    loads = sorted({max(1, round(crossing * share)) for share in (0.25, 0.5, 1, 2, 4)})
    knee = find_knee(two_lines(per_load, ceiling, loads))
    if len(loads) < 3:
        assert knee is None
    else:
        assert knee is not None
        assert knee.load == pytest.approx(crossing, rel=0.05)
        assert (knee.per_load, knee.ceiling) == pytest.approx((per_load, ceiling), rel=0.05)


def test_without_a_plateau_there_is_no_knee() -> None:
    assert find_knee(two_lines(1.0, 1e9, [10, 20, 40, 80])) is None
    assert find_knee(two_lines(1.0, 30.0, [10, 80])) is None
    assert find_knee({}) is None
    assert find_knee({10: [], 20: [0.0], 40: [5.0]}) is None


def test_an_overload_that_loses_throughput_does_not_move_the_knee() -> None:
    flat = find_knee({10: [10.0] * 2, 20: [20.0] * 2, 40: [40.0] * 2, 80: [60.0] * 2})
    falling = find_knee({10: [10.0] * 2, 20: [20.0] * 2, 40: [40.0] * 2, 80: [60.0] * 2, 160: [20.0] * 2})
    assert flat is not None
    assert falling is not None
    assert flat.load == falling.load == 60


def test_the_band_covers_the_true_throughput_as_often_as_promised() -> None:
    true = Usl(0.02, 1e-5, 4.0)
    loads = np.repeat(LOADS, 3)
    covered = 0
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(0.0, 0.03, loads.size)
        fit = fit_usl(loads.tolist(), (true.throughput(loads) * np.exp(noise)).tolist(), seed=seed)
        assert fit is not None
        low, high = fit.band([150.0])
        assert low[0] <= fit.law.throughput(150.0) <= high[0]
        covered += bool(low[0] <= true.throughput(150.0) <= high[0])
    assert covered >= 34
