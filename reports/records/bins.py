"""Logarithmic latency bins: 40 a decade from 1 us, 360 in all, up to 1000 s.

One bin is 5.9% wide, so a percentile read from counts (with interpolation inside the bin) is off by well under 3%.
Exact percentiles come from the samples; these serve pictures and live pages.
"""

from __future__ import annotations

from math import floor, log10
from typing import Final, overload

import numpy as np
import numpy.typing as npt

BINS_PER_DECADE: Final = 40
BINS: Final = 360


@overload
def latency_bin(ns: float) -> int: ...
@overload
def latency_bin(ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]: ...


def latency_bin(ns: float | npt.NDArray[np.int64]) -> int | npt.NDArray[np.int16]:
    """The bin of a latency in ns: ``clip(floor(40 * log10(ns / 1000)), 0, 359)``.

    Scalars give an int, arrays an int16 array of their shape. Anything up to 1 us, zero and below too, is bin 0.
    """
    if isinstance(ns, np.ndarray):
        scaled = np.floor(BINS_PER_DECADE * np.log10(np.maximum(ns, 1000) / 1000.0))
        bins: npt.NDArray[np.int16] = np.minimum(scaled, BINS - 1).astype(np.int16)
        return bins
    return min(BINS - 1, floor(BINS_PER_DECADE * log10(ns / 1000.0))) if ns > 1000 else 0


def bin_edges_us() -> npt.NDArray[np.float64]:
    """The 361 edges in microseconds: bin ``b`` covers ``[edges[b], edges[b + 1])``."""
    return np.asarray(10.0 ** (np.arange(BINS + 1) / BINS_PER_DECADE), dtype=np.float64)


def quantile_ns(counts: npt.ArrayLike, q: float) -> float:
    """The ``q`` quantile in ns of ``counts`` (length 360, samples by bin), log-linear inside its bin; NaN when empty.

    Within a bin samples are taken to lie evenly on the log axis, as an HDR or DDSketch reader does.
    """
    weights = np.asarray(counts, dtype=np.float64)
    total = weights.sum()
    if total == 0:
        return float("nan")
    cumulative = np.cumsum(weights)
    rank = q * total
    index = min(int(np.searchsorted(cumulative, rank, side="left")), BINS - 1)
    while weights[index] == 0:  # q = 0 before the first filled bin
        index += 1
    inside = (rank - (cumulative[index] - weights[index])) / weights[index]
    return float(1000.0 * 10.0 ** ((index + min(max(inside, 0.0), 1.0)) / BINS_PER_DECADE))
