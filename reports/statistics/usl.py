"""The Universal Scalability Law: what contention and coherency leave of linear growth.

    X(N) = g N / (1 + a (N - 1) + b N (N - 1))

X: throughput (1/s) at load N; g: throughput of a load of one; a: contention, the share of work that is serial; b:
coherency, the cost of agreeing, which makes throughput fall again beyond N* = sqrt((1 - a) / b). Source: N. J. Gunther,
Guerrilla Capacity Planning, Springer 2007, chapters 4 to 6.

N / X is linear in (1 - a)/g, a/g and b/g, so the least relative squares under 0 <= a <= 1, b >= 0 and g > 0 have one
solution, which a non-negative least-squares solver finds without a starting point. Intervals: residual bootstrap (Efron
and Tibshirani, An Introduction to the Bootstrap, 1993, section 9.4), residuals scaled up for the three parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

MIN_LEVELS: Final = 4
"""Distinct loads below which three parameters are not fitted."""

REPLICATES: Final = 500
CONFIDENCE: Final = 0.95

_DUST: Final = 1e-9  # of the largest term: less than that is rounding

POOR_FIT: Final = 0.05
"""Typical relative residual from which the law is said not to describe the measurements."""


@dataclass(frozen=True)
class Usl:
    """One set of parameters: contention ``a``, coherency ``b``, ``g`` in 1/s."""

    contention: float
    coherency: float
    unit_rate: float

    def throughput(self, load: npt.ArrayLike) -> Floats:
        """X(N) in 1/s for each load."""
        n = np.asarray(load, dtype=np.float64)
        slowed = 1.0 + self.contention * (n - 1.0) + self.coherency * n * (n - 1.0)
        return np.asarray(self.unit_rate * n / slowed, dtype=np.float64)

    @property
    def peak_load(self) -> float:
        """N*, where throughput is highest; infinite without coherency cost, and never below 1."""
        if self.coherency == 0:
            return math.inf
        return max(1.0, math.sqrt(max(0.0, 1.0 - self.contention) / self.coherency))

    @property
    def ceiling(self) -> float:
        """The highest throughput at any load, 1/s; infinite for linear growth."""
        if math.isfinite(self.peak_load):
            return float(self.throughput(self.peak_load))
        return self.unit_rate / self.contention if self.contention else math.inf


@dataclass(frozen=True)
class UslFit:
    """The fit to ``samples`` measurements, its 95% intervals with the laws that they come from, its relative residual.

    ``peak_load`` and ``ceiling`` have infinite upper ends where some resamples show no limit.
    """

    law: Usl
    contention: Interval
    coherency: Interval
    unit_rate: Interval
    peak_load: Interval
    ceiling: Interval
    samples: int
    residual: float
    resampled: tuple[Usl, ...] = field(repr=False)

    def band(self, load: npt.ArrayLike) -> tuple[Floats, Floats]:
        """The 95% interval of X(N), lower and upper ends in 1/s, for each load."""
        return _ends(np.stack([law.throughput(load) for law in self.resampled]))

    @property
    def poor(self) -> bool:
        """Whether the law does not describe these measurements, so that nothing should be read off it."""
        return self.residual > POOR_FIT


def fit_usl(load: Sequence[float], throughput: Sequence[float], *, seed: int = 0) -> UslFit | None:
    """The law that fits pairs of load and throughput (1/s), repeats given one by one.

    None where there are fewer than ``MIN_LEVELS`` distinct loads with any throughput. Seeded: the same pairs give the
    same intervals.
    """
    kept = [(n, x) for n, x in zip(load, throughput, strict=True) if x > 0]
    if len({n for n, _ in kept}) < MIN_LEVELS:
        return None
    n, x = np.array(kept, dtype=np.float64).T
    law = _solve(n, x)
    fitted = law.throughput(n)
    residuals = np.log(x / fitted)
    freedom = max(1, n.size - 3)
    spread = math.sqrt(n.size / freedom)
    rng = np.random.default_rng(seed)
    drawn = rng.choice((residuals - residuals.mean()) * spread, size=(REPLICATES, n.size))
    laws = [_solve(n, fitted * np.exp(noise)) for noise in drawn]
    return UslFit(
        law=law,
        contention=_interval(laws, lambda one: one.contention),
        coherency=_interval(laws, lambda one: one.coherency),
        unit_rate=_interval(laws, lambda one: one.unit_rate),
        peak_load=_interval(laws, lambda one: one.peak_load),
        ceiling=_interval(laws, lambda one: one.ceiling),
        samples=n.size,
        residual=float(math.sqrt(np.sum(residuals**2) / freedom)),
        resampled=tuple(laws),
    )


def _solve(n: Floats, x: Floats) -> Usl:
    """Minimise the sum of squares of 1 - (X/N) (c0 + c1 N + c2 N (N - 1)) over c >= 0."""
    from scipy.optimize import nnls  # here: half a second to import, and only a capacity search needs it

    design = (x / n)[:, None] * np.column_stack([np.ones_like(n), n, n * (n - 1.0)])
    scale = np.linalg.norm(design, axis=0)
    weights, _ = nnls(design / scale, np.ones_like(n))
    weights[weights < _DUST * weights.max()] = 0.0
    flat, serial, agreeing = weights / scale
    unit_cost = flat + serial or agreeing  # 0 where throughput only falls: any small cost of one fits as well
    return Usl(float(serial / unit_cost), float(agreeing / unit_cost), float(1.0 / unit_cost))


def _interval(laws: Sequence[Usl], value: Callable[[Usl], float]) -> Interval:
    low, high = _ends(np.array([value(law) for law in laws]))
    return float(low), float(high)


def _ends(values: Floats) -> tuple[Floats, Floats]:
    """The ends of the 95% interval along the first axis; without interpolation, as some values are infinite."""
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail], axis=0, method="inverted_cdf")
    return low, high
