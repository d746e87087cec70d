"""Exact percentiles of samples, and when there are too few samples to print one.

Method: linear interpolation between order statistics, position ``q * (n - 1)`` (Hyndman and Fan 1996, type 7), which
is numpy's default; on the same samples the figures are numpy's to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SAMPLES_BEYOND: Final = 10
"""A percentile is printed only if at least so many samples lie beyond it."""


def enough_samples(count: int, q: float) -> bool:
    """Whether at least ``SAMPLES_BEYOND`` of ``count`` samples lie beyond the ``q`` quantile (0 <= q < 1)."""
    return round(count * (1.0 - q), 6) >= SAMPLES_BEYOND  # rounded: 10,000 * (1 - 0.999) is 10 and a bit less


def samples_needed(q: float) -> int:
    """The fewest samples with which the ``q`` quantile is printed."""
    return int(np.ceil(round(SAMPLES_BEYOND / (1.0 - q), 6)))


def quantiles(values: npt.NDArray[Any], qs: Sequence[float]) -> list[float | None]:
    """The ``qs`` quantiles of ``values`` in their unit; None where too few samples lie beyond. Partitions in place."""
    known = [q for q in qs if enough_samples(values.size, q)]
    found = iter(np.quantile(values, known, overwrite_input=True).tolist() if known else [])
    return [next(found) if q in known else None for q in qs]
