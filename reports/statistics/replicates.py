"""The interval of a mean that was measured a few times over.

Two or three repeats say little of their own spread, so it is shrunk towards a prior, as Smyth does for as few
replicates (Statistical Applications in Genetics and Molecular Biology 3, 2004): 10% of run-to-run noise, worth three
repeats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import stdtrit

CONFIDENCE: Final = 0.95

PRIOR_NOISE: Final = 0.10
"""Standard deviation of one logarithm (so, relative) before the repeats have said anything."""

PRIOR_WEIGHT: Final = 3
"""Degrees of freedom that the prior is worth."""


def interval_of_mean(logarithms: Sequence[float]) -> tuple[float, float]:
    """The two-sided t interval of the mean of natural logarithms; unbounded where there are fewer than two."""
    if len(logarithms) < 2:
        return -math.inf, math.inf
    freedom = PRIOR_WEIGHT + len(logarithms) - 1
    squares = float(np.sum((np.asarray(logarithms) - np.mean(logarithms)) ** 2))
    variance = (PRIOR_WEIGHT * PRIOR_NOISE**2 + squares) / freedom
    quantile = float(stdtrit(freedom, 1.0 - (1.0 - CONFIDENCE) / 2.0))
    mean, reach = float(np.mean(logarithms)), quantile * math.sqrt(variance / len(logarithms))
    return mean - reach, mean + reach
